"""A thousand steps whose results are there: one task is executed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from benchmarks import cached

from .machine import eventually
from .server import Run, Server

pytestmark = pytest.mark.airflow
STEPS = cached.WIDTH * cached.DEPTH


@pytest.fixture
def wide(server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The pipeline, in the dags folder only while its test runs: reading it takes a second each time."""
    monkeypatch.setenv("AML_WORKSPACE", str(server.workspace_file))
    file = cached.write(server.dags)
    cached.compute_all(file)
    server.ready({cached.EXPERIMENT})
    yield file
    file.unlink()


def states(run: Run) -> Counter[str]:
    """How many tasks of the run have which state."""
    counted: Counter[str] = Counter()
    for offset in range(0, STEPS + 2, 100):
        page = run.server.api.get(f"{run.path}/taskInstances", limit=100, offset=offset)["task_instances"]
        counted.update(str(task["state"]) for task in page)
    return counted


def finished(client: MlflowClient, experiment_id: str) -> list[Any]:
    """The runs that have ended: MLflow is told a moment after Airflow."""
    return list(client.search_runs([experiment_id], "attributes.status = 'FINISHED'"))


def test_a_thousand_computed_steps_are_one_task(server: Server, wide: Path) -> None:
    run = server.trigger(cached.EXPERIMENT)
    assert run.wait(300) == "success"
    assert states(run) == {"success": 1, "skipped": STEPS + 1}
    assert f"{STEPS} of {STEPS} steps reused" in run.log("reuse")
    assert run.xcom("reuse")["step_4_7"]["out_4_7"]["path"].endswith("/out_4_7")
    client = MlflowClient(server.workspace.tracking_uri)
    experiment = eventually("MLflow has the experiment", lambda: client.get_experiment_by_name(cached.EXPERIMENT))
    assert experiment is not None
    (parent,) = eventually("MLflow has its end", lambda: finished(client, experiment.experiment_id))
    assert parent.data.tags["aml.reused"] == f"{STEPS} of {STEPS} steps"
    files = [f.path for f in client.list_artifacts(parent.info.run_id)]
    assert "reused_steps.json" in files
