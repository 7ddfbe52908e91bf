"""Processes that can be killed at any point.

A point is a change that a process is about to make below the watched folders: a file opened for writing, a name made,
moved or removed. An audit hook sees every one of them, so the code under test knows nothing of this. A process is
killed right *before* point number N, or, where a file is opened for writing, right *in* it: the file is there with the
first bytes of something. What things look like after point N, they look like before N + 1.

A server forks a process for each request, so that each is new and none takes a second for its imports.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
WAIT_SECONDS = 120.0
T = TypeVar("T")
FIRST_BYTES = b'{"half'

# --- points ---------------------------------------------------------------------------------------------------------

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Event -> where its paths, and the descriptors of folders that they are relative to, are among its arguments.
_EVENTS: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((0, 2), (1, 3)),
    "os.symlink": ((1, 2),),
    "os.remove": ((0, 1),),
    "os.mkdir": ((0, 2),),
    "os.rmdir": ((0, 1),),
    "os.chmod": ((0, 2),),
    "os.utime": ((0, 3),),
    "os.truncate": ((0, None),),
}


@dataclass
class Points:
    """The points that this process's main thread comes to. A claim's renewals, in another thread, come when they come.

    :param folders: watched.
    :param kill: number of the point at which the process dies, from 1; ``None``: it lives.
    :param inside: it dies in that point and not before it, where that opens a file.
    :param tell: told about the point before the end.
    """

    folders: list[str]
    tell: Callable[[str], None]
    kill: int | None = None
    inside: bool = False
    seen: list[str] = field(default_factory=list)
    _thread: int = field(default_factory=threading.get_ident)
    _dying: bool = False

    def watch(self) -> None:
        """From now on, and to the end of the process: nobody can take an audit hook away."""
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._dying or threading.get_ident() != self._thread:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or not flags & _WRITING:
                return
            paths = [_absolute(path, None)]
        elif event in _EVENTS:
            paths = [_absolute(arguments[p], None if d is None else arguments[d]) for p, d in _EVENTS[event]]
        else:
            return
        if not any(path.startswith(folder + "/") for path in paths for folder in self.folders):
            return
        self.seen.append(" ".join([event.removeprefix("os."), *map(self._short, paths)]))
        if len(self.seen) == self.kill:
            self._dying = True
            if self.inside and event == "open":
                with contextlib.suppress(FileNotFoundError, FileExistsError):
                    os.write(os.open(paths[0], arguments[2], 0o666), FIRST_BYTES)
            self.tell(self.seen[-1])
            os.kill(os.getpid(), signal.SIGKILL)

    def _short(self, path: str) -> str:
        for folder in self.folders:
            if path.startswith(folder + "/"):
                return os.path.relpath(path, os.path.dirname(folder))
        return path


def _absolute(path: Any, folder: Any) -> str:
    path = os.fsdecode(path)
    if isinstance(folder, int) and folder >= 0 and not os.path.isabs(path):
        path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
    return os.path.abspath(path)


# --- the test's side ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    :param signal: that killed it; ``None``: it ended by itself.
    :param answer: what its function returned; of a killed one, what it told last.
    :param log: what it warned of.
    :param points: those that it came to; empty for a killed one.
    """

    signal: int | None
    answer: Any
    log: list[str]
    points: list[str]


class Child:
    """A process that has been started."""

    def __init__(self, server: Server, number: int, pid: int) -> None:
        self._server = server
        self._number = number
        self.pid = pid

    def wait(self) -> Ended:
        """Its end. An exception in it fails the test."""
        end = self._server.answer("ended", self._number)
        assert end["error"] is None, end["error"]
        return Ended(end["signal"], end["answer"], end["log"], end["points"])

    def kill(self) -> Ended:
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()


class Server:
    """Starts processes.

    :param module: has the functions that they call, and ``warm_up``, which imports whatever those need.
    """

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve({module!r})"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._count = 0
        self._news = threading.Condition()
        self._answers: dict[tuple[str, int], Any] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Child:
        """Start a process that calls a function of the module.

        :param more: the function's, but for ``environment``: variables, and ``points``: as for :class:`Points`.
        """
        places = [str(a) if isinstance(a, Path) else a for a in arguments]
        with self._news:
            self._count += 1
            number = self._count
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps([number, function.__name__, places, more]) + "\n")
            self._process.stdin.flush()
        return Child(self, number, self.answer("started", number))

    def run(self, function: Callable[..., Any], *arguments: Any, **more: Any) -> Ended:
        return self.start(function, *arguments, **more).wait()

    def many(self, calls: Iterable[tuple[Callable[..., Any], list[Any], dict[str, Any]]], at_once: int) -> list[Ended]:
        """Run functions side by side; their ends in the order of ``calls``."""
        started: list[Child] = []
        ended: list[Ended] = []
        for function, arguments, more in calls:
            if len(started) - len(ended) == at_once:
                ended.append(started[len(ended)].wait())
            started.append(self.start(function, *arguments, **more))
        return ended + [child.wait() for child in started[len(ended) :]]

    def answer(self, kind: str, number: int) -> Any:
        with self._news:
            there = self._news.wait_for(lambda: (kind, number) in self._answers, WAIT_SECONDS)
            assert there, f"process {number} has not {kind} within {WAIT_SECONDS} s"
            return self._answers.pop((kind, number))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(WAIT_SECONDS)
        self._reader.join()
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            kind, number, value = json.loads(line)
            with self._news:
                self._answers[kind, number] = value
                self._news.notify_all()


def eventually(what: str, look: Callable[[], T]) -> T:
    """What ``look`` gives as soon as that is true of anything."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {WAIT_SECONDS} s: {what}"
        time.sleep(0.01)
    return seen


# --- the server's side ----------------------------------------------------------------------------------------------


@dataclass
class _Running:
    number: int
    pid: int
    told: bytes = b""


def serve(module: str) -> None:
    """Fork a process for each line of stdin until there are none; say on stdout when each starts and ends."""
    # What a function prints, or logs, is no answer.
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    functions = importlib.import_module(module)
    functions.warm_up()
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    line = b""
    while selector.get_map():
        for key, _ in selector.select():
            more = os.read(key.fd, 65536)
            if key.fd == 0:
                if not more:
                    selector.unregister(0)
                *lines, line = (line + more).split(b"\n")
                for request in lines:
                    number, name, arguments, options = json.loads(request)
                    pid, reader = _fork(getattr(functions, name), arguments, options)
                    selector.register(reader, selectors.EVENT_READ, _Running(number, pid))
                    say.write(json.dumps(["started", number, pid]) + "\n")
                continue
            key.data.told += more
            if not more:
                selector.unregister(key.fd)
                os.close(key.fd)
                _, status = os.waitpid(key.data.pid, 0)
                say.write(json.dumps(["ended", key.data.number, _end(key.data.told, status)]) + "\n")


def _end(told: bytes, status: int) -> dict[str, Any]:
    end: dict[str, Any] = {"answer": None, "log": [], "points": [], "error": None}
    for line in told.splitlines():
        kind, value = json.loads(line)
        end[kind] = [*end["log"], value] if kind == "log" else value
    end["signal"] = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if end["signal"] is None and os.WEXITSTATUS(status) != 0:
        end["error"] = end["error"] or f"exit code {os.WEXITSTATUS(status)}"
    return end


def _fork(function: Callable[..., Any], arguments: list[Any], more: dict[str, Any]) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    code = 1
    try:

        def tell(kind: str, value: Any) -> None:
            os.write(writer, json.dumps([kind, value]).encode() + b"\n")

        _live(function, arguments, more, tell)
        code = 0
    finally:
        os._exit(code)


def _live(
    function: Callable[..., Any], arguments: list[Any], more: dict[str, Any], tell: Callable[[str, Any], None]
) -> None:
    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell("log", record.getMessage())

    logging.getLogger("aml_provider").addHandler(Told(logging.WARNING))
    os.environ.update(more.pop("environment", {}))
    points = Points(tell=lambda point: tell("answer", point), **more.pop("points", {"folders": []}))
    points.watch()
    try:
        tell("answer", function(*arguments, **more))
        tell("points", points.seen)
    except Exception:
        tell("error", traceback.format_exc())
        raise
