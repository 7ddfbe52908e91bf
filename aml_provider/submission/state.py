"""From Airflow's states to Azure ML's, for runs and for steps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aml_provider.runs.layout import CANCELED, AttemptFolder, RunFolder
from aml_provider.sdk.backend import OutputInfo, ReusedInfo, RunState, StepInfo

# Read of a log at once.
_LOG_BYTES = 1 << 20
_RUN = {"queued": RunState.QUEUED, "running": RunState.RUNNING, "success": RunState.FINISHED, "failed": RunState.FAILED}
_STEP = {
    "scheduled": RunState.QUEUED,
    "queued": RunState.QUEUED,
    "running": RunState.RUNNING,
    "restarting": RunState.RUNNING,
    "deferred": RunState.RUNNING,
    "up_for_retry": RunState.QUEUED,
    "up_for_reschedule": RunState.QUEUED,
    "success": RunState.FINISHED,
    "failed": RunState.FAILED,
    "skipped": RunState.SKIPPED,
    # Never started, and never will be in this run.
    "upstream_failed": RunState.SKIPPED,
    "removed": RunState.SKIPPED,
}


def run_state(airflow_state: str | None) -> RunState:
    """A DAG run's state."""
    return _RUN.get(airflow_state or "", RunState.NOT_STARTED)


def step_state(airflow_state: str | None) -> RunState:
    """A task instance's state."""
    return _STEP.get(airflow_state or "", RunState.NOT_STARTED)


def latest_attempt(run_folder: Path, key: str) -> AttemptFolder | None:
    """A step's latest attempt; for a reused step, the one that computed its result, if it is still there."""
    run = RunFolder(run_folder)
    reused = (run.result(key) or {}).get("reused")
    if reused:
        return AttemptFolder(run.store_root / reused["attempt_folder"], 0)
    attempts = run.step(key).attempts()
    return attempts[-1] if attempts else None


def step_files(run_folder: Path | None, key: str) -> Path | None:
    """The files that a step's latest attempt kept; ``None`` where this machine does not see the run's folder."""
    if run_folder is None:
        return None
    attempt = latest_attempt(run_folder, key)
    return attempt.path / "artifacts" if attempt is not None else run_folder / "steps" / key / "artifacts"


def step_log(run_folder: Path, key: str) -> str:
    """What a step's latest attempt wrote to its standard streams so far."""
    attempt = latest_attempt(run_folder, key)
    if attempt is None or not attempt.log.exists():
        return ""
    return attempt.log.read_text(encoding="utf-8", errors="replace")


def new_step_log(run_folder: Path, key: str, seen: int) -> tuple[str, int]:
    """What a step's latest attempt wrote since.

    :param seen: in bytes; 0, or what an earlier call gave.
    """
    attempt = latest_attempt(run_folder, key)
    if attempt is None or not attempt.log.exists():
        return "", seen
    with attempt.log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        # A later attempt begins a log of its own.
        begin = file.seek(seen if size >= seen else 0)
        data = file.read(_LOG_BYTES)
    if attempt.report() is None:
        data = data[: data.rfind(b"\n") + 1]
    return data.decode("utf-8", "replace"), begin + len(data)


def span_of(state: RunState, steps: Sequence[StepInfo]) -> tuple[float | None, float | None]:
    """When a run's steps began and ended; there is no end before the run's."""
    began = min((step.started for step in steps if step.started is not None), default=None)
    ended = max((step.ended for step in steps if step.ended is not None), default=None)
    return began, ended if state.is_final else None


def step_info(
    key: str, name: str, step_run_id: str, state: RunState, run_folder: Path | None, times: dict[str, Any]
) -> StepInfo:
    """A step as it is now: Airflow's state, and what the step's own result says.

    :param run_folder: the run's folder in the run store, ``None`` where this machine does not see it.
    :param times: ``started`` and ``ended`` as Airflow knows them (seconds since the epoch, or ``None``).
    """
    result = (RunFolder(run_folder).result(key) if run_folder is not None else None) or {}
    reused = result.get("reused")
    if reused and state is RunState.SKIPPED:
        # As in Azure ML, where a reused step shows what its earlier run shows.
        state = RunState.FINISHED
    if state is RunState.FAILED and result.get("state") == CANCELED:
        state = RunState.CANCELED
    return StepInfo(
        key=key,
        name=name,
        step_run_id=step_run_id,
        state=state,
        started=times.get("started"),
        ended=times.get("ended") if state.is_final else None,
        outputs={n: OutputInfo(p["datastore"], p["path"]) for n, p in result.get("outputs", {}).items()},
        metrics=result.get("metrics", {}),
        error=result.get("error") if state is RunState.FAILED else None,
        reused=reused_info(reused) if reused else None,
        unrecorded=result.get("unrecorded"),
    )


def reused_info(reused: dict[str, Any]) -> ReusedInfo:
    """Whose result a step has, from what its result says of that."""
    return ReusedInfo(
        str(reused["pipeline_run_id"]), str(reused["step_run_id"]), float(reused["seconds"]), str(reused["reason"])
    )
