"""What a script reports through ``azureml.core.Run`` is in the attempt's folder when the call returns."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aml_provider.runtime.run import Run

from .conftest import Step

MakeStep = Callable[..., Step]


def run(step: MakeStep, body: str) -> Step:
    """Run a script that has ``run`` and must succeed."""
    job = step(script="")
    (job.code / "train.py").write_text(
        "from azureml.core import Run\nrun = Run.get_context()\n" + inspect.cleandoc(body)
    )
    job.job["inputs"] = {
        "images": {"path": "/data/images", "mode": "mount", "is_dataset": True, "environment_variable": None},
        "prepared": {"path": "/data/prepared", "mode": "mount", "is_dataset": False, "environment_variable": None},
        "raw": {"path": str(job.code / "raw"), "mode": "direct", "is_dataset": True, "environment_variable": None},
    }
    job.job["outputs"] = {
        "model": {"path": str(job.folder / "o"), "directory": True, "environment_variable": None},
    }
    assert job.run().exit_code == 0, job.log.decode()
    return job


def test_signatures_are_those_of_the_sdk() -> None:
    surface = json.loads((Path(__file__).parent / "run_surface.json").read_text())
    differences = []
    for name, facts in surface["methods"].items():
        member = inspect.getattr_static(Run, name, None)
        if member is None:
            differences.append(f"{name} is missing")
            continue
        kind = (
            "class" if isinstance(member, classmethod) else "static" if isinstance(member, staticmethod) else "method"
        )
        function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        ours = [
            (p.name, None if p.default is p.empty else repr(p.default))
            for p in inspect.signature(function).parameters.values()
        ]
        theirs = [(p[0], p[2]) for p in facts["params"]]
        if (kind, ours) != (facts["kind"], theirs):
            differences.append(f"{name}: {kind} {ours} instead of {facts['kind']} {theirs}")
    for name, access in surface["properties"].items():
        if access == "attr" or name == "identity":
            continue  # constants of the service's client
        member = inspect.getattr_static(Run, name, None)
        if not isinstance(member, property) or (member.fset is not None) != (access == "rw"):
            differences.append(f"property {name} is not {access}")
    assert differences == []


def test_who_the_run_is(step: MakeStep) -> None:
    job = run(
        step,
        """
        import json
        workspace = run.experiment.workspace
        assert run is Run.get_context(allow_offline=False)
        assert run.input_datasets["images"] == "/data/images"
        assert "prepared" not in run.input_datasets
        try:
            run.input_datasets["nothing"]
        except KeyError as error:
            assert "images" in str(error)
        facts = [run.id, run.name, run.display_name, run.number, run.type, run.parent.id, run.parent.type,
                 run.experiment.name, workspace.name, workspace.subscription_id, workspace.resource_group,
                 workspace.location, dict(run.output_datasets), run.get_tags(), run.get_status(), run.parent.parent,
                 run.get_portal_url(), run.get_details()["runId"]]
        json.dump(facts, open("facts", "w"))
        """,
    )
    assert json.loads((job.code / "facts").read_text()) == [
        *("step-run-7", "Train it", "Train it", 1, "azureml.StepRun", "pipeline-run-3", "azureml.PipelineRun"),
        *("digits", "ws", "sub", "group", "here", {"model": str(job.folder / "o")}, {"team": "vision"}, "Running"),
        *(None, "", "step-run-7"),
    ]


def test_metrics(step: MakeStep) -> None:
    job = run(
        step,
        """
        import decimal, math
        class Scalar:                                          # what numpy's and torch's scalars look like
            def __init__(self, value): self.value = value
            def item(self): return self.value
        class Array:
            ndim = 1
            def tolist(self): return [1, 2.5]
            def item(self): raise ValueError("only arrays of size 1")
        run.log("loss", 0.5, description="how wrong", step=3)
        run.log("loss", Scalar(0.25), step=Scalar(4))
        run.log("name", "resnet")
        run.log("flag", True)
        run.log("price", decimal.Decimal("1.5"))
        run.log("bad", math.nan); run.log("worse", -math.inf)
        run.log_list("list", [1, 2, 3]); run.log_list("array", Array())
        run.log_row("row", x=1, y=2); run.log_row("row", "second", x=3, y=4)
        run.log_table("table", {"a": [1, 2], "b": Array()})
        run.log_confusion_matrix("cm", {"schema_type": "confusion_matrix", "data": {"matrix": [[1], [3]]}})
        run.log_accuracy_table("at", '{"schema_type": "accuracy_table", "data": {}}')
        run.log_residuals("re", {"data": {"edges": Array()}})
        run.log_predictions("pr", {"data": {}})
        metrics = run.get_metrics()
        assert metrics["loss"] == [0.5, 0.25], metrics
        assert math.isnan(metrics["bad"]) and metrics["worse"] == -math.inf
        assert metrics["row"] == {"x": [1, 3], "y": [2, 4]}
        assert metrics["table"] == {"a": [1, 2], "b": [1, 2.5]}
        assert run.get_metrics("name") == {"name": "resnet"}
        """,
    )
    seen = {(e["kind"], e["name"], json.dumps(e["value"]), e["step"], e["description"]) for e in job.events}
    assert seen == {
        ("scalar", "loss", "0.5", 3, "how wrong"),
        ("scalar", "loss", "0.25", 4, ""),
        ("scalar", "name", '"resnet"', None, ""),
        ("scalar", "flag", "true", None, ""),
        ("scalar", "price", "1.5", None, ""),
        ("scalar", "bad", '"NaN"', None, ""),
        ("scalar", "worse", '"-Infinity"', None, ""),
        ("list", "list", "[1, 2, 3]", None, ""),
        ("list", "array", "[1, 2.5]", None, ""),
        ("row", "row", '{"x": 1, "y": 2}', None, ""),
        ("row", "row", '{"x": 3, "y": 4}', None, "second"),
        ("table", "table", '{"a": [1, 2], "b": [1, 2.5]}', None, ""),
        (
            "confusion_matrix",
            "cm",
            '{"schema_type": "confusion_matrix", "data": {"matrix": [[1], [3]]}}',
            None,
            "",
        ),
        ("accuracy_table", "at", '{"schema_type": "accuracy_table", "data": {}}', None, ""),
        ("residuals", "re", '{"data": {"edges": [1, 2.5]}}', None, ""),
        ("predictions", "pr", '{"data": {}}', None, ""),
    }
    assert [event["seq"] for event in job.events] == list(range(1, 17))
    assert all(event["child"] is None and event["type"] == "metric" and event["time"] > 1e9 for event in job.events)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ("run.log('loss', [1, 2])", TypeError, '"loss" must be a number or a str, it is a list'),
        ("run.log('loss', None)", TypeError, '"loss"'),
        ("run.log('loss', object())", TypeError, '"loss"'),
        ("run.log('', 1)", TypeError, "non-empty"),
        ("run.log(3, 1)", TypeError, "non-empty"),
        ("run.log('loss', 1, step='x')", TypeError, 'step of metric "loss"'),
        ("run.log_list('l', 'abc')", TypeError, '"l" must be a list'),
        ("run.log_list('l', [1, None])", TypeError, 'item 1 of metric "l"'),
        ("run.log_row('r')", TypeError, "at least one column"),
        ("run.log_table('t', [1])", TypeError, '"t" must be a dict'),
        ("run.log_table('t', {'a': [{}]})", TypeError, 'item 0 of metric "t.a"'),
        ("run.log_residuals('m', '{')", ValueError, "not JSON"),
        ("run.log_residuals('m', {'schema_type': 'predictions'})", ValueError, "predictions"),
        ("run.log_image('i')", Exception, "either path or plot"),
        ("run.log_image('i', path='no.png')", Exception, "no.png"),
        ("run.upload_file('../x', __file__)", Exception, "'../x'"),
        ("run.upload_file('/x', __file__)", Exception, "'/x'"),
        ("run.upload_file('x', 'no.csv')", Exception, "no.csv does not exist"),
        ("run.upload_file('x', __file__, datastore_name='d')", Exception, "declare an output"),
        ("run.upload_files(['a'], [])", Exception, "1 names for 0 paths"),
        ("run.download_file('no.csv')", Exception, 'no file "no.csv"'),
        ("run.register_model('m', 'outputs/no.pkl')", Exception, '"outputs/no.pkl"'),
        ("run.create_children()", Exception, "either count"),
        ("run.get_secret('key')", NotImplementedError, "environment variable"),
        ("run.wait_for_completion()", NotImplementedError, "cannot wait"),
        ("run.submit_child(None)", NotImplementedError, "step of the pipeline"),
        ("Run.list(None)", NotImplementedError, "MLflow"),
        ("Run(None, 'id')", NotImplementedError, "get_context"),
        ("run.experiment.workspace.get_default_datastore()", NotImplementedError, "as an input"),
        ("run.experiment.workspace.compute_targets", AttributeError, "Workspace.compute_targets"),
    ],
)
def test_a_wrong_call_is_a_sentence(step: MakeStep, call: str, error: type[Exception], words: str) -> None:
    job = run(
        step,
        f"""
        try:
            {call}
        except {error.__name__} as error:
            print(error)
        else:
            raise SystemExit("no error")
        """,
    )
    assert words in job.log.decode()
    assert job.events == []


def test_tags_and_properties(step: MakeStep) -> None:
    job = run(
        step,
        """
        run.tag("stage"); run.tag("lr", 0.1); run.set_tags({"a": 1, "b": None}); run.remove_tags(["b", "team"])
        run.remove_tags("a")
        assert run.get_tags() == run.tags == {"stage": None, "lr": "0.1"}, run.tags
        run.add_properties({"author": "me"}); run.add_properties({"author": "me", "n": 1})
        assert run.get_properties() == {"author": "me", "n": "1"}
        try:
            run.add_properties({"author": "you"})
        except Exception as error:
            assert "author" in str(error)
        else:
            raise SystemExit("no error")
        run.display_name = "Nicer"
        assert run.display_name == "Nicer" and run.name == "Train it"
        """,
    )
    assert [(e["type"], e["key"], e.get("value")) for e in job.events if "key" in e][:4] == [
        ("tag", "stage", None),
        ("tag", "lr", "0.1"),
        ("tag", "a", "1"),
        ("tag", "b", None),
    ]


def test_files(step: MakeStep) -> None:
    job = run(
        step,
        """
        import io, os
        os.makedirs("tree/deep")
        for name in ("tree/a", "tree/deep/b", "outputs/model.pkl"):
            open(name, "w").write(name)
        run.upload_file("one/a.txt", "tree/a")
        run.upload_file("stream", io.BytesIO(b"bytes"))
        run.upload_files(["x", "y"], ["tree/a", "tree/deep/b"])
        run.upload_folder("all", "tree")
        assert run.get_file_names() == ["all/a", "all/deep/b", "one/a.txt", "outputs/model.pkl", "stream", "x", "y"]
        try:
            run.upload_file("x", "tree/a")
        except Exception as error:
            assert 'already has a file "x"' in str(error)
        else:
            raise SystemExit("no error")
        run.download_file("one/a.txt"); assert open("a.txt").read() == "tree/a"
        run.download_file("outputs/model.pkl", "new/m"); assert open("new/m").read() == "outputs/model.pkl"
        run.download_files("all", "got"); assert open("got/all/deep/b").read() == "tree/deep/b"
        run.download_files("all", "bare", append_prefix=False); assert open("bare/deep/b").read() == "tree/deep/b"
        run.upload_file("outputs/model.pkl", "tree/a")
        """,
    )
    artifacts = job.folder / "artifacts"
    assert (artifacts / "all/deep/b").read_text() == "tree/deep/b"
    assert (artifacts / "stream").read_bytes() == b"bytes"
    assert (artifacts / "outputs/model.pkl").read_text() == "tree/a", "what was uploaded by name stays"
    assert {(e["type"], e["name"], e["path"]) for e in job.events} == {
        ("artifact", name, name)
        for name in ("one/a.txt", "stream", "x", "y", "all/a", "all/deep/b", "outputs/model.pkl")
    }
    assert not list(job.folder.glob(".partial/*"))


def test_images(step: MakeStep) -> None:
    job = run(
        step,
        """
        class Plot:
            def savefig(self, target, format): target.write(b"a png")
        open("my.jpg", "wb").write(b"a jpg")
        run.log_image("curve", plot=Plot())
        run.log_image("curve", plot=Plot())
        run.log_image("a/photo", path="my.jpg", description="d")
        assert run.get_metrics("curve") == {"curve": ["curve.png", "curve_1.png"]}
        """,
    )
    images = [(e["name"], e["value"]) for e in job.events if e["type"] == "metric"]
    assert images == [("curve", "curve.png"), ("curve", "curve_1.png"), ("a/photo", "a_photo.jpg")]
    for _, name in images:
        assert (job.folder / "artifacts" / name).read_bytes() in (b"a png", b"a jpg")


def test_models(step: MakeStep) -> None:
    job = run(
        step,
        """
        import os
        os.makedirs("outputs/m")
        open("outputs/m/weights", "w").write("w")
        model = run.register_model("digits", "outputs/m", tags={"k": 1}, model_framework="sklearn",
                                   model_framework_version="1.3", description="good", properties={"p": "q"})
        print(model.name, model.id, model.version)
        """,
    )
    (event,) = job.events
    assert event["type"] == "model"
    assert (event["name"], event["path"], event["tags"], event["properties"]) == (
        *("digits", "outputs/m", {"k": "1"}, {"p": "q"}),
    )
    assert (event["description"], event["framework"], event["framework_version"]) == ("good", "sklearn", "1.3")
    assert (job.folder / "artifacts" / "outputs/m/weights").is_file()


def test_child_runs_and_the_parent(step: MakeStep) -> None:
    job = run(
        step,
        """
        with run.child_run("fold 1") as child:
            child.log("acc", 1)
            assert child.parent is run and child.get_metrics() == {"acc": 1}
        try:
            with run.child_run(run_id="mine"):
                raise ValueError("diverged")
        except ValueError:
            pass
        first, second = run.create_children(tag_key="lr", tag_values=[1, 2])
        assert second.get_tags() == {"lr": "2"}
        second.complete()
        grandchild = first.child_run()
        assert len(run.create_children(2)) == 2
        run.log("acc", 0); run.parent.log("total", 9); run.parent.tag("best", "yes")
        assert run.get_metrics() == {"acc": 0}
        assert run.parent.get_metrics() == {"total": 9} and run.parent.get_tags() == {"team": "vision", "best": "yes"}
        assert run.get_metrics(recursive=True) == {run.id: {"acc": 0}, child.id: {"acc": 1}}
        assert [c.status for c in run.get_children()][:4] == ["Completed", "Failed", "Running", "Completed"]
        assert [c.id for c in run.get_children(status="Failed")] == ["mine"]
        assert [c.id for c in run.get_children(tags={"lr": 2})] == [second.id]
        assert len(run.get_children()) == 6 and len(run.get_children(recursive=True)) == 7
        run.flush(); run.start(); run.complete()
        """,
    )
    by_child = [(e["type"], e["child"]) for e in job.events if e["type"] == "metric" and not e.get("to")]
    fold = job.events[0]["id"]
    assert job.events[0]["name"] == "fold 1"
    assert by_child == [("metric", fold), ("metric", None)]
    (failure,) = [e for e in job.events if e["type"] == "fail"]
    assert (failure["child"], failure["message"]) == ("mine", "ValueError: diverged")
    assert [(e["name"], e["to"]) for e in job.events if e.get("to") and e["type"] == "metric"] == [
        ("total", "pipeline")
    ]


def test_run_as_context_manager_fails_the_step(step: MakeStep) -> None:
    job = step(
        script="""
        from azureml.core import Run
        try:
            with Run.get_context() as run:
                1 / 0
        except ZeroDivisionError:
            pass
        """
    )
    assert job.run().exit_code == 1
    assert job.report["error"] == "ZeroDivisionError: division by zero"


def test_a_cancelled_run_has_failed(step: MakeStep) -> None:
    job = step(script="from azureml.core import Run; Run.get_context().cancel()")
    assert job.run().exit_code == 1
    assert "cancel" in job.report["error"]


def test_a_direct_dataset(step: MakeStep) -> None:
    run(
        step,
        """
        import os
        os.makedirs("raw/deep")
        for name in ("raw/a.csv", "raw/deep/b.csv"):
            open(name, "w").write(name)
        dataset = run.input_datasets["raw"]
        assert dataset.to_path() == ["/a.csv", "/deep/b.csv"]
        assert [open(p).read() for p in dataset.download("copy")] == ["raw/a.csv", "raw/deep/b.csv"]
        with dataset.mount() as mount:
            assert os.path.isfile(mount.mount_point + "/deep/b.csv")
        """,
    )


def test_metrics_of_many_processes_and_threads_are_all_intact(step: MakeStep) -> None:
    job = run(
        step,
        """
        import multiprocessing, subprocess, sys, threading
        run.log("before the fork", 1)
        def work(number):
            for i in range(250):
                run.log(f"m{number}", i, description="x" * (i * 20))
        def both(number):
            threads = [threading.Thread(target=work, args=(f"{number}{t}",)) for t in "ab"]
            [t.start() for t in threads]; [t.join() for t in threads]
        context = multiprocessing.get_context("fork")
        forked = [context.Process(target=both, args=(n,)) for n in range(4)]
        code = "from azureml.core import Run; import sys; run = Run.get_context()\\n"
        code += "for i in range(500): run.log('s' + sys.argv[1], i)"
        started = [subprocess.Popen([sys.executable, "-c", code, str(n)]) for n in range(4)]
        [p.start() for p in forked]; [p.join() for p in forked]
        assert [p.wait() for p in started] == [0] * 4
        assert len(run.get_metrics()) == 13
        """,
    )
    values: dict[str, list[Any]] = {}
    for event in job.events:
        values.setdefault(event["name"], []).append(event["value"])
    assert values.pop("before the fork") == [1]
    assert len(values) == 12
    assert all(values[f"m{n}{t}"] == list(range(250)) for n in range(4) for t in "ab")
    assert all(values[f"s{n}"] == list(range(500)) for n in range(4))


def test_outside_a_step_the_run_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("AML_JOB_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    run = Run.get_context()
    assert run.id.startswith("OfflineRun_")
    assert not hasattr(run, "experiment")
    assert run.parent is None
    assert dict(run.input_datasets) == {}
    run.log("loss", 0.5, step=2)
    run.tag("a", "b")
    (tmp_path / "f").write_text("x")
    run.upload_file("f", "f")
    with run.child_run() as child:
        child.log("inner", 1)
    run.complete()
    printed = capsys.readouterr().out
    assert "Metric loss (step 2): 0.5" in printed
    assert "Tag a: b" in printed
    assert "Metric inner: 1" in printed
    assert run.get_metrics() == {"loss": 0.5}
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]
    with pytest.raises(Exception, match="not a step of a run"):
        Run.get_context(allow_offline=False)
    with pytest.raises(TypeError, match='"loss"'):
        run.log("loss", {})
