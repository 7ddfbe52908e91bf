"""What a machine does meanwhile: files that are opened, moments to interfere at, other processes, other users."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from tests.reuse.machines import PATIENCE

_fork = multiprocessing.get_context("fork")
_listeners: list[Callable[[str, tuple[Any, ...]], None]] = []


def _tell(event: str, args: tuple[Any, ...]) -> None:
    for listener in tuple(_listeners):
        listener(event, args)


# Python itself says what it is about to do; a hook stays for the life of the process, so there is one for all tests.
sys.addaudithook(_tell)


@contextmanager
def audited(listener: Callable[[str, tuple[Any, ...]], None]) -> Iterator[None]:
    """Calls ``listener`` just before each thing that Python is about to do with the operating system."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def opened(folder: Path) -> Iterator[list[str]]:
    """The files below a folder that are opened meanwhile, by their relative path."""
    top = os.fsencode(folder) + b"/"
    names: list[str] = []

    def note(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], (str, bytes)):
            path = os.fsencode(args[0])
            if path.startswith(top):
                names.append(os.fsdecode(path[len(top) :]))

    with audited(note):
        yield names


@contextmanager
def just_before(wanted: str, path: Path, act: Callable[[], object], times: int = 1) -> Iterator[None]:
    """Does something at the moment when ``path`` is about to be opened (``open``) or listed (``os.scandir``)."""
    left = times

    def interfere(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if left and event == wanted and isinstance(args[0], (str, bytes)) and os.fsdecode(args[0]) == str(path):
            left -= 1
            act()

    with audited(interfere):
        yield
    assert left == 0, f"{path} was touched {times - left} times, not {times}"


def in_processes(functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each function gives, all of them at once, each in a process forked from this one."""
    gate = _fork.Barrier(len(functions))
    started = []
    for function in functions:
        here, there = _fork.Pipe(duplex=False)
        process = _fork.Process(target=_answer, args=(gate, function, there))
        process.start()
        there.close()
        started.append((process, here))
    try:
        return [_result(process, here) for process, here in started]
    finally:
        for process, here in started:
            process.kill()
            process.join()
            here.close()


def forked(function: Callable[[], Any]) -> Any:
    """What a function gives in a process forked from this one."""
    return in_processes([function])[0]


def _answer(gate: Any, function: Callable[[], Any], answer: Any) -> None:
    try:
        gate.wait(PATIENCE)
        answer.send((True, function()))
    except BaseException:  # noqa: BLE001 - the other process raises it
        answer.send((False, traceback.format_exc()))


def _result(process: Any, answer: Any) -> Any:
    assert wait([answer], PATIENCE), "a process hangs"
    try:
        good, value = answer.recv()
    except EOFError:
        process.join(PATIENCE)
        raise AssertionError(f"a process ended with {process.exitcode}") from None
    assert good, value
    return value


def killed_at(step: int, function: Callable[[], Any]) -> bool:
    """Runs a function in a process that dies at its ``step``-th thing, as by a power failure; whether it died."""

    def count(event: str, args: tuple[Any, ...]) -> None:
        nonlocal step
        if event != "os.kill" and event.startswith(("open", "os.", "fcntl.", "sqlite3.")):
            step -= 1
            if step < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with audited(count):
                function()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@contextmanager
def working(function: Callable[[], Any]) -> Iterator[None]:
    """A process that does something again and again until it is killed in the middle of it."""
    here, there = _fork.Pipe(duplex=False)

    def on_and_on() -> None:
        here.close()
        for number in itertools.count():
            function()
            if number < 5:
                there.send_bytes(b"x")

    process = _fork.Process(target=on_and_on)
    process.start()
    there.close()
    try:
        # Killed after so many rounds, and nobody knows where in the next one.
        for _ in range(random.randint(1, 5)):
            assert wait([here], PATIENCE), "it never did anything"
            here.recv_bytes()
        yield
    finally:
        process.kill()
        process.join()
        here.close()


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that other users may enter too, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="aml-tests-public-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
