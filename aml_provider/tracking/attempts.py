"""One MLflow run for each attempt at a step, so that a retry never writes into the run of what had failed.

The run that a step has from the beginning is its first attempt's. A later attempt, a retry or one that somebody cleared
the step for, gets another beside it, below the pipeline's run: how the step ended is seen there, where a run nested
below one that has failed would be hidden.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aml_provider.runs.layout import OUTSIDE_FOLDER, RunFolder

from . import names
from .client import mlflow_client
from .errors import TrackingError
from .ledger import Ledger, StepLedger, locked, read_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

_WAIT_SECONDS = 20.0
_LOST = "it did not come to its end: its worker was lost, or it was stopped"

_log = logging.getLogger(__name__)


def open_attempt(run_folder: Path, task_id: str, attempt: int) -> None:
    """Give a further attempt at a step its own MLflow run before it starts: its script may use MLflow itself.

    For a first attempt, which has its run, MLflow is not asked.
    """
    earlier = [found.number for found in RunFolder(run_folder).step(task_id).attempts()]
    ledger = Ledger.load(run_folder)
    step = None if ledger is None or ledger.parent is None else ledger.steps.get(task_id)
    if step is None or is_own_run(step, attempt, earlier):
        return
    try:
        with locked(run_folder, _WAIT_SECONDS):
            ledger = Ledger.load(run_folder)
            if ledger is None or ledger.parent is None or task_id not in ledger.steps:
                return
            with mlflow_client(ledger.tracking_uri) as client:
                from .steps import StepProjector

                folder = run_folder / "steps" / task_id
                projector = StepProjector(client, run_folder, ledger, ledger.steps[task_id], folder)
                projector.turn_over([*(number for number in earlier if number < attempt), attempt])
    except (TrackingError, OSError) as error:
        _log.warning("%s", error)


def next_run(
    client: MlflowClient, run_folder: Path, ledger: Ledger, step: StepLedger, task_id: str, attempt: int
) -> None:
    """Give a step's ledger the MLflow run of a further attempt; one that an earlier try made is found again."""
    from .opening import ATTEMPT_TAG, step_tags

    assert ledger.experiment_id is not None
    assert ledger.parent is not None
    record = read_json(run_folder / "run.json") or {"steps": []}
    entry = next(entry for entry in record["steps"] if entry["task_id"] == task_id)
    tags = step_tags(record, entry, ledger.parent) | {ATTEMPT_TAG: str(attempt)}
    wanted = [("aml.step_run_id", tags["aml.step_run_id"]), (ATTEMPT_TAG, str(attempt))]
    filters = " and ".join(f"tags.`{key}` = {names.quoted(value)}" for key, value in wanted)
    found = client.search_runs([ledger.experiment_id], filters, max_results=1)
    if found:
        run_id = found[0].info.run_id
    else:
        name = f"{entry['name']} (attempt {attempt})"
        run_id = client.create_run(ledger.experiment_id, tags=tags, run_name=name).info.run_id
    new = StepLedger(str(run_id), attempt=attempt, offsets=step.offsets)
    # What was said of the step from outside is said of its new run as well.
    new.offsets.pop(OUTSIDE_FOLDER, None)
    vars(step).update(vars(new))
    ledger.save(run_folder)


def is_unused(step: StepLedger) -> bool:
    """Whether nothing has been written yet to the run that a step has, be it that an upstream step had failed."""
    return step.attempt is None and not (step.done == 0 and step.status == "FINISHED")


def is_own_run(step: StepLedger, attempt: int, earlier: list[int]) -> bool:
    """Whether the run that a step has is that of this attempt.

    :param earlier: the attempts that there have been.
    """
    if step.attempt is not None:
        return step.attempt == attempt
    return is_unused(step) and not any(number < attempt for number in earlier)


def end_of(run_folder: Path, task_id: str, attempt: int) -> dict[str, Any]:
    """The result of an attempt that another has followed; where it left none, that it failed."""
    from .steps import mlflow_status

    step = RunFolder(run_folder).step(task_id)
    result = step.result() or {}
    own = result if result.get("attempt") == attempt and not result.get("reused") else {}
    ended = mlflow_status(str(own.get("state"))) is not None
    return {
        **own,
        "state": own["state"] if ended else "Failed",
        "error": own.get("error") or (None if ended else _LOST),
        "ended": own.get("ended") or step.attempt(attempt).last_sign(),
    }
