"""Programs follow runs, add to them and end them; MLflow has what they reported, whoever reported it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.reuse.machines import until

AML = Path(sys.executable).with_name("aml")
PIPELINE = """
from azureml.core import Experiment, Workspace
from azureml.pipeline.core import Pipeline, PipelineParameter
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
until = PipelineParameter("until", "")
step = PythonScriptStep("step.py", name="train", arguments=[until], compute_target="local", source_directory="src")
run = Experiment(ws, "nightly").submit(Pipeline(ws, [step]), tags={"who": "me"}, pipeline_parameters={"until": UNTIL})
run.wait_for_completion(show_output=True, raise_on_error=False)
(train,) = run.get_steps()
run.tag("checked", "yes")
run.log("score", 0.5)
train.log("after", 3)
train.upload_file("extra/notes.txt", "workspace.yaml")
"""
STEP = """
import os, sys, time
from azureml.core import Run

run = Run.get_context()
run.log("loss", 0.25)
run.parent.log("from the step", 1)
with run.child_run("fold") as fold:
    fold.log("accuracy", 0.75)
os.makedirs("outputs", exist_ok=True)
open("outputs/model.txt", "w").write("model")
print("it runs", flush=True)
while sys.argv[1] and not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
"""
INTERACTIVE = """
import os
from azureml.core import Experiment, Workspace

ws = Workspace.from_config()
experiment = Experiment(ws, "notebook")
experiment.set_tags({"team": "blue"})
run = experiment.start_logging(display_name="first try", tags={"by": "hand"}, snapshot_directory="src")
for number in range(3):
    run.log("loss", 1 / (number + 1))
run.log_table("table", {"x": [1, 2]})
with run.child_run("fold") as fold:
    fold.log("accuracy", 0.5)
os.makedirs("outputs", exist_ok=True)
open("outputs/model.txt", "w").write("model")
"""
# A process that runs a pipeline takes its time to end.
SLOW_END = """
import atexit, sys, time

if "aml_provider.submission.embedded_worker" in sys.orig_argv:
    atexit.register(time.sleep, 1.5)
"""
LATER = """
import json
from azureml.core import *
from azureml.core.run import get_run

ws = Workspace.from_config()
experiment = lambda name: Experiment(ws, name)
"""


def python(folder: Path, code: str, path: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def later(folder: Path, code: str) -> Any:
    """What another program prints as JSON, which has ``ws`` and ``experiment(name)``."""
    return json.loads(python(folder, f"{LATER}{code}").stdout)


def printed(folder: Path) -> str:
    """What steps printed so far. Folders come and go meanwhile, which ``Path.glob`` does not bear."""
    logs = [Path(above) / "std_log.txt" for above, _, files in os.walk(folder / ".aml") if "std_log.txt" in files]
    return "".join(log.read_text() for log in logs)


def aml(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([AML, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def tracked(folder: Path, experiment: str) -> dict[str, Run]:
    """The experiment's MLflow runs by name."""
    client = MlflowClient(f"sqlite:///{folder / '.aml' / 'mlflow.db'}")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return {run.info.run_name: run for run in client.search_runs([found.experiment_id])}


def project(folder: Path) -> Path:
    (folder / "src").mkdir()
    (folder / "src" / "step.py").write_text(STEP)
    (folder / "workspace.yaml").write_text("name: lab\n")
    return folder


@pytest.fixture(scope="module")
def nightly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a program ran a pipeline and added to it afterwards."""
    folder = project(tmp_path_factory.mktemp("nightly"))
    said = python(folder, PIPELINE.replace("UNTIL", "''")).stdout
    assert "  train | it runs\n" in said
    return folder


def test_what_was_added_afterwards_is_read_beside_what_the_script_reported(nightly: Path) -> None:
    found = later(
        nightly,
        """
(run,) = experiment("nightly").get_runs(tags={"checked": "yes"}, properties="airflow.run_id")
(train,) = run.get_steps()
same = Run.get(ws, train.id)
train.download_file("outputs/model.txt", "down/")
(fold,) = train.get_children()
print(json.dumps([run.get_tags(), run.get_metrics(), train.get_metrics(), train.get_file_names(), type(same).__name__,
                  same == train, [fold.name, fold.status, fold.get_metrics(), fold.parent == train],
                  sorted(map(len, run.get_metrics(recursive=True).values())), run.get_all_logs("logs"),
                  list(experiment("nightly").get_runs(type="azureml.scriptrun")), len(list(run.get_children(True))),
                  [r == train for r in experiment("nightly").get_runs("azureml.StepRun", include_children=True)],
                  [len(list(run.get_children(status=word))) for word in ("Finished", "Completed", "Failed")]]))
""",
    )
    assert found[0] == {"who": "me", "checked": "yes"}
    assert found[1:4] == [
        {"from the step": 1, "score": 0.5},
        {"loss": 0.25, "after": 3},
        ["extra/notes.txt", "outputs/model.txt"],
    ]
    assert found[4:6] == ["StepRun", True]
    assert found[6] == ["fold", "Completed", {"accuracy": 0.75}, True]
    assert found[7] == [1, 2, 2]
    assert found[8] == ["logs/train/std_log.txt"]
    assert found[9:] == [[], 2, [True], [1, 1, 0]]
    assert (nightly / "down" / "model.txt").read_text() == "model"
    assert "it runs" in (nightly / "logs" / "train" / "std_log.txt").read_text()


def test_mlflow_has_what_was_added_when_the_program_has_ended(nightly: Path) -> None:
    runs = tracked(nightly, "nightly")
    (pipeline,) = (run for run in runs.values() if "mlflow.parentRunId" not in run.data.tags)
    train = runs["train"]
    assert (pipeline.data.tags["checked"], pipeline.data.metrics["score"]) == ("yes", 0.5)
    assert (train.data.metrics["loss"], train.data.metrics["after"]) == (0.25, 3.0)
    client = MlflowClient(f"sqlite:///{nightly / '.aml' / 'mlflow.db'}")
    assert [f.path for f in client.list_artifacts(train.info.run_id, "extra")] == ["extra/notes.txt"]


def test_the_command_line_shows_the_run(nightly: Path) -> None:
    shown = json.loads(aml(nightly, "runs", "show", "latest", "--json").stdout)
    assert (shown["status"], shown["experiment"], shown["parameters"]) == ("Finished", "nightly", {"until": ""})
    assert (shown["metrics"], shown["steps"][0]["metrics"]) == (
        {"from the step": 1, "score": 0.5},
        {"loss": 0.25, "after": 3},
    )
    assert "it runs" in aml(nightly, "runs", "logs", shown["id"][:12], "train").stdout
    wrong = aml(nightly, "runs", "logs", "latest", "trian")
    assert (wrong.returncode, wrong.stderr) == (
        1,
        f"aml: there is no step 'trian' in run {shown['id']}; it has 'train'\n",
    )


def test_another_program_stops_a_run(tmp_path: Path) -> None:
    """Its step is told so, and neither it nor the run counts as failed."""
    folder = project(tmp_path)
    started = subprocess.Popen([sys.executable, "-c", PIPELINE.replace("UNTIL", "'never'")], cwd=folder)
    until(lambda: "it runs" in printed(folder), "the script has begun")
    assert aml(folder, "runs", "cancel", "latest").stdout.endswith(": Canceled\n")
    assert started.wait(60) == 0
    again = aml(folder, "runs", "cancel", "latest")
    assert (again.returncode, "is over: it is Canceled" in again.stderr) == (1, True)
    (run,) = json.loads(aml(folder, "runs", "ls", "--status", "canceled", "--json").stdout)
    shown = json.loads(aml(folder, "runs", "show", run["id"], "--json").stdout)
    assert [step["status"] for step in shown["steps"]] == ["Canceled"]
    assert {run.info.status for name, run in tracked(folder, "nightly").items() if name != "fold"} == {"KILLED"}


def test_a_run_whose_process_was_killed_is_not_running_for_ever(tmp_path: Path) -> None:
    folder = project(tmp_path)
    started = subprocess.Popen([sys.executable, "-c", PIPELINE.replace("UNTIL", "'never'")], cwd=folder)
    until(lambda: "it runs" in printed(folder), "the script has begun")
    (state,) = (folder / ".aml" / "runs").glob("*/state.json")
    subprocess.run(["kill", "-9", str(json.loads(state.read_text())["pid"])], check=True)
    assert started.wait(60) == 0
    shown = json.loads(aml(folder, "runs", "show", "latest", "--json").stdout)
    assert (shown["status"], shown["steps"][0]["status"]) == ("Failed", "Canceled")
    statuses = {name: run.info.status for name, run in tracked(folder, "nightly").items() if name != "fold"}
    assert (statuses.pop("train"), *statuses.values()) == ("KILLED", "FAILED")


# --- interactive runs -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a program kept two runs itself: one that it completed, one that it left open."""
    folder = project(tmp_path_factory.mktemp("notebook"))
    python(folder, INTERACTIVE + "run.complete()\n")
    python(folder, INTERACTIVE.replace("first try", "second try"))
    return folder


def test_a_run_of_a_notebook_is_found_by_a_later_program(notebook: Path) -> None:
    found = later(
        notebook,
        """
second, first = experiment("notebook").get_runs()
(fold,) = first.get_children()
first.download_files("outputs", "down", append_prefix=False)
where = first.restore_snapshot(path="code.zip")
print(json.dumps([first.display_name, first.get_status(), second.get_status(), first.type, first.get_tags(),
                  first.get_metrics(), [fold.name, fold.status, fold.get_metrics()], experiment("notebook").tags,
                  first.get_details()["endTimeUtc"] is not None, get_run(first.experiment, first.id) == first]))
""",
    )
    assert found[:5] == ["first try", "Completed", "Running", None, {"by": "hand"}]
    assert found[5] == {"loss": [1.0, 0.5, 1 / 3], "table": {"x": [1, 2]}}
    assert found[6:] == [["fold", "Completed", {"accuracy": 0.5}], {"team": "blue"}, True, True]
    assert (notebook / "down" / "model.txt").read_text() == "model"
    assert (notebook / "code.zip").is_file()


def test_mlflow_has_runs_of_notebooks_also_those_left_open(notebook: Path) -> None:
    runs = tracked(notebook, "notebook")
    assert (runs["first try"].info.status, runs["second try"].info.status) == ("FINISHED", "RUNNING")
    for name in ("first try", "second try"):
        assert runs[name].data.metrics["loss"] == pytest.approx(1 / 3)
        assert runs[name].data.tags["by"] == "hand"
    assert runs["fold"].data.metrics == {"accuracy": 0.5}
    client = MlflowClient(f"sqlite:///{notebook / '.aml' / 'mlflow.db'}")
    assert client.get_experiment_by_name("notebook").tags["team"] == "blue"
    assert "outputs/model.txt" in {f.path for f in client.list_artifacts(runs["first try"].info.run_id, "outputs")}


def test_a_later_program_fails_a_run_that_was_left_open_and_archives_the_experiment(notebook: Path) -> None:
    states = later(
        notebook,
        """
from azureml.core.experiment import ViewType
run = next(r for r in experiment("notebook").get_runs() if r.display_name == "second try")
run.fail("no good", error_code="E1")
run.complete()
seen = [[e.name for e in Experiment.list(ws)]]
run.experiment.archive()
seen += [[e.name for e in Experiment.list(ws, view_type=v)] for v in (ViewType.ActiveOnly, ViewType.ArchivedOnly)]
run.experiment.reactivate()
seen += [[e.name for e in Experiment.list(ws, tags={"team": "blue"})], [e.name for e in Experiment.list(ws, tags="x")]]
print(json.dumps([run.get_status(), seen]))
""",
    )
    assert states == ["Failed", [["notebook"], [], ["notebook"], ["notebook"], []]]
    assert tracked(notebook, "notebook")["second try"].info.status == "FAILED"


def test_runs_side_by_side(notebook: Path) -> None:
    listed = json.loads(aml(notebook, "runs", "ls", "notebook", "--tag", "by=hand", "--json").stdout)
    assert [run["kind"] for run in listed] == ["interactive", "interactive"]
    ids = [run["id"] for run in listed]
    compared = aml(notebook, "runs", "compare", *ids).stdout.splitlines()
    assert ["metric", "loss", "0.333333", "0.333333"] in [line.split() for line in compared]
    assert json.loads(aml(notebook, "runs", "compare", *ids, "--json").stdout)[ids[0]]["tag by"] == "hand"
    assert "no run 'nothing'" in aml(notebook, "runs", "show", "nothing").stderr
    assert "two runs or more" in aml(notebook, "runs", "compare", ids[0]).stderr
    assert aml(notebook, "runs", "ls", "elsewhere").stdout == "no such runs\n"
    assert "--status: no run is 'done'; say one of NotStarted" in aml(notebook, "runs", "ls", "--status", "done").stderr


BY_ITSELF = """
import mlflow
from azureml.core import Run

run = Run.get_context()
run.log("loss", 0.25)
run.log_row("row", x=1)
mlflow.log_metric("accuracy", 0.75)
for epoch in range(3):
    mlflow.log_metric("curve", epoch, step=epoch)
"""


def test_a_step_has_what_its_script_gave_to_mlflow_itself_also_when_it_is_reused(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "src" / "step.py").write_text(BY_ITSELF)
    for _ in range(2):
        python(folder, PIPELINE.replace("UNTIL", "''"))
    found = later(
        folder,
        """
trains = [run.get_steps()[0] for run in experiment("nightly").get_runs()]
print(json.dumps([[train.get_properties().get("azureml.isreused"), train.get_metrics(), train.get_metrics("accuracy"),
                   train.parent.get_metrics(recursive=True)[train.id]] for train in trains]))
""",
    )
    own = {"loss": 0.25, "row": {"x": 1}, "after": 3, "accuracy": 0.75, "curve": [0, 1, 2]}
    assert found == [["true", own, {"accuracy": 0.75}, own], [None, own, {"accuracy": 0.75}, own]]
    for ledger in folder.glob(".aml/**/tracking.json"):
        away = json.loads(ledger.read_text()) | {"tracking_uri": "http://127.0.0.1:9"}
        ledger.write_text(json.dumps(away))
    done = python(folder, LATER + 'print(next(experiment("nightly").get_runs()).get_steps()[0].get_metrics())')
    assert done.stdout == "{'loss': 0.25, 'row': {'x': 1}, 'after': 3}\n"
    assert "What scripts gave to MLflow themselves is not known now." in done.stderr


NESTED = """
from azureml.core import Experiment, Workspace

experiment = Experiment(Workspace.from_config(), "nested")
try:
    with experiment.start_logging() as run:
        run.log("m", 0)
        run.log("none", float("nan"))
        run.log_list("far", [1, float("-inf")])
        with run.child_run("outer") as outer:
            outer.log("m", 1)
            with outer.child_run("inner") as inner:
                inner.log("m", 2)
        with run.child_run("bad") as bad:
            raise ValueError("no data")
except ValueError:
    pass
"""


def test_child_runs_have_their_own_metrics_ends_and_places(tmp_path: Path) -> None:
    folder = project(tmp_path)
    python(folder, NESTED)
    found = later(
        folder,
        """
(run,) = experiment("nested").get_runs()
outer, bad = run.get_children()
(inner,) = outer.get_children()
details = [one.get_details() for one in (run, outer, bad)]
print(json.dumps([
    [one.get("error", {}).get("error", {}).get("message") for one in details],
    [one["endTimeUtc"] >= one["startTimeUtc"] for one in details],
    [run.id, outer.id, inner.id],
    [Run.get(ws, one.id).name for one in (outer, inner, bad)],
    outer.get_metrics(recursive=True),
    [one.name for one in run.experiment.get_runs(include_children=True)][1:],
    [one.name for one in Run.list(run.experiment, status="Failed", include_children=True)][1:],
]))
""",
    )
    assert found[0] == ["ValueError: no data", None, "ValueError: no data"]
    assert found[1] == [True, True, True]
    _, outer, inner = found[2]
    assert found[3] == ["outer", "inner", "bad"]
    assert found[4] == {outer: {"m": 1}, inner: {"m": 2}}
    assert found[5:] == [["outer", "inner", "bad"], ["bad"]]
    runs = tracked(folder, "nested")
    assert runs["inner"].data.tags["mlflow.parentRunId"] == runs["outer"].info.run_id
    assert runs["inner"].data.metrics == {"m": 2.0}
    # What no JSON has is a text, as JavaScript's and other readers need it.
    shown = json.loads(aml(folder, "runs", "show", "latest", "--json").stdout, parse_constant=pytest.fail)
    assert shown["metrics"] == {"m": 0, "none": "NaN", "far": [1, "-Infinity"]}
    compared = json.loads(
        aml(folder, "runs", "compare", "latest", "latest", "--json").stdout, parse_constant=pytest.fail
    )
    assert compared[shown["id"]]["metric none"] == "NaN"


def test_a_program_that_ends_while_it_tells_mlflow_tells_it_everything(tmp_path: Path) -> None:
    folder = project(tmp_path)
    code = """
import sys, time
from azureml.core import Experiment, Workspace

run = Experiment(Workspace.from_config(), "short").start_logging(display_name="short")
run.log("loss", 0.25)
# It begins when the run's first reports are sent, and takes its time.
while "mlflow" not in sys.modules:
    time.sleep(0.001)
"""
    done = python(folder, code)
    assert done.stderr == ""
    assert tracked(folder, "short")["short"].data.metrics == {"loss": 0.25}


def test_an_unknown_keyword_is_named(notebook: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERACTIVE.replace("display_name", "dispaly_name")],
        cwd=notebook,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "unknown keyword 'dispaly_name' for start_logging" in done.stderr.splitlines()[-1]


def test_a_handle_by_id_is_of_the_run_with_that_id(nightly: Path) -> None:
    """Of a step's run or a child's, too, as ``Run.get`` gives it."""
    code = """
(run,) = experiment("nightly").get_runs()
(step,) = run.get_steps()
(fold,) = step.get_children()
again = [Run(experiment("nightly"), known.id) for known in (run, step, fold)]
known = lambda r: [r.id, r.name, r.type, r.get_details()["runId"], type(r).__name__, r.parent and r.parent.id]
print(json.dumps([list(map(known, again)), list(map(known, (run, step, fold))), again[2].get_metrics()]))
"""
    again, before, metrics = later(nightly, code)
    assert again == before
    assert metrics == {"accuracy": 0.75}


def test_logging_does_not_wait_for_mlflow(tmp_path: Path) -> None:
    """A tracking server that is down is said once, at the end; everything is in the run's folder."""
    folder = project(tmp_path)
    (folder / "workspace.yaml").write_text("name: lab\nmlflow:\n  tracking_uri: http://127.0.0.1:9\n")
    began = time.monotonic()
    done = python(folder, INTERACTIVE)
    assert done.stderr.count("http://127.0.0.1:9") == 1, (done.stderr, time.monotonic() - began)
    assert later(folder, 'print(json.dumps(next(experiment("notebook").get_runs()).get_metrics("loss")))') == {
        "loss": [1.0, 0.5, 1 / 3]
    }
    # Who looks at the run between its last state and its process's end hears of it, too.
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(SLOW_END)
    done = python(folder, PIPELINE.replace("UNTIL", "''"), path=str(tmp_path / "slow"))
    told = [line for line in done.stderr.splitlines() if line.startswith("run nightly-")]
    assert len(told) == 1, (done.returncode, done.stdout, done.stderr)
    (said,) = told
    assert "http://127.0.0.1:9" in said
    assert said.endswith("goes to MLflow when this works again.")
