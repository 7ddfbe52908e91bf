"""Signals as something to poll for, so that one loop can wait for output, the command's end and requests to stop."""

from __future__ import annotations

import os
import signal

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)


class Inbox:
    """Collects signals from its creation on. Process 1 has no default actions: what it does not collect is lost."""

    def __init__(self) -> None:
        self.descriptor, notify = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(notify, False)
        self._arrived: list[int] = []
        for number in (*STOPPING, *PASSED_ON, signal.SIGCHLD):
            signal.signal(number, self._note)
        signal.set_wakeup_fd(notify, warn_on_full_buffer=False)

    def take(self) -> list[int]:
        """The signals since the last call, child ends (SIGCHLD) among them."""
        try:
            while os.read(self.descriptor, 512):
                continue
        except BlockingIOError:
            pass  # all taken
        arrived, self._arrived = self._arrived, []
        return arrived

    def _note(self, number: int, frame: object) -> None:
        self._arrived.append(number)


def name_of(number: int) -> str:
    """``SIGTERM`` for 15; for a number without a name, the number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
