"""Work in the task's own process that ends when Airflow says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stopped(BaseException):
    """Somebody stops the task; no ``except Exception`` of a library may keep it."""


class Stoppable:
    """Mixed into an operator whose work is done in the task's process.

    Airflow calls ``on_kill`` in the main thread, in the middle of whatever it does there.
    """

    _working: bool = False

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Around the work.

        :raises Stopped: the task is stopped while it goes on.
        """
        self._working = True
        try:
            yield
        finally:
            self._working = False

    def on_kill(self) -> None:
        """End the work. When a time limit has ended it already, there is nothing to do."""
        if self._working and threading.current_thread() is threading.main_thread():
            self._working = False
            raise Stopped
