"""Threads that share the work: as many as it is worth."""

from __future__ import annotations

import itertools
import threading
import time

from aml_provider.storage.transfer.crew import Crew


def test_work_that_waits_is_soon_done_by_several_at_once() -> None:
    """A folder of this machine may be on a server, and each of its files be waited for."""
    at_once, together = threading.Semaphore(0), threading.Event()
    deadline = time.monotonic() + 60

    def items() -> itertools.takewhile[int]:
        return itertools.takewhile(lambda _: not together.is_set() and time.monotonic() < deadline, itertools.count())

    def work(_: int) -> None:
        at_once.release()
        # Another one that comes meanwhile has left a second mark.
        together.wait(0.1)
        at_once.acquire()
        if at_once.acquire(blocking=False):
            together.set()
            at_once.release()

    Crew(4, iter(items()), work, lambda: None, at_first=1).finish(lambda: None, 1)
    assert together.is_set()


def test_it_does_not_begin_with_more_threads_than_it_may_have() -> None:
    names: set[str] = set()

    def work(_: int) -> None:
        names.add(threading.current_thread().name)
        began = time.thread_time()
        while time.thread_time() - began < 0.02:
            pass

    Crew(1, iter(range(10)), work, lambda: None, at_first=8).finish(lambda: None, 1)
    assert len(names) == 1
