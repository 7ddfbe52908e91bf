"""Handles of a submitted run: waiting, failing, steps, outputs, logs."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from aml_provider.sdk.backend import RunState
from aml_provider.sdk.datastore import Datastore
from aml_provider.sdk.exceptions import (
    ActivityFailedException,
    ExperimentExecutionException,
    ModelPathNotFoundException,
    UserErrorException,
)
from aml_provider.sdk.experiment import Experiment
from aml_provider.sdk.pipeline import Pipeline
from aml_provider.sdk.pipeline_run import PipelineRun
from aml_provider.sdk.ports import PipelineData
from aml_provider.sdk.run import Run
from aml_provider.sdk.script_run_config import ScriptRunConfig
from aml_provider.sdk.widgets import RunDetails
from aml_provider.spec.errors import NotSupportedError
from aml_provider.spec.models import PipelineSpec

from .played import Played


@pytest.fixture
def player(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What runs pipelines here; ``failing`` names the step that fails."""
    state = SimpleNamespace(failing=None, submitted=[])
    module = ModuleType("aml_provider.submission")

    def submit(spec: PipelineSpec, source: Any, workspace: Any) -> Played:
        state.submitted.append((spec, source))
        return Played(spec, state.failing)

    module.submit = submit
    real = importlib.import_module
    monkeypatch.setattr(
        "aml_provider.sdk.submission.importlib.import_module",
        lambda name: module if name == "aml_provider.submission" else real(name),
    )
    return state


@pytest.fixture
def run(ws, step, player) -> PipelineRun:
    data = PipelineData("data", pipeline_output_name="result")
    prep = step("prep", ["--out", data], outputs=[data])
    train = step("train", ["--in", data], inputs=[data])
    return Experiment(ws, "exp").submit(Pipeline(ws, [prep, train]), tags={"who": "me"})


def test_a_run_is_followed_to_its_end(run: PipelineRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.wait_for_completion(show_output=True) == "Finished"
    out = capsys.readouterr().out
    assert "  prep: Running\n" in out
    assert "  prep: Finished after 1.5 s\n" in out
    table = out[out.index("\n\n") :].splitlines()
    assert any(line.split() == ["train", "Finished", "1.5", "accuracy=0.97"] for line in table)
    assert out.rstrip().endswith("Finished")
    assert run.get_status() == run.status == "Finished"
    details = run.get_details()
    assert (details["status"], details["runId"]) == ("Completed", run.id)
    assert (details["startTimeUtc"], details["endTimeUtc"]) == ("1970-01-01T00:01:40Z", "1970-01-01T00:01:42Z")
    assert run.get_tags() == {"who": "me"}


def test_a_failure_shows_the_step_and_the_end_of_its_log(run, player, ws, step, capsys) -> None:
    player.failing = "train"
    failed = Experiment(ws, "exp").submit(Pipeline(ws, [step("prep"), step("train")]))
    with pytest.raises(ActivityFailedException) as caught:
        failed.wait_for_completion(show_output=False)
    message = str(caught.value)
    assert "Step 'train' failed after 1.5 s: the script ended with exit code 3" in message
    assert "line 30 of train" in message
    assert "line 11 of train" in message
    assert "line 10 of train" not in message
    assert "of prep" not in message
    assert failed.wait_for_completion(show_output=True, raise_on_error=False) == "Failed"
    shown = capsys.readouterr()
    assert shown.out.count("train | line 30 of train") == 1
    assert "exit code 3" in shown.err
    assert "line 30" not in shown.err
    assert "exit code 3" in failed.get_details()["error"]["error"]["message"]
    (train,) = failed.find_step_run("train")
    with pytest.raises(ActivityFailedException, match="'train' failed"):
        train.wait_for_completion(show_output=False)


def test_waiting_has_limits(run: PipelineRun, monkeypatch, capsys) -> None:
    assert run.wait_for_completion(show_output=False, timeout_seconds=0) == "Running"
    assert "Timed out" in capsys.readouterr().out

    def interrupted(timeout: float | None) -> RunState:
        raise KeyboardInterrupt

    monkeypatch.setattr(run._backend, "wait", interrupted)
    with pytest.raises(ExperimentExecutionException, match="the run goes on"):
        run.wait_for_completion()
    run.cancel()
    assert run.get_status() == "Canceled"


def test_steps_outputs_logs_metrics(run: PipelineRun, ws, project: Path) -> None:
    run.wait_for_completion(show_output=False)
    assert [s.name for s in run.get_steps()] == ["prep", "train"]
    assert list(run.get_children()) == run.get_steps()
    (prep,) = run.find_step_run("prep")
    assert run.find_step_run("nothing") == []
    assert (prep.id, prep.pipeline_run_id, prep.type) == ("run-of-prep", run.id, "azureml.StepRun")
    assert prep.parent == run
    assert prep.get_metrics() == {"accuracy": 0.97}
    assert prep.get_metrics("other") == {}
    assert run.get_metrics() == {}
    assert run.get_metrics(recursive=True)["run-of-train"] == {"accuracy": 0.97}
    assert prep.get_stdout_log() == prep.get_job_log() == prep._backend.log("prep")
    assert list(prep.get_outputs()) == ["data"]
    with pytest.raises(UserErrorException, match="'prep' has no output 'x'; it has 'data'"):
        prep.get_output("x")

    folder = project / "results"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "model.txt").write_text("m")
    (folder / "data2.txt").write_text("not this")
    Datastore(ws).upload("results", "azureml/prep", show_progress=False)
    data = prep.get_output("data").get_port_data_reference()
    assert (data.datastore_name, data.path_on_datastore) == ("workspaceblobstore", "azureml/prep/data")
    assert data.download("down", overwrite=True) == 1
    assert (project / "down" / "azureml" / "prep" / "data" / "model.txt").read_text() == "m"
    assert run.get_pipeline_output("result").path_on_datastore == "azureml/prep/data"
    with pytest.raises(UserErrorException, match="no output named 'x'; it has 'result'"):
        run.get_pipeline_output("x")


def test_earlier_runs(run: PipelineRun, ws) -> None:
    again = Run.get(ws, run.id)
    assert isinstance(again, PipelineRun)
    assert (again, again.experiment.name) == (run, "exp")
    assert PipelineRun(Experiment(ws, "exp"), run.id) == run
    assert next(iter(Experiment(ws, "exp").get_runs(tags="who"))) == run
    assert list(Experiment(ws, "exp").get_runs(tags={"who": "you"})) == []
    assert "exp" in ws.experiments
    with pytest.raises(NotSupportedError, match="find run"):
        Run.get(ws, "unknown")


def test_a_script_is_a_pipeline_of_one_step(ws, player) -> None:
    script = ScriptRunConfig("src", "train.py", ["--x", 1], compute_target="cpu", max_run_duration_seconds=60)
    run = Experiment(ws, "exp").submit(script)
    run.wait_for_completion(show_output=False)
    assert run.get_metrics() == {"accuracy": 0.97}
    (spec, source) = player.submitted[-1]
    assert (spec.steps[0].name, spec.steps[0].timeout_seconds) == ("train.py", 60)
    assert source.file == Path(__file__)


def test_details_are_printed(run: PipelineRun, capsys) -> None:
    run.wait_for_completion(show_output=False)
    RunDetails(run).show()
    assert "accuracy=0.97" in capsys.readouterr().out
    assert RunDetails(run).get_widget_data()["child_runs"][0]["name"] == "prep"


def test_logging_outside_a_step_prints(capsys) -> None:
    run = Run.get_context()
    run.log("loss", 0.5)
    run.log("loss", 0.25)
    run.log_row("row", a=1)
    with run.child_run("child") as child:
        child.tag("k", "v")
    assert child.status == "Completed"
    assert run.get_metrics("loss") == {"loss": [0.5, 0.25]}
    assert capsys.readouterr().out.splitlines() == [
        "Metric loss: 0.5",
        "Metric loss: 0.25",
        "Metric row: {'a': 1}",
        "Tag k: v",
    ]
    with pytest.raises(ModelPathNotFoundException, match="no file or folder"):
        run.register_model("a")
    with pytest.raises(NotSupportedError, match="outside a step"):
        run.wait_for_completion()


def test_what_a_program_reports_to_a_handle_is_read_back(run: PipelineRun) -> None:
    run.log("score", 1)
    run.log("score", 2)
    run.set_tags({"checked": "yes"})
    run.remove_tags("who")
    run.add_properties({"by": "me"})
    run.display_name, run.description = "Nightly", "the usual one"
    (train,) = run.find_step_run("train")
    train.tag("best")
    assert (run.get_metrics(), run.get_tags()) == ({"score": [1, 2]}, {"checked": "yes"})
    assert run.get_properties() == {
        "airflow.dag_id": "exp",
        "airflow.run_id": "run_1",
        "azureml.parameters": "{}",
        "by": "me",
    }
    assert (run.display_name, run.description, run.name) == ("Nightly", "the usual one", "run_1")
    assert (train.get_tags(), run.find_step_run("prep")[0].get_tags()) == ({"best": None}, {})
    with pytest.raises(TypeError, match="score"):
        run.log("score", object())
    with pytest.raises(UserErrorException, match="set once"):
        run.add_properties({"by": "you"})


@pytest.mark.parametrize("call", ["complete", "fail", "start", "child_run", "create_children", "submit_child"])
def test_airflow_says_how_a_pipeline_run_goes(run: PipelineRun, call: str) -> None:
    """A NotImplementedError, as in v1."""
    arguments = {"create_children": (1,)}.get(call, ())
    for handle in (run, run.get_steps()[0]):
        with pytest.raises(NotImplementedError, match=call):
            getattr(handle, call)(*arguments)
