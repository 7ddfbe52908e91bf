"""What an ended attempt amounts to: finished, failed, or merely gone."""

from __future__ import annotations

from typing import Any

from aml_provider.execution.binding import StepRun
from aml_provider.execution.commit import commit_failure, commit_success
from aml_provider.execution.errors import StepError, StepFailedError, StepInterruptedError
from aml_provider.execution.layout import AttemptFolder
from aml_provider.spec.models import DataLocation


def conclude(run: StepRun, attempt: AttemptFolder, ended_how: str) -> dict[str, DataLocation]:
    """Judge an attempt whose process or container has ended, and commit it.

    A step is done when its runtime reported so, never because something merely ended with 0.

    :param ended_how: what the outside saw, e.g. ``container exited with 137 (out of memory)``; for the message.
    :return: where the outputs are.
    :raises StepFailedError: the command failed. :raises StepInterruptedError: there is no report.
    """
    report = attempt.finished_report()
    if report is None:
        raise StepInterruptedError(
            f"step {run.step.name!r}, attempt {attempt.number}: {ended_how}, before the step reported that it was "
            f"done, so it does not count as done. {_tail(attempt)}"
        )
    error = failure_of(run, attempt, report)
    if error is None:
        try:
            return commit_success(run, attempt, report)
        except StepError as e:
            commit_failure(run, attempt, report, str(e))
            raise
    commit_failure(run, attempt, report, error)
    raise StepFailedError(error)


def failure_of(run: StepRun, attempt: AttemptFolder, report: dict[str, Any]) -> str | None:
    """Why a reported attempt failed, in words with the log's last lines; ``None`` if it did not."""
    code = report["exit_code"]
    if code == 0 and not report.get("error"):
        return None
    step = f"step {run.step.name!r}"
    if report.get("oom_killed"):
        limit = run.compute.memory
        size = f" of {limit / 2**30:.1f} GiB" if limit else ""
        why = (
            f"{step} was killed because it used more memory than its limit{size} on compute target "
            f"{run.compute.name!r}. Give the target more memory (memory: or vm_size: in the workspace file)"
        )
    elif report.get("timed_out"):
        why = f"{step} was stopped because it ran longer than its timeout of {report.get('timeout_seconds', '?')} s"
    elif report.get("error"):
        why = f"{step} failed: {str(report['error']).rstrip('.')}"
    elif report.get("signal"):
        hint = " (perhaps this machine ran out of memory)" if report["signal"] == 9 else ""
        why = f"{step} failed: its process was killed by signal {report['signal']}{hint}"
    else:
        why = f"{step} failed: its script exited with code {code}"
    return f"{why}. {_tail(attempt)}"


def _tail(attempt: AttemptFolder) -> str:
    text = attempt.log_tail()
    if not text:
        return "It printed nothing."
    return f"Its last lines ({attempt.log}):\n{text}"
