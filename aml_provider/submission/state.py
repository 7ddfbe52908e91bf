"""From Airflow's states to Azure ML's, for runs and for steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aml_provider.runs.layout import RunFolder
from aml_provider.sdk.backend import OutputInfo, RunState, StepInfo

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


def step_files(run_folder: Path | None, key: str) -> Path | None:
    """The files that a step's latest attempt kept; ``None`` where this machine does not see the run's folder."""
    if run_folder is None:
        return None
    attempts = RunFolder(run_folder).step(key).attempts()
    return attempts[-1].path / "artifacts" if attempts else run_folder / "steps" / key / "artifacts"


def step_log(run_folder: Path, key: str) -> str:
    """What a step's latest attempt wrote to its standard streams so far."""
    attempts = RunFolder(run_folder).step(key).attempts()
    if not attempts or not attempts[-1].log.exists():
        return ""
    return attempts[-1].log.read_text(encoding="utf-8", errors="replace")


def step_info(
    key: str, name: str, step_run_id: str, state: RunState, run_folder: Path | None, times: dict[str, Any]
) -> StepInfo:
    """A step as it is now: Airflow's state, and what the step's own result says.

    :param run_folder: the run's folder in the run store, ``None`` where this machine does not see it.
    :param times: ``started`` and ``ended`` as Airflow knows them (seconds since the epoch, or ``None``).
    """
    result = (RunFolder(run_folder).step(key).result() if run_folder is not None else None) or {}
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
    )
