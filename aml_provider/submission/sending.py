"""Sending to MLflow what this process reports to a run, about a second after it was reported."""

from __future__ import annotations

import atexit
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

from aml_provider.tracking.errors import TrackingBusyError, TrackingError
from aml_provider.tracking.recorder import project

_GATHER_SECONDS = 1.0
_BUSY_PAUSE_SECONDS = 0.05
_AT_EXIT_SECONDS = 30.0
_log = logging.getLogger(__name__)


class Sender:
    """One run's. What cannot be sent stays in the run's folder; it is said once, and a later sending catches up."""

    _known: ClassVar[dict[tuple[int, Path], Sender]] = {}

    def __init__(self, run_folder: Path, tracking_uri: str) -> None:
        self._run_folder = run_folder
        self._tracking_uri = tracking_uri
        self._new = threading.Event()
        self._thread: threading.Thread | None = None
        self._said: str | None = None
        self._cut_off = False
        self._sending = threading.Lock()

    @classmethod
    def of(cls, run_folder: Path, tracking_uri: str) -> Sender:
        """The one of this process."""
        key = (os.getpid(), run_folder)
        if key not in cls._known:
            cls._known[key] = cls(run_folder, tracking_uri)
        return cls._known[key]

    def note(self) -> None:
        """Something new is in the run's folder."""
        self._new.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="aml-mlflow-sender", daemon=True)
            self._thread.start()
            atexit.register(self._at_exit)

    def flush(self, timeout_seconds: float) -> None:
        """Send what is new now."""
        with self._sending:
            if self._new.is_set() or self._said is not None:
                self.send(timeout_seconds)

    def _work(self) -> None:
        while True:
            self._new.wait()
            # What is logged in a loop goes together.
            time.sleep(_GATHER_SECONDS)
            self.flush(_AT_EXIT_SECONDS)

    def send(self, timeout_seconds: float) -> None:
        """Send all that is in the run's folder."""
        until = time.monotonic() + timeout_seconds
        self._new.clear()
        while True:
            try:
                project(self._run_folder, tracking_uri=self._tracking_uri)
            except TrackingBusyError as error:
                # The other one may have looked before ours was written.
                if time.monotonic() < until:
                    time.sleep(_BUSY_PAUSE_SECONDS)
                    continue
                self._failed(str(error))
            except (TrackingError, OSError) as error:
                self._failed(str(error))
            else:
                self._said = None
            return

    def _failed(self, message: str) -> None:
        if not threading.main_thread().is_alive():
            # The process ends meanwhile, which lets MLflow start no threads; what is done at its end comes next.
            self._cut_off = True
            return
        if message != self._said:
            _log.warning("%s", message)
        self._said = message

    def _at_exit(self) -> None:
        """Send what is left, in a process of its own: MLflow needs threads, which a process that ends cannot start."""
        with self._sending:
            if not self._new.is_set() and not self._cut_off:
                return
            self._new.clear()
            command = [sys.executable, "-m", __name__, str(self._run_folder), self._tracking_uri]
            try:
                subprocess.run(command, stdin=subprocess.DEVNULL, timeout=_AT_EXIT_SECONDS, check=False)
            except (subprocess.TimeoutExpired, OSError) as error:
                _log.warning("MLflow was not told everything about %s: %s", self._run_folder, error)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    Sender(Path(sys.argv[1]), sys.argv[2]).send(_AT_EXIT_SECONDS)
