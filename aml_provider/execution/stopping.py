"""Steps that Airflow calls ended, and that are still being stopped."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection
from typing import Any

from aml_provider.execution.commit import STOPPED, commit_failure
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.runs.layout import StepFolder

_log = logging.getLogger(__name__)

# A step shows every five seconds that it lives.
SILENT_SECONDS = 12.0
# A script that does not end when it is asked to is killed before that.
LONGEST_SECONDS = 90.0
# Airflow tells a task's worker at the latest then that the task is not to go on.
HEARTBEAT_SECONDS = 10.0
_POLL_SECONDS = 0.2


def await_word(binding: PipelineBinding, dag_id: str, run_id: str, ended: Collection[str]) -> set[str]:
    """Give whoever follows a step that Airflow calls ended the time to hear of it, which is a heartbeat.

    :param ended: the keys of those steps.
    :return: those that a person has ended while only the triggerer followed them: see :func:`record_stopped`.
    """
    folder, begun = binding.store.run(dag_id, run_id), _begun(binding, dag_id, run_id, ended)
    end = time.monotonic() + HEARTBEAT_SECONDS
    while True:
        # An earlier result that the head task took for the step counts as well.
        silent = [one for one in begun if not one.is_said_by(folder.result(one.key))]
        stopped = [one for one in silent if one.attempt.stopped.exists()]
        if silent == stopped or time.monotonic() > end:
            return {one.key for one in stopped}
        time.sleep(_POLL_SECONDS)


def record_stopped(binding: PipelineBinding, dag_id: str, run_id: str, keys: Collection[str]) -> None:
    """Record of steps that somebody has stopped them, which says nothing about the steps."""
    for step in binding.spec.steps:
        if step.key in keys:
            run = StepRun(binding, step, dag_id, run_id, {}, lambda _: {})
            attempt = run.folder.attempt(run.folder.latest)
            commit_failure(run, attempt, attempt.report(), STOPPED, canceled=True)


def await_stopped(binding: PipelineBinding, dag_id: str, run_id: str, ended: Collection[str]) -> None:
    """Wait until steps that Airflow calls ended have said how they did, or show no sign of life any more.

    When a person ends a run, Airflow calls its tasks failed at once, and tells their workers at their next heartbeat.
    Only a worker can say that its step was stopped and did not fail, and it still writes meanwhile.

    :param ended: the keys of those steps.
    """
    waiting = _begun(binding, dag_id, run_id, ended)
    end = time.monotonic() + LONGEST_SECONDS
    while waiting := [one for one in waiting if one.goes_on()]:
        if time.monotonic() > end:
            _log.warning("not waited for any longer: %s", ", ".join(repr(one.key) for one in waiting))
            return
        time.sleep(_POLL_SECONDS)


def _begun(binding: PipelineBinding, dag_id: str, run_id: str, ended: Collection[str]) -> list[_Stopping]:
    """The latest attempts at steps that Airflow calls ended."""
    folder = binding.store.run(dag_id, run_id)
    latest = folder.latest_attempts()
    return [_Stopping(key, folder.step(key), number) for key, number in latest.items() if number and key in ended]


class _Stopping:
    """An attempt that may still be going on."""

    def __init__(self, key: str, step: StepFolder, number: int) -> None:
        self.key = key
        self.attempt = step.attempt(number)
        self._step = step
        self._seen: tuple[int, int, int] | None = None
        self._since = 0.0

    def is_said_by(self, result: dict[str, Any] | None) -> bool:
        """Whether a result tells how it ended."""
        return bool((result or {}).get("attempt", 0) >= self.attempt.number)

    def goes_on(self) -> bool:
        """Whether it has not said so, and shows that it lives."""
        if self.is_said_by(self._step.result()):
            return False
        try:
            found = os.stat(self.attempt.heartbeat)
        except FileNotFoundError:
            # It has not begun, and nobody begins it any more.
            return False
        sign, now = (found.st_ino, found.st_size, found.st_mtime_ns), time.monotonic()
        if sign != self._seen:
            self._seen, self._since = sign, now
        return now - self._since < SILENT_SECONDS
