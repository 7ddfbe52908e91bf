"""``report.json``: the runtime's last act. Without it a step is not done, whatever its container says."""

from __future__ import annotations

import json
import os

from .files import write_atomically

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REPORT_VERSION = 1


class Report:
    """How an attempt ended. ``started`` and ``ended`` are seconds since the epoch; signals are numbers.

    ``stopped``: somebody outside told the step to stop, so how it ended says nothing about its script.
    """

    def __init__(self, attempt: int, started: float) -> None:
        self.attempt = attempt
        self.started = started
        self.ended = started
        self.exit_code = 0
        self.signal: int | None = None
        self.timed_out = False
        self.stopped = False
        self.oom_killed = False
        self.error: str | None = None
        self.outputs: dict[str, dict[str, Any]] = {}
        self.usage: dict[str, float] = {}

    def fail(self, sentence: str, exit_code: int) -> None:
        """The attempt failed; an exit code other than 0 that the command gave itself stays."""
        self.error = sentence if self.error is None else f"{self.error} {sentence}"
        self.exit_code = self.exit_code or exit_code

    def write(self, folder: str) -> None:
        """Write the file atomically.

        :raises OSError: when the disk is full or the folder cannot be written.
        """
        facts = {
            "report_version": REPORT_VERSION,
            "attempt": self.attempt,
            "exit_code": self.exit_code,
            "signal": self.signal,
            "timed_out": self.timed_out,
            "stopped": self.stopped,
            "oom_killed": self.oom_killed,
            "error": self.error,
            "started": self.started,
            "ended": self.ended,
            "outputs": self.outputs,
            "usage": self.usage,
        }
        write_atomically(os.path.join(folder, "report.json"), (json.dumps(facts) + "\n").encode("ascii"))
