"""Not to be quicker than Airflow.

A task that defers has left its process before its executor says so: up to ``[workers] min_heartbeat_interval`` seconds.
If its trigger has it started again by then, the scheduler takes the late word for the end of the new process, and fails
the try ("executor reported ... success, but the task instance's state attribute is running").
"""

from __future__ import annotations

import asyncio
import sys
import time

from airflow.configuration import conf

# The scheduler hears of it in one of its next loops.
_FACTOR = 1.5
# The module that a triggerer's process is.
_TRIGGERER = "airflow.jobs.triggerer_job_runner"


class Settling:
    """Measured from when it is made: when the trigger began to run."""

    def __init__(self) -> None:
        # A program that runs a DAG by itself runs triggers, too, and has neither scheduler nor executor.
        seconds = conf.getfloat("workers", "min_heartbeat_interval", fallback=5.0) if _TRIGGERER in sys.modules else 0.0
        self._until = time.monotonic() + _FACTOR * seconds

    async def wait(self) -> None:
        """Return when the trigger may fire."""
        while (left := self._until - time.monotonic()) > 0:
            await asyncio.sleep(left)
