"""A run folder as head task and runtime leave it, and the MLflow store to look at."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.mlflow_server import serving


@dataclass
class RunFolder:
    """Writes what the real parts write, through files only."""

    path: Path
    uri: str

    def describe(self, *tasks: str, **facts: Any) -> RunFolder:
        record = {
            "dag_id": "digits",
            "run_id": f"manual__{self.path.name}",
            "pipeline_run_id": f"digits-{self.path.name}",
            "experiment": "digits experiment",
            "workspace": "local",
            "parameters": {},
            "tags": {},
            "steps": [
                {"task_id": task, "name": f"the {task}", "step_run_id": f"{self.path.name}-{task}"} for task in tasks
            ],
            "started": time.time(),
        }
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "run.json").write_text(json.dumps(record | facts))
        return self

    def attempt(self, task: str, number: int = 1, job: dict[str, Any] | None = None) -> Path:
        folder = self.path / "steps" / task / "attempts" / str(number)
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        job = job or {"command": {"kind": "python", "script": "train.py", "arguments": ["--rate", "0.1"]}}
        (folder / "job.json").write_text(json.dumps(job))
        return folder

    def log(self, task: str, *events: dict[str, Any], attempt: int = 1) -> None:
        with (self.path / "steps" / task / "attempts" / str(attempt) / "events.jsonl").open("a") as file:
            for event in events:
                file.write(json.dumps({"seq": 1, "time": time.time()} | event) + "\n")

    def result(self, task: str, state: str = "Finished", attempt: int = 1, **facts: Any) -> None:
        result = {
            "attempt": attempt,
            "state": state,
            "ended": time.time(),
            "seconds": 1.5,
            "exit_code": 0,
            "outputs": {},
        }
        folder = self.path / "steps" / task
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(json.dumps(result | facts))


def scalar(name: str, value: Any, **facts: Any) -> dict[str, Any]:
    return {"type": "metric", "kind": "scalar", "name": name, "value": value, "step": None} | facts


@dataclass
class Store:
    """What MLflow has."""

    client: MlflowClient

    def runs(self) -> list[Run]:
        return [
            run
            for experiment in self.client.search_experiments()
            for run in self.client.search_runs([experiment.experiment_id])
        ]

    def parent(self) -> Run:
        (run,) = [run for run in self.runs() if "mlflow.parentRunId" not in run.data.tags]
        return run

    def step(self, task: str) -> Run:
        (run,) = [run for run in self.runs() if run.data.tags.get("aml.task_id") == task]
        return run

    def points(self, run: Run, key: str) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(run.info.run_id, key)
        return sorted((point.step, point.value) for point in history)

    def files(self, run: Run, path: str | None = None) -> set[str]:
        found: set[str] = set()
        for item in self.client.list_artifacts(run.info.run_id, path):
            found |= self.files(run, item.path) if item.is_dir else {item.path}
        return found

    def text(self, run: Run, path: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            return Path(self.client.download_artifacts(run.info.run_id, path, folder)).read_bytes().decode()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh MLflow database; making one takes seconds, copying it does not."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "mlflow.db").write_bytes(empty_database.read_bytes())
    return f"sqlite:///{tmp_path}/state/mlflow.db"


@pytest.fixture
def folder(tmp_path: Path, uri: str) -> RunFolder:
    return RunFolder(tmp_path / "store" / "runs" / "digits" / "one", uri)


@pytest.fixture
def store(uri: str) -> Store:
    return Store(MlflowClient(uri))


@pytest.fixture
def mlflow_server(tmp_path: Path, uri: str) -> Iterator[str]:
    """MLflow's own server on the test's database."""
    with serving(uri, tmp_path) as address:
        yield address
