"""What an ended attempt amounts to: finished, failed, or merely gone."""

from __future__ import annotations

import logging
import time
from itertools import chain, repeat
from typing import Any

from aml_provider.execution.commit import commit_failure, commit_success
from aml_provider.execution.disk import no_room
from aml_provider.execution.prepare import timeout_seconds
from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepError, StepFailedError, StepInterruptedError
from aml_provider.runs.layout import AttemptFolder
from aml_provider.spec.models import StoredOutput
from aml_provider.storage.faults import DatastoreError

_log = logging.getLogger(__name__)
# How long what has been computed waits for a datastore that does not answer, and with which pauses.
_PATIENCE_SECONDS = 600.0
_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0)


def conclude(
    run: StepRun, attempt: AttemptFolder, ended_how: str, *, memory_ran_out: bool = False
) -> dict[str, StoredOutput]:
    """Judge an attempt whose process or container has ended, and commit it.

    A step is done when its runtime reported so, never because something merely ended with 0.

    :param ended_how: what the outside saw, e.g. ``container exited with 137 (out of memory)``; for the message.
    :param memory_ran_out: the outside saw that the kernel killed the container for its memory. It may have killed the
        runtime too, so that there is no report; starting again would end the same way.
    :return: where the outputs are.
    :raises StepFailedError: the command failed. :raises StepInterruptedError: there is no report.
    """
    report = attempt.finished_report()
    if report is None and memory_ran_out:
        commit_failure(run, attempt, None, out_of_memory(run))
        raise StepFailedError(out_of_memory(run), _tail(attempt))
    if report is None:
        full = no_room(run, attempt.path)
        raise StepInterruptedError(
            f"step {run.step.name!r}, attempt {attempt.number}: {ended_how}, before the step reported that it was "
            f"done, so it does not count as done{f': {full}' if full else '.'}",
            _tail(attempt),
        )
    error = failure_of(run, report)
    if error is None:
        try:
            return _committed(run, attempt, report)
        except StepError as e:
            commit_failure(run, attempt, report, str(e))
            raise
    commit_failure(run, attempt, report, error)
    raise StepFailedError(error, _tail(attempt))


def _committed(run: StepRun, attempt: AttemptFolder, report: dict[str, Any]) -> dict[str, StoredOutput]:
    """Commit what a script took hours for, also when its datastore is away for some minutes just then."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pauses = chain(_PAUSES, repeat(_PAUSES[-1]))
    while True:
        try:
            return commit_success(run, attempt, report)
        except StepInterruptedError as e:
            pause = next(pauses)
            away = isinstance(e.__cause__, DatastoreError) and e.__cause__.transient
            if not away or time.monotonic() + pause > deadline:
                raise
            _log.warning("%s What the step wrote is kept, and published as soon as that works.", e.sentence)
        time.sleep(pause)


def failure_of(run: StepRun, report: dict[str, Any]) -> str | None:
    """Why a reported attempt failed, in a sentence; ``None`` if it did not."""
    code = report["exit_code"]
    if code == 0 and not report.get("error"):
        return None
    step = f"step {run.step.name!r}"
    if report.get("oom_killed"):
        return out_of_memory(run)
    if report.get("timed_out"):
        return (
            f"{step} was stopped because it ran longer than its timeout of {timeout_seconds(run)} s. Make it faster, "
            "or raise the limit (the step's max_run_duration_seconds, or timeout_seconds: of compute target "
            f"{run.compute.name!r} in the workspace file)."
        )
    if report.get("signal"):
        hint = " (perhaps the machine ran out of memory)" if report["signal"] == 9 else ""
        return f"{step} failed: its command was killed by signal {report['signal']}{hint}."
    error = str(report.get("error") or "").rstrip(".")
    return f"{step} failed: {error[:1].lower()}{error[1:]}." if error else f"{step} failed with exit code {code}."


def out_of_memory(run: StepRun) -> str:
    """What happened to a step that the kernel killed for its memory, in a sentence."""
    limit = run.compute.memory
    size = f" of {_size(limit)}" if limit else ""
    return (
        f"step {run.step.name!r} was killed because it used more memory than the limit{size} of compute target "
        f"{run.compute.name!r}. Give the target more (memory: or vm_size: in the workspace file), or let the script "
        "use less."
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{count / 2**20:.3g} MiB"


def _tail(attempt: AttemptFolder) -> str:
    text = attempt.log_tail()
    if not text:
        return "It printed nothing."
    return f"Its last lines ({attempt.log}):\n{text}"
