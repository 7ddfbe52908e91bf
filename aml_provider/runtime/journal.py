"""``events.jsonl``: what the script reported, a JSON object a line, appended by any number of processes and threads."""

from __future__ import annotations

import json
import os
import time

from .files import make_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

FILE = "events.jsonl"


class Journal:
    """Appends events to an attempt's journal.

    Every event is one write to a descriptor in append mode, under a lock of the file system where it has locks, so
    lines of several processes and threads never mix. ``seq`` counts the events of one writing process from 1; the order
    of the whole file is the order of its lines.
    """

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, FILE)
        self._opened_by = 0

    def append(self, event: dict[str, Any]) -> None:
        """Write one event; it is in the file when this returns.

        :raises RuntimeError: when the file cannot be written, saying why.
        """
        if self._opened_by != os.getpid():
            self._open()  # the first event, or the first one after a fork: locks and numbers are per process
        with self._lock:
            self._seq += 1
            line = json.dumps({"seq": self._seq, "time": time.time(), **event}, allow_nan=False) + "\n"
            try:
                self._write(line.encode("ascii"))
            except OSError as error:
                raise RuntimeError(
                    f"What the script reported could not be recorded in {self.path}: {error.strerror}."
                ) from error

    def events(self) -> Iterator[dict[str, Any]]:
        """All events so far, of every process; a line that is being written right now is left for the next time."""
        return read_events(self.path)

    def _open(self) -> None:
        import threading

        make_folder(os.path.dirname(self.path))
        before = os.umask(0)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise RuntimeError(f"The journal {self.path} cannot be opened: {error.strerror}.") from error
        finally:
            os.umask(before)
        self._lock = threading.Lock()
        self._seq = 0
        self._opened_by = os.getpid()

    def _write(self, data: bytes) -> None:
        import fcntl

        locked = True
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        except OSError:
            locked = False  # no locks on this file system: one write in append mode has to do
        end = os.fstat(self._descriptor).st_size
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            if locked:
                os.ftruncate(self._descriptor, end)  # half a line would spoil the next one
            raise
        finally:
            if locked:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def read_events(path: str) -> Iterator[dict[str, Any]]:
    """The complete lines of a journal; none when there is no journal yet."""
    if not os.path.exists(path):
        return
    with open(path, "rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line.decode("utf-8"))


def fail_message(folder: str) -> str | None:
    """The message of the step's own ``run.fail()``, ``None`` when the script did not call it."""
    path = os.path.join(folder, FILE)
    message = None
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        for line in file:
            if b'"fail"' in line and line.endswith(b"\n"):
                event = json.loads(line.decode("utf-8", "replace"))
                if event.get("type") == "fail" and not event.get("child") and not event.get("to"):
                    message = str(event.get("message"))
    return message
