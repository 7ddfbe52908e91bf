"""MLflow's view of a pipeline run: opened by the head task, kept up to date by workers, closed by the closing task.

None of these functions fails a task because MLflow does: each says in the log what is wrong and returns ``False``;
the run folder keeps everything, and the next call catches up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aml_provider.runs.layout import RunFolder

from . import pending
from .client import mlflow_client
from .errors import TrackingBusyError, TrackingError
from .ledger import Ledger, StepLedger, locked, read_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

_OPEN_WAIT_SECONDS = 60.0
_CLOSE_WAIT_SECONDS = 120.0
_CLOSE_TRIES = 3
_log = logging.getLogger(__name__)


def open_run(run_folder: Path, tracking_uri: str) -> bool:
    """Create the run's MLflow runs, or find the ones of an earlier try.

    :param run_folder: holds run.json.
    :return: whether MLflow has the runs; if not, a later call of any function here makes them.
    """
    try:
        with locked(run_folder, _OPEN_WAIT_SECONDS):
            ledger = Ledger.load(run_folder)
            if ledger is None or (ledger.parent is None and ledger.tracking_uri != tracking_uri):
                # Saved before MLflow is asked for anything: if it is down, later calls know where to try again.
                ledger = Ledger(tracking_uri)
                ledger.save(run_folder)
            if ledger.parent is None:
                with mlflow_client(tracking_uri) as client:
                    _create(client, run_folder, ledger)
    except (TrackingError, OSError) as error:
        _log.warning("%s", error)
        return False
    return True


def reconcile(
    run_folder: Path, *, final_states: Mapping[str, str] | None = None, tracking_uri: str | None = None
) -> bool:
    """Bring MLflow up to date with the run folder.

    Without ``final_states``, when another process is doing it, it does nothing.

    :param final_states: task id -> its final state (ours or Airflow's); it wins over the step's own result.
    :param tracking_uri: used when the run was never opened.
    :return: whether MLflow is up to date, or another process is seeing to it.
    """
    try:
        project(run_folder, final_states=final_states, tracking_uri=tracking_uri)
    except TrackingBusyError as error:
        if final_states is None:
            return True
        _log.warning("%s", error)
        return False
    except (TrackingError, OSError) as error:
        _log.warning("%s", error)
        return False
    return True


def project(
    run_folder: Path, *, final_states: Mapping[str, str] | None = None, tracking_uri: str | None = None
) -> None:
    """:func:`reconcile`, for callers that deal with errors themselves.

    :raises TrackingBusyError: another process is at it.
    :raises TrackingError: MLflow cannot be used.
    """
    with locked(run_folder, 0 if final_states is None else _CLOSE_WAIT_SECONDS):
        ledger = _ledger(run_folder, tracking_uri)
        if ledger is not None:
            with mlflow_client(ledger.tracking_uri) as client:
                _update(client, run_folder, ledger, final_states or {})


def close_run(
    run_folder: Path, state: str, final_states: Mapping[str, str] | None = None, tracking_uri: str | None = None
) -> bool:
    """End the parent run and every step's run that has not ended, and those of earlier runs that could not be told.

    :param state: how the pipeline run ended: Finished, Failed or Canceled, or Airflow's words for it.
    :param final_states: task id -> final state; a step that has none, and no result, counts as killed.
    :return: whether MLflow has it; if not, the log says why.
    """
    why = _close(run_folder, state, final_states or {}, tracking_uri, _CLOSE_TRIES)
    if why is not None:
        if (run_folder / "run.json").exists():
            pending.remember(run_folder, state, why)
        return False
    pending.forget(run_folder)
    away: set[str | None] = set()
    for folder, ended in pending.others(run_folder):
        ledger = Ledger.load(folder)
        # Each is told where it began: an address that is of no use any more must not keep the others from theirs.
        address = tracking_uri if ledger is None else ledger.tracking_uri
        if address in away:
            continue
        if _close(folder, ended, _end(folder).get("steps") or {}, tracking_uri, tries=1) is None:
            pending.forget(folder)
        else:
            away.add(address)
    return True


def _close(
    run_folder: Path, state: str, final_states: Mapping[str, str], tracking_uri: str | None, tries: int
) -> str | None:
    """End a run; why that was not possible, which the log says too."""
    from .steps import mlflow_status

    failure = ""
    for attempt in range(tries):
        if attempt:
            time.sleep(attempt)
        try:
            with locked(run_folder, _CLOSE_WAIT_SECONDS):
                ledger = _ledger(run_folder, tracking_uri)
                if ledger is None:
                    failure = f"{run_folder}: tracking of this run was never begun, so there is nothing to close"
                    break
                with mlflow_client(ledger.tracking_uri) as client:
                    states = _all_states(run_folder, ledger, final_states)
                    _update(client, run_folder, ledger, states)
                    ledger.status = mlflow_status(state) or "KILLED"
                    assert ledger.parent is not None
                    ended = _end(run_folder).get("ended")
                    client.set_terminated(ledger.parent, ledger.status, None if ended is None else int(ended * 1000))
                    ledger.save(run_folder)
            return None
        except (TrackingError, OSError) as error:
            failure = str(error)
    _log.warning("%s", failure)
    return failure


def _end(run_folder: Path) -> dict[str, Any]:
    """What the run's own record says of its end."""
    return read_json(run_folder / "end.json") or {}


def _ledger(run_folder: Path, tracking_uri: str | None) -> Ledger | None:
    ledger = Ledger.load(run_folder)
    if ledger is None and tracking_uri is not None and (run_folder / "run.json").exists():
        ledger = Ledger(tracking_uri)
        ledger.save(run_folder)
    return ledger


def _create(client: MlflowClient, run_folder: Path, ledger: Ledger) -> None:
    from .opening import create_runs

    record = read_json(run_folder / "run.json")
    if record is None:
        raise TrackingError(f"{run_folder / 'run.json'} is missing, so MLflow cannot be told about this run")
    create_runs(client, run_folder, record, ledger)


def _update(client: MlflowClient, run_folder: Path, ledger: Ledger, final_states: Mapping[str, str]) -> None:
    from .steps import StepProjector

    if ledger.parent is None:
        _create(client, run_folder, ledger)
    _send_to_pipeline(client, run_folder, ledger)
    _add_cleared(client, run_folder, ledger)
    for task_id, step in ledger.steps.items():
        folder = run_folder / "steps" / task_id
        StepProjector(client, run_folder, ledger, step, folder).update(final_states.get(task_id))


def _send_to_pipeline(client: MlflowClient, run_folder: Path, ledger: Ledger) -> None:
    """What programs reported to the pipeline run itself."""
    from .sending import send_outside

    assert ledger.parent is not None
    if ledger.pipeline is None:
        ledger.pipeline = StepLedger(ledger.parent)
    send_outside(client, run_folder, ledger, ledger.pipeline, run_folder, "pipeline run")


def _add_cleared(client: MlflowClient, run_folder: Path, ledger: Ledger) -> None:
    """A run for every step that has none, because it was reused among many, and that has run or been told something."""
    record = read_json(run_folder / "run.json")
    if record is None or len(ledger.steps) == len(record["steps"]):
        return
    from .opening import create_step_run

    folder = RunFolder(run_folder)
    for step in record["steps"]:
        if step["task_id"] in ledger.steps:
            continue
        found = folder.step(step["task_id"])
        if found.latest or found.outside.exists():
            create_step_run(client, record, step, ledger, scheduled=True)
            ledger.save(run_folder)


def _all_states(run_folder: Path, ledger: Ledger, given: Mapping[str, str]) -> dict[str, str]:
    """A final state for every step: the given one, else what its result says, else that it was killed."""
    from .steps import mlflow_status

    states: dict[str, str] = {}
    for task_id in ledger.steps:
        state = given.get(task_id)
        result = RunFolder(run_folder).result(task_id) or {}
        own = str(result.get("state"))
        if state is not None and mlflow_status(state) is not None:
            states[task_id] = state
        else:
            states[task_id] = own if mlflow_status(own) is not None else "Canceled"
    return states
