"""Models of runs: registered by a script when its step succeeds, and by programs through the run's handle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.airflow

TRAIN = """
import os
from azureml.core import Run

os.makedirs("outputs/net", exist_ok=True)
for name in ("model.pkl", "net/weights", "net/config"):
    with open(f"outputs/{name}", "w") as f:
        f.write(name)
run = Run.get_context()
run.register_model("inside", "outputs/model.pkl", tags={"by": "script"}, properties={"auc": 0.9})
"""
FAILING = TRAIN.replace('"inside"', '"never"') + "\nraise SystemExit(3)\n"
PROGRAM = """
import json
from azureml.core import Experiment, Model, ScriptRunConfig, Workspace
from azureml.exceptions import ModelPathNotFoundException, WebserviceException
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
steps = [PythonScriptStep(f"{name}.py", name=name, compute_target="local") for name in ("train", "failing")]
experiment = Experiment(ws, "nets")
run = experiment.submit(Pipeline(ws, steps=steps), continue_on_step_failure=True)
run.wait_for_completion(show_output=False, raise_on_error=False)
train = run.find_step_run("train")[0]

model = train.register_model("outside", "outputs/model.pkl", tags={"by": "program"}, model_framework="Custom")
net = train.register_model("net", model_path="outputs/net", description="a folder")
said = []
for one, path in ((train, "outputs/none.pkl"), (train, "../outputs/model.pkl"), (run, "outputs/model.pkl")):
    try:
        one.register_model("wrong", path)
    except (ModelPathNotFoundException, WebserviceException) as error:
        said.append(str(error))

with experiment.start_logging() as interactive:
    open("local.pkl", "w").write("interactive")
    interactive.upload_file("outputs/local.pkl", "local.pkl")
    uploaded = interactive.register_model("uploaded", "outputs/local.pkl")

script = experiment.submit(ScriptRunConfig(".", "train.py", compute_target="local"))
script.wait_for_completion()
scripted = script.register_model("scripted", "outputs/model.pkl")

print(json.dumps({
    "said": said,
    "train": train.id,
    "experiment": [m.experiment_name for m in (model, net, uploaded, scripted)],
    "of train": sorted(m.id for m in Model.list(ws, run_id=train.id)),
    "of interactive": [m.id for m in Model.list(ws, run_id=interactive.id)],
    "of script": sorted(m.id for m in Model.list(ws, run_id=script.id)),
    "runs": [m.run.id == r.id for m, r in ((model, train), (uploaded, interactive), (scripted, script))],
    "all": sorted(m.id for m in Model.list(ws)),
    "inside": [Model(ws, "inside", version=1).tags, Model(ws, "inside", version=1).properties],
    "net": net.download("got"),
    "texts": [open(Model(ws, name).download(f"got/{name}")).read() for name in ("outside", "uploaded", "inside")],
}))
"""
LATER = """
from azureml.core import Experiment, Model, Run, Workspace

ws = Workspace.from_config()
run = next(r for r in Experiment(ws, "nets").get_runs() if r.type == "azureml.PipelineRun")
train = run.find_step_run("train")[0]
assert train.register_model("outside", "outputs/model.pkl").version == 2
model = Model(ws, "outside", version=1)
assert model.run.id == train.id == model.run_id, (model.run, train.id)
print("fine")
"""


def program(folder: Path, name: str) -> str:
    done = subprocess.run([sys.executable, name], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    (place / "workspace.yaml").write_text("name: lab\n")
    files = {"train.py": TRAIN, "failing.py": FAILING, "program.py": PROGRAM, "later.py": LATER}
    for name, text in files.items():
        (place / name).write_text(text)
    return place


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, Any]:
    """What the program says at its end."""
    said: dict[str, Any] = json.loads(program(folder, "program.py"))
    return said


def test_a_model_is_registered_when_its_step_succeeds_and_only_then(told: dict[str, Any]) -> None:
    assert told["inside"] == [{"by": "script"}, {"auc": "0.9"}]
    # Both the pipeline's step and the script registered it.
    assert told["all"] == ["inside:1", "inside:2", "net:1", "outside:1", "scripted:1", "uploaded:1"]


def test_models_know_their_runs(told: dict[str, Any]) -> None:
    assert told["of train"] == ["inside:1", "net:1", "outside:1"]
    assert told["of interactive"] == ["uploaded:1"]
    assert told["of script"] == ["inside:2", "scripted:1"]
    assert told["runs"] == [True, True, True]
    assert told["experiment"] == ["nets"] * 4


def test_files_of_a_run_come_back(folder: Path, told: dict[str, Any]) -> None:
    assert told["net"] == "got/net"
    assert {p.name: p.read_text() for p in (folder / "got" / "net").iterdir() if p.is_file()} == {
        "weights": "net/weights",
        "config": "net/config",
    }
    assert told["texts"] == ["model.pkl", "interactive", "model.pkl"]


def test_a_file_that_the_run_has_not_is_said(told: dict[str, Any]) -> None:
    missing, outside, of_step = told["said"]
    assert f"run {told['train']} has no file or folder 'outputs/none.pkl'; it has " in missing
    assert "outputs/model.pkl" in missing
    assert "model_path is '../outputs/model.pkl', but must be the name of a file or folder of the run" in outside
    assert "it has no files. Files of a step are its step run's: run.find_step_run(NAME)[0]" in of_step


def test_sources_are_artifacts_of_the_mlflow_run(folder: Path, told: dict[str, Any]) -> None:
    client = MlflowClient(f"sqlite:///{folder}/.aml/mlflow.db")
    versions = client.search_model_versions()
    assert len(versions) >= len(told["all"])
    for version in versions:
        run = client.get_run(version.run_id)
        assert version.source.startswith(f"{run.info.artifact_uri}/outputs/")
        assert run.data.tags["aml.pipeline_run_id"]


def test_a_later_program_registers_the_next_version(folder: Path, told: dict[str, Any]) -> None:
    assert told["all"]
    assert program(folder, "later.py") == "fine"
