"""A second, tiny process that ends the command when the supervisor itself is killed (SIGKILL, memory).

It sleeps on a pipe that only the supervisor holds open. Where the supervisor is a container's process 1, the kernel
does this by itself.
"""

from __future__ import annotations

import contextlib
import os
import signal

from .process import kill_marked, signal_group


class Guardian:
    """Started before the command; learns the command's group afterwards."""

    def __init__(self, mark: str) -> None:
        reader, self._writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._writer)
                _watch(reader, mark)
            finally:
                os._exit(0)
        os.close(reader)

    def watch(self, group: int) -> None:
        """From now on, this group dies with the supervisor."""
        self._tell(f"{group}\n")

    def dismiss(self) -> None:
        """The command has ended and nothing of it is left: let the guardian end too."""
        self._tell("done\n")
        os.close(self._writer)

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # someone killed the guardian: the step goes on without one
            os.write(self._writer, line.encode())


def _watch(reader: int, mark: str) -> None:
    signal.set_wakeup_fd(-1)  # the supervisor's own pipe, inherited
    os.setsid()  # the whole group of the supervisor may be killed at once: do not be in it
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)  # whoever reads the supervisor's output must see its end
    message = b""
    while True:
        data = os.read(reader, 64)
        if not data:
            break
        message += data
    lines = message.split()
    if lines and lines[-1] == b"done":
        return
    if lines:
        signal_group(int(lines[0]), signal.SIGKILL)
    kill_marked(mark)
