"""The command's output, twice: to the log file, which keeps everything, and to stdout for who follows it live."""

from __future__ import annotations

import os
import stat
import time

_BUFFER_BYTES = 1 << 20
"""Output that stdout has not taken yet; when it is full the command has to wait, as with any pipe."""
_STALL_SECONDS = 30.0
"""A reader that takes nothing for so long is gone; the step goes on without it."""
_PIPE_BUF = 4096
"""A pipe that polls as writable takes this much without blocking."""


class Tee:
    """Copies bytes as they are. A closed or stuck stdout is given up; it never stops the command or the log file.

    :param log: file descriptor of the log file, ``None`` when it could not be opened.
    :param mirror: file descriptor of stdout.
    """

    def __init__(self, log: int | None, mirror: int) -> None:
        self._log = log
        self.mirror: int | None = mirror
        self._pending = bytearray()
        self._blocked_since: float | None = None
        self._regular = _is_regular(mirror)

    @property
    def pending(self) -> bool:
        """Whether stdout has yet to take something."""
        return self.mirror is not None and bool(self._pending)

    @property
    def full(self) -> bool:
        """Whether reading more has to wait for stdout."""
        return self.pending and len(self._pending) >= _BUFFER_BYTES

    def feed(self, data: bytes) -> None:
        """Write to the log file now and to stdout as soon as it takes it."""
        if self._log is not None:
            try:
                write_all(self._log, data)
            except OSError as error:
                self._log = None
                data += f"\naml: the log file cannot be written any more ({error.strerror}).\n".encode()
        if self.mirror is not None:
            if not self._pending:
                self._blocked_since = time.monotonic()
            self._pending += data

    def say(self, sentence: str) -> None:
        """A line of the runtime's own among the command's output."""
        self.feed(f"aml: {sentence}\n".encode("utf-8", "replace"))

    def mirror_some(self) -> None:
        """Write what stdout takes without blocking; call when it polls as writable."""
        if self.mirror is None:
            return
        size = len(self._pending) if self._regular else _PIPE_BUF
        try:
            written = os.write(self.mirror, self._pending[:size])
        except BlockingIOError:
            return
        except OSError:
            self.give_up_mirror()
            return
        del self._pending[:written]
        self._blocked_since = time.monotonic()

    def check_stall(self, seconds: float = _STALL_SECONDS) -> None:
        """Give stdout up when it has taken nothing for ``seconds``."""
        if self.pending and self._blocked_since is not None and time.monotonic() - self._blocked_since > seconds:
            self.give_up_mirror()

    def give_up_mirror(self) -> None:
        """Stop writing to stdout; the log file still gets everything."""
        self.mirror = None
        self._pending.clear()

    def sync(self) -> None:
        """Bring the log file to the disk."""
        if self._log is not None:
            try:
                os.fsync(self._log)
            except OSError:
                self._log = None  # a file system without fsync (some FUSE mounts): nothing more can be done


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data``, however many calls it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _is_regular(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False
