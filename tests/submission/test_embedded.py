"""A program runs a pipeline without any server; a later program finds the run again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_disk import small_disk

PIPELINE = """
from azureml.core import Experiment, Workspace
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline, PipelineParameter
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
text = OutputFileDatasetConfig("text").register_on_complete("spoken")
word = PipelineParameter("word", "hello")
say = PythonScriptStep("say.py", name="say", arguments=[text, word], compute_target="local")
run = Experiment(ws, "later").submit(Pipeline(ws, steps=[say]), tags={"kind": "story"})
run.wait_for_completion(show_output=False)
"""
SCRIPT = """
import os, sys
from azureml.core import Run

with open(os.path.join(sys.argv[1], "said.txt"), "w") as f:
    f.write(sys.argv[2])
Run.get_context().log("letters", len(sys.argv[2]))
os.makedirs("outputs", exist_ok=True)
with open("outputs/note.txt", "w") as f:
    f.write("kept")
os.symlink(os.path.join(sys.argv[1], "said.txt"), os.path.join(sys.argv[1], "latest"))
"""
LATER = """
import json
from azureml.core import Dataset, Experiment, Workspace
from azureml.pipeline.core import PipelineRun

ws = Workspace.from_config()
found = list(Experiment(ws, "later").get_runs())
again = PipelineRun(Experiment(ws, "later"), found[0].id)
step = again.find_step_run("say")[0]
step.get_output_data("text").download("again")
Dataset.get_by_name(ws, "spoken").download("registered")
step.download_file("outputs/note.txt", "again/note.txt")
print(json.dumps([again.get_status(), step.get_metrics(), len(found), list(again.get_tags())]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the pipeline has been run once, as a program."""
    place = tmp_path_factory.mktemp("a folder with blanks")
    (place / "workspace.yaml").write_text("name: lab\n")
    for name, text in (("pipeline.py", PIPELINE), ("say.py", SCRIPT), ("later.py", LATER)):
        (place / name).write_text(text)
    done = subprocess.run([sys.executable, "pipeline.py"], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place


def test_a_later_program_finds_the_run_its_metrics_outputs_and_dataset(folder: Path) -> None:
    """By experiment and by id; the registered output is a dataset by name."""
    done = subprocess.run([sys.executable, "later.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    status, metrics, runs, tags = json.loads(done.stdout.splitlines()[-1])
    assert (status, metrics, runs) == ("Finished", {"letters": 5}, 1)
    assert "kind" in tags
    assert [p.read_text() for p in (folder / "again").rglob("said.txt")] == ["hello"]
    assert (folder / "again" / "note.txt").read_text() == "kept"
    assert [p.read_text() for p in (folder / "registered").rglob("said.txt")] == ["hello"]


def test_nothing_of_the_attempt_is_left_beside_the_outputs(folder: Path) -> None:
    """The private place in which the step wrote is gone once its outputs are published."""
    store = folder / ".aml" / "datastores" / "workspaceblobstore"
    staging = store / ".aml" / "staging"
    assert not staging.exists() or not list(staging.iterdir())
    assert sorted(p.name for p in (store / "dataset").rglob("*") if p.is_file()) == ["latest", "said.txt"]


def test_a_link_to_a_file_of_the_output_still_leads_there(folder: Path) -> None:
    """The script made it with an absolute path, in the private place that is gone."""
    (link,) = (folder / ".aml" / "datastores" / "workspaceblobstore" / "dataset").rglob("latest")
    assert link.is_symlink()
    assert link.read_text() == "hello"


def test_a_full_disk_is_told_by_the_folder_that_is_on_it(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=2m") as disk:
        (tmp_path / "workspace.yaml").write_text(f"name: lab\nstate: {disk}/state\n")
        (tmp_path / "pipeline.py").write_text(PIPELINE)
        (tmp_path / "say.py").write_text(SCRIPT)
        done = subprocess.run(
            [sys.executable, "pipeline.py"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        said = (done.stdout + done.stderr).strip().splitlines()
        assert done.returncode == 1
        assert (
            f"There is no room left where runs are kept ({disk}/state/runs): make room there, or have state:"
            in said[-2]
        )
        assert "Traceback" not in done.stdout


def test_airflow_does_not_build_its_api_for_workers_that_lag_behind() -> None:
    """It takes seconds of every run; an Airflow whose inner parts have changed builds all of it again, unnoticed."""
    code = """
from aml_provider.submission.task_api import newest_version_only
from airflow.api_fastapi.execution_api import versions

before = versions.bundle.versions
newest_version_only()
print(len(before) > 1, [v.value for v in versions.bundle.versions] == [before[0].value])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["True True"], done.stdout + done.stderr
