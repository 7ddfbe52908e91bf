"""How far a transfer is, for its log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from .options import Summary

#: Seconds from one line to the next.
INTERVAL = 5.0
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


class Now(NamedTuple):
    """How far a transfer is.

    :param done: files that are there, of ``files``; ``bytes`` of ``size``, which is ``None`` when nobody knows it.
    """

    done: int
    files: int
    bytes: int
    size: int | None


class Progress:
    """Counts what threads have moved, and tells now and then.

    :param summary: what is counted into.
    :param files: how many there are to move, :param size: how many bytes together; ``None``: nobody knows.
    :param say: gets each line. If it has a method ``watch``, that gets a :class:`Now` several times between two lines.
    """

    def __init__(self, summary: Summary, files: int, size: int | None, say: Callable[[str], None]) -> None:
        self._summary = summary
        self._files = files
        self._size = size
        self._say = say
        self._watch: Callable[[Now], None] | None = getattr(say, "watch", None)
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._told = self._started
        self._moved = 0
        self._handled = 0

    def moved(self, count: int) -> None:
        """So many more bytes have been moved."""
        with self._lock:
            self._moved += count
            self._handled += count

    def unmoved(self, count: int) -> None:
        """So many are to be moved once more."""
        self.moved(-count)

    def resumed(self, count: int) -> None:
        """So many had been moved by an earlier try."""
        with self._lock:
            self._handled += count
            self._summary.resumed_bytes += count

    def arrived(self, size: int) -> None:
        """A file is whole."""
        with self._lock:
            self._summary.files += 1
            self._summary.bytes += size

    def skipped(self, size: int) -> None:
        """A file was there already."""
        with self._lock:
            self._summary.skipped += 1
            self._summary.skipped_bytes += size
            self._handled += size

    def tick(self) -> None:
        """Tell how far it is, if that has not been told for a while."""
        if self._watch is not None:
            self._watch(self.now())
        now = time.monotonic()
        if now - self._told >= INTERVAL:
            self._told = now
            self._say(self.line())

    def now(self) -> Now:
        """How far it is, in numbers."""
        with self._lock:
            return Now(self._summary.files + self._summary.skipped, self._files, self._handled, self._size)

    def line(self) -> str:
        """How far it is: files, bytes, rate and the time that is left."""
        with self._lock:
            done, moved, handled = self._summary.files + self._summary.skipped, self._moved, self._handled
        seconds = max(time.monotonic() - self._started, 1e-6)
        total = "" if self._size is None else f" of {amount(self._size)}"
        text = f"{done:,} of {self._files:,} files, {amount(handled)}{total}, {amount(int(moved / seconds))}/s"
        if self._size and handled and self._size > handled:
            text += f", {left(seconds * (self._size - handled) / handled)} left"
        return text


def told(summary: Summary) -> str:
    """A transfer that has ended, in one line."""
    rate = amount(int((summary.bytes - summary.resumed_bytes) / max(summary.seconds, 1e-6)))
    text = f"moved {summary.files:,} files, {amount(summary.bytes)}, in {summary.seconds:.1f} s ({rate}/s)"
    if summary.skipped:
        text += f"; {summary.skipped:,} files, {amount(summary.skipped_bytes)}, were there already"
    if summary.resumed_bytes:
        text += f"; {amount(summary.resumed_bytes)} had arrived in an earlier try"
    if summary.removed:
        text += f"; {summary.removed:,} files were removed"
    return text + "".join(f"; left out: {note}" for note in summary.notes)


def amount(count: int) -> str:
    """Bytes for a person."""
    value, unit = float(count), 0
    while abs(value) >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"


def left(seconds: float) -> str:
    """A time for a person."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class Counted:
    """Counts what one file has moved."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.count = 0

    def __call__(self, count: int) -> None:
        """So many more bytes of it have been moved."""
        self.count += count
        self._progress.moved(count)
