"""Reused steps in MLflow: where their results come from, and one table of all of them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aml_provider.runs.layout import RunFolder

from . import names
from .journal import Event
from .projection import set_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: A pipeline run that reuses more steps than this has no MLflow run for each of them: making one takes some 20 ms.
MAX_RUNS = 100
TABLE = "reused_steps.json"
_COLUMNS = ("step", "from_pipeline_run", "from_step_run", "how", "reason", "saved_seconds", "outputs", "metrics")
# How MLflow's own log_table marks a table, by which its UI shows it as one.
_TABLES_TAG = "mlflow.loggedArtifacts"


def reused_results(run_folder: RunFolder, record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The results of the steps that are reused, by task id.

    :param record: the content of run.json.
    """
    found = ((step["task_id"], run_folder.result(step["task_id"])) for step in record["steps"])
    return {task_id: result for task_id, result in found if result is not None and result.get("reused")}


def reuse_tags(reused: Mapping[str, Any]) -> dict[str, str]:
    """What says of an MLflow run that its step was not run, and whose result it has."""
    tags = {"aml.reused": "true"}
    for part in ("how", "reason", "fingerprint", "pipeline_run_id", "step_run_id", "dag_id", "run_id", "seconds"):
        if reused.get(part) is not None:
            tags[f"aml.reused.{part}"] = names.text(reused[part], names.MAX_TAG)
    return tags


def recorded_events(metrics: Mapping[str, Any]) -> list[Event]:
    """The journal that would give these metrics."""
    events: list[Event] = []
    now = time.time()
    for name, value in metrics.items():
        if isinstance(value, dict):
            cells = value.items()
            events += [_event(f"{name}/{key}", cell if isinstance(cell, list) else [cell], now) for key, cell in cells]
        else:
            events.append(_event(name, value, now))
    return events


def _event(name: str, value: Any, now: float) -> Event:
    kind = "list" if isinstance(value, list) else "scalar"
    return {"type": "metric", "kind": kind, "name": name, "value": value, "time": now}


def log_reused(client: MlflowClient, run_id: str, results: Mapping[str, dict[str, Any]], steps: int) -> None:
    """Give the pipeline's MLflow run the table of its reused steps.

    :param steps: how many steps the pipeline has.
    """
    if not results:
        return
    rows = [_row(result) for result in results.values()]
    client.log_dict(run_id, {"columns": list(_COLUMNS), "data": rows}, TABLE)
    saved = sum(float(result["reused"].get("seconds") or 0.0) for result in results.values())
    set_tags(
        client,
        run_id,
        {
            "aml.reused": f"{len(results)} of {steps} steps",
            "aml.reused.saved_seconds": f"{saved:.3f}",
            _TABLES_TAG: json.dumps([{"path": TABLE, "type": "table"}]),
        },
    )


def _row(result: Mapping[str, Any]) -> list[Any]:
    reused = result["reused"]
    outputs = {name: f"{place['datastore']}:{place['path']}" for name, place in (result.get("outputs") or {}).items()}
    return [
        result.get("name"),
        reused.get("pipeline_run_id"),
        reused.get("step_run_id"),
        reused.get("how"),
        reused.get("reason"),
        reused.get("seconds"),
        json.dumps(outputs),
        json.dumps(result.get("metrics") or {}),
    ]
