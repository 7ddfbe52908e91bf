"""Threads that share the work of a transfer, within a bound of memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .errors import TransferError

T = TypeVar("T")
# How long the end of a transfer waits for threads that are in the middle of something.
_JOIN_SECONDS = 30.0
# A thread that computes in less than this part of its time waits for disks or for a network.
_WAITING = 0.25
# What has taken less says nothing.
_KNOWN_SECONDS = 0.05


class Crew(Generic[T]):
    """Threads that take one item after the other, and what comes of the items before all further ones.

    The first exception ends it: nothing more is begun then.

    :param count: the most threads.
    :param work: done with each item.
    :param on_failure: lets go whoever waits inside of that.
    :param at_first: threads to begin with. Further ones are started as long as those that there are mostly wait: what
        needs the interpreter most of the time, such as small files of this machine, takes longer with more of them.
    """

    def __init__(
        self,
        count: int,
        items: Iterator[T],
        work: Callable[[T], None],
        on_failure: Callable[[], None],
        at_first: int,
    ) -> None:
        self._items = items
        self._work = work
        self._on_failure = on_failure
        self._tasks: deque[Callable[[], None]] = deque()
        self._state = threading.Condition()
        self._busy = 0
        self._empty = False
        self._error: BaseException | None = None
        self._most = count
        self._at_first = min(at_first, count)
        self._threads: list[threading.Thread] = []

    @property
    def stopped(self) -> bool:
        """Whether nothing more is to be begun."""
        return self._error is not None

    def add(self, task: Callable[[], None]) -> None:
        """More to do, which comes before further items."""
        with self._state:
            self._tasks.append(task)
            self._state.notify()

    def finish(self, tick: Callable[[], None], seconds: float) -> None:
        """Do everything.

        :param tick: called every few ``seconds`` meanwhile.
        """
        try:
            with self._state:
                for _ in range(self._at_first):
                    self._start()
                while not self._done():
                    self._state.wait(seconds)
                    tick()
        except BaseException as error:
            # Whoever waits is stopped, an Airflow task for example: the threads stop with it.
            self._fail(error)
            raise
        finally:
            for thread in self._threads:
                thread.join(_JOIN_SECONDS)
        if self._error is not None:
            raise self._error

    def _done(self) -> bool:
        return not self._busy and (self._error is not None or (self._empty and not self._tasks))

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=f"aml-move-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self) -> None:
        began, computed = time.monotonic(), time.thread_time()
        while True:
            with self._state:
                while True:
                    if self._error is not None:
                        self._state.notify_all()
                        return
                    task = self._next()
                    if task is not None:
                        break
                    if not self._busy and self._empty:
                        self._state.notify_all()
                        return
                    self._state.wait()
                self._busy += 1
            try:
                task()
            except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for the end
                self._fail(error)
            finally:
                with self._state:
                    self._busy -= 1
                    if len(self._threads) < self._most and (now := time.monotonic()) - began > _KNOWN_SECONDS:
                        if time.thread_time() - computed < (now - began) * _WAITING:
                            self._start()
                        began, computed = now, time.thread_time()
                    # Who waits for the end is not to be waked by every file.
                    if self._done():
                        self._state.notify_all()

    def _next(self) -> Callable[[], None] | None:
        if self._tasks:
            return self._tasks.popleft()
        if self._empty:
            return None
        try:
            item = next(self._items)
        except StopIteration:
            self._empty = True
            return None
        return lambda: self._work(item)

    def _fail(self, error: BaseException) -> None:
        with self._state:
            if self._error is None:
                self._error = error
            self._state.notify_all()
        self._on_failure()


class Budget:
    """Bytes that may be in memory at once; whoever wants more waits.

    :param total: one who wants more than this has it to himself.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._stopped = False
        self._free = threading.Condition()

    def take(self, count: int) -> None:
        """Wait until there is room."""
        with self._free:
            while self._used and self._used + count > self._total and not self._stopped:
                self._free.wait()
            if self._stopped:
                raise TransferError("stopped", again=True)
            self._used += count

    def give(self, count: int) -> None:
        """Give it back."""
        with self._free:
            self._used -= count
            self._free.notify_all()

    def stop(self) -> None:
        """Let nobody wait any longer."""
        with self._free:
            self._stopped = True
            self._free.notify_all()
