"""The loop around a running command: its output, its end, signals, time limits."""

from __future__ import annotations

import os
import select
import signal
import time

from .guardian import Guardian
from .job import Job, JobError
from .process import group_lives, kill_marked, signal_group, start
from .signals import PASSED_ON, STOPPING, Inbox, name_of
from .tee import Tee
from .usage import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

_GRACE_SECONDS = 10.0
_DRAIN_SECONDS = 1.0
"""How long output may still come from background children after the command itself has ended."""
_LEFTOVER_SECONDS = 1.0
"""How long background children have between SIGTERM and SIGKILL."""
_PARENT_POLL_SECONDS = 0.25
_HEARTBEAT_SECONDS = 5.0
"""How often the step says that it lives: others wait for its result as long as it does."""


class Ending:
    """How the command ended.

    :ivar signal: the signal that ended it, or ``None``.
    :ivar stopped_by: the signal by which the step was asked to stop from outside, or ``None``.
    :ivar killed_by_us: the grace period was over and SIGKILL was sent.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self.signal: int | None = None
        self.timed_out = False
        self.stopped_by: int | None = None
        self.reason: str | None = None
        self.killed_by_us = False
        self.usage = Usage()


class Watch:
    """Runs one command. Single-threaded: one poll over the output, stdout and the arrival of signals."""

    def __init__(self, job: Job, tee: Tee, inbox: Inbox, mark: str) -> None:
        self._job = job
        self._tee = tee
        self._inbox = inbox
        self._mark = mark
        self._ending = Ending()
        self._status: int | None = None
        self._kill_at: float | None = None
        self._grace = _seconds("AML_GRACE_SECONDS", _GRACE_SECONDS)
        # The number of the parent's process may be given, for a parent that ends before this is read.
        parent = int(_seconds("AML_DIE_WITH_PARENT", 0))
        self._parent = None if parent == 0 else os.getppid() if parent == 1 else parent

    def run(self, arguments: list[str], environment: Mapping[str, str]) -> Ending:
        """Start the command and stay with it until nothing of it is left.

        :raises JobError: when it cannot be started.
        """
        guardian = Guardian(self._mark) if os.getpid() != 1 else None
        self._output, writer = os.pipe()
        try:
            self._group = start(arguments, environment, writer)
        except JobError:
            if guardian is not None:
                guardian.dismiss()
            raise
        finally:
            os.close(writer)
        if guardian is not None:
            guardian.watch(self._group)
        os.set_blocking(self._output, False)
        self._output_open = True
        self._beat_at = time.monotonic()
        self._stop_at = None if self._job.timeout_seconds is None else time.monotonic() + self._job.timeout_seconds
        self._while_running()
        self._drain(_DRAIN_SECONDS)
        self._end_leftovers()
        self._drain(0.2)
        if guardian is not None:
            kill_marked(self._mark)
            guardian.dismiss()
        os.close(self._output)
        return self._ending

    def _while_running(self) -> None:
        while self._status is None:
            self._turn(self._next_clock())
            self._check_clocks()
        code = self._status
        if os.WIFSIGNALED(code):
            self._ending.signal = os.WTERMSIG(code)
            self._ending.exit_code = 128 + os.WTERMSIG(code)
        else:
            self._ending.exit_code = os.WEXITSTATUS(code)

    def _drain(self, seconds: float) -> None:
        """Take the output that is still on its way: to the pipe's end, or for a short time if someone keeps it open."""
        until = time.monotonic() + seconds
        while self._output_open:
            left = until - time.monotonic()
            if left <= 0 and not self._tee.full:
                return
            self._turn(max(left, 0.05))
            self._tee.check_stall()

    def _end_leftovers(self) -> None:
        """Background children that the command left: ask, then kill."""
        if not group_lives(self._group):
            return
        signal_group(self._group, signal.SIGTERM)
        until = time.monotonic() + _LEFTOVER_SECONDS
        while time.monotonic() < until:
            if not group_lives(self._group):
                return
            self._turn(0.02)
        if group_lives(self._group):
            signal_group(self._group, signal.SIGKILL)
            self._tee.say("processes that the command had left in the background were killed.")

    def _turn(self, seconds: float | None) -> None:
        """Wait for something to happen, at most ``seconds``, and deal with it."""
        poller = select.poll()
        poller.register(self._inbox.descriptor, select.POLLIN)
        if self._output_open and not self._tee.full:
            poller.register(self._output, select.POLLIN)
        mirror = self._tee.mirror
        if mirror is not None and self._tee.pending:
            poller.register(mirror, select.POLLOUT)
        for descriptor, _ in poller.poll(None if seconds is None else max(0, int(seconds * 1000) + 1)):
            if descriptor == self._inbox.descriptor:
                self._take_signals()
            elif descriptor == self._output:
                self._take_output()
            else:
                self._tee.mirror_some()

    def _take_output(self) -> None:
        try:
            data = os.read(self._output, 1 << 16)
        except BlockingIOError:
            return
        if data:
            self._tee.feed(data)
        else:
            self._output_open = False

    def _take_signals(self) -> None:
        for number in self._inbox.take():
            if number in PASSED_ON and self._status is None:
                os.kill(self._group, number)  # to the command alone: its children may not expect it and would die
            elif number in STOPPING:
                self._stop(number, f"The step was stopped by {name_of(number)}.")
        self._reap()

    def _reap(self) -> None:
        """Take the status of whatever ended: as process 1, this also gets everyone else's orphans."""
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ending.usage.add(used)
            if pid == self._group:
                self._status = status

    def _stop(self, number: int, reason: str) -> None:
        """Pass the wish to stop on; who asks again is passed on again, but the time limit counts from the first."""
        if self._ending.stopped_by is None and not self._ending.timed_out and self._status is None:
            self._ending.stopped_by, self._ending.reason = number, reason
        signal_group(self._group, number)
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._grace

    def _next_clock(self) -> float:
        """Seconds until the next time something has to be done unasked."""
        now = time.monotonic()
        waits = [at - now for at in (self._stop_at, self._kill_at, self._beat_at) if at is not None]
        if self._parent is not None:
            waits.append(_PARENT_POLL_SECONDS)
        if self._tee.pending:
            waits.append(1.0)
        return max(0.0, min(waits))

    def _check_clocks(self) -> None:
        now = time.monotonic()
        self._tee.check_stall()
        if self._status is not None:
            return
        if now >= self._beat_at:
            self._beat_at = now + _HEARTBEAT_SECONDS
            self._beat()
        if self._parent is not None and os.getppid() != self._parent:
            self._parent = None
            self._stop(signal.SIGTERM, "The worker that had started the step ended, so the step was stopped.")
        if self._stop_at is not None and now >= self._stop_at:
            self._stop_at = None
            self._ending.timed_out = self._ending.stopped_by is None
            self._stop(signal.SIGTERM, "")
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = now + 1.0
            self._ending.killed_by_us = True
            signal_group(self._group, signal.SIGKILL)

    def _beat(self) -> None:
        """Change the file that shows others that the step lives."""
        try:
            with open(os.path.join(self._job.folder, "alive"), "w") as file:
                file.write(str(time.time()))
        except OSError:
            # A full disk is no reason to end a step that may not write anything; at worst nobody waits for it.
            return


def _seconds(name: str, default: float) -> float:
    value = os.environ.get(name, "")
    try:
        return max(0.0, float(value)) if value else default
    except ValueError as error:
        raise JobError(f"{name} is {value!r}, it must be a number.") from error
