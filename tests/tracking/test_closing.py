"""Runs whose closing task did not do its work are closed by a program that Airflow's own processes start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from aml_provider.runs.layout import read_json
from aml_provider.tracking.recorder import close_run, open_run, reconcile

from .conftest import RunFolder, Store, scalar


def close(tmp_path: Path, folder: RunFolder, state: str, states: dict[str, str], /, **changed: Any) -> str:
    """Start the program as the plugin does; what it says."""
    order = {
        "folder": str(folder.path),
        "server": None,
        "experiment": "digits experiment",
        "dag_id": "digits",
        "run_id": f"manual__{folder.path.name}",
        "state": state,
        "states": states | {"reuse": "success", "pipeline_end": "skipped"},
    }
    file = tmp_path / "order.json"
    file.write_text(json.dumps(order | changed))
    done = subprocess.run(
        [sys.executable, "-m", "aml_provider.execution.closing", str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not file.exists()
    return done.stderr


def statuses(store: Store) -> dict[str, str]:
    return {run.data.tags.get("aml.task_id", "pipeline"): run.info.status for run in store.runs()}


def test_what_stayed_open_is_closed_once(tmp_path: Path, folder: RunFolder, store: Store) -> None:
    folder.describe("prep", "train", "score")
    open_run(folder.path, folder.uri)
    folder.attempt("prep")
    folder.result("prep")
    folder.attempt("train")
    folder.log("train", scalar("loss", 1))
    reconcile(folder.path)
    states = {"prep": "success", "train": "failed", "score": "skipped"}
    for _ in range(2):
        close(tmp_path, folder, "failed", states)
        assert statuses(store) == {"pipeline": "FAILED", "prep": "FINISHED", "train": "FAILED", "score": "KILLED"}
    assert store.step("train").data.metrics == {"loss": 1.0}
    end = read_json(folder.path / "end.json")
    assert end is not None
    assert [end["state"], end["steps"]] == ["Failed", states]
    # Another has closed it: not even MLflow is asked.
    (folder.path.parents[3] / "state/mlflow.db").rename(tmp_path / "away.db")
    assert close(tmp_path, folder, "failed", states) == ""
    assert not (folder.path.parents[3] / "state/mlflow.db").exists()
    (tmp_path / "away.db").rename(folder.path.parents[3] / "state/mlflow.db")
    # The closing task comes after all.
    assert close_run(folder.path, "Failed", states)
    assert len(store.runs()) == 4


def test_a_run_that_took_too_long_was_canceled(tmp_path: Path, folder: RunFolder, store: Store) -> None:
    folder.describe("train", "score")
    open_run(folder.path, folder.uri)
    folder.attempt("train")
    reconcile(folder.path)
    close(tmp_path, folder, "failed", {"train": "skipped", "score": "skipped"})
    assert statuses(store) == {"pipeline": "KILLED", "train": "KILLED", "score": "KILLED"}


def test_a_run_that_somebody_marked_as_a_success(tmp_path: Path, folder: RunFolder, store: Store) -> None:
    folder.describe("train", "score")
    open_run(folder.path, folder.uri)
    folder.attempt("train")
    reconcile(folder.path)
    close(tmp_path, folder, "success", {"train": "success", "score": "skipped"})
    assert statuses(store) == {"pipeline": "FINISHED", "train": "FINISHED", "score": "KILLED"}


def test_where_the_runs_folder_is_not_to_be_seen(tmp_path: Path, mlflow_server: str) -> None:
    folder = RunFolder(tmp_path / "store/runs/digits/two", mlflow_server).describe("prep", "train")
    other = RunFolder(tmp_path / "store/runs/digits/other", mlflow_server).describe("prep")
    for each in (folder, other):
        open_run(each.path, mlflow_server)
    folder.attempt("prep")
    folder.result("prep")
    reconcile(folder.path)
    store = Store(MlflowClient(mlflow_server))
    states = {"prep": "success", "train": "skipped"}
    close(tmp_path, folder, "failed", states, folder=str(tmp_path / "unseen"), server=mlflow_server)
    found = {(run.data.tags["aml.run_id"], run.data.tags.get("aml.task_id")): run.info.status for run in store.runs()}
    assert found == {
        ("manual__two", None): "KILLED",
        ("manual__two", "prep"): "FINISHED",
        ("manual__two", "train"): "KILLED",
        ("manual__other", None): "RUNNING",
        ("manual__other", "prep"): "SCHEDULED",
    }


def test_with_nothing_to_close_it_says_nothing(tmp_path: Path, folder: RunFolder) -> None:
    assert close(tmp_path, folder, "failed", {}, folder=str(tmp_path / "absent")) == ""


def test_a_server_that_is_down_is_a_sentence(tmp_path: Path, folder: RunFolder) -> None:
    said = close(tmp_path, folder, "failed", {}, folder=str(tmp_path / "absent"), server="http://127.0.0.1:9")
    assert "run manual__one of digits has ended: MLflow at http://127.0.0.1:9 cannot be used" in said
    assert "Traceback" not in said
