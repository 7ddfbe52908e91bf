"""Steps that Airflow calls ended, and that are still being stopped."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection

from aml_provider.runs.binding import PipelineBinding
from aml_provider.runs.layout import StepFolder

_log = logging.getLogger(__name__)

# A step shows every five seconds that it lives.
SILENT_SECONDS = 12.0
# A script that does not end when it is asked to is killed before that.
LONGEST_SECONDS = 90.0
_POLL_SECONDS = 0.2


def await_stopped(
    binding: PipelineBinding,
    dag_id: str,
    run_id: str,
    ended: Collection[str],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Wait until steps that Airflow calls ended have said how they did, or show no sign of life any more.

    When a person ends a run, Airflow calls its tasks failed at once, and tells their workers at their next heartbeat.
    Only a worker can say that its step was stopped and did not fail, and it still writes meanwhile.

    :param ended: the keys of those steps.
    :param clock: seconds that only ever grow.
    """
    folder = binding.store.run(dag_id, run_id)
    attempted = folder.latest_attempts()
    waiting = {key: folder.step(key) for key, number in attempted.items() if number and key in ended}
    signs: dict[str, tuple[object, float]] = {}
    end = clock() + LONGEST_SECONDS
    while waiting := {key: step for key, step in waiting.items() if _goes_on(step, key, signs, clock())}:
        if clock() > end:
            _log.warning("not waited for any longer: %s", ", ".join(map(repr, waiting)))
            return
        time.sleep(_POLL_SECONDS)


def _goes_on(step: StepFolder, key: str, signs: dict[str, tuple[object, float]], now: float) -> bool:
    number = step.latest
    if (step.result() or {}).get("attempt", 0) >= number:
        return False
    try:
        seen = os.stat(step.attempt(number).heartbeat)
    except FileNotFoundError:
        # It has not begun, and nobody begins it any more.
        return False
    sign = (seen.st_ino, seen.st_size, seen.st_mtime_ns)
    known, since = signs.setdefault(key, (sign, now))
    if known != sign:
        signs[key] = (sign, now)
        return True
    return now - since < SILENT_SECONDS
