"""Keeping MLflow up to date while a step runs, without the step ever waiting for it."""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from .errors import TrackingBusyError, TrackingError
from .recorder import project

_INTERVAL_SECONDS = 1.0
# Most steps of a test pipeline are over before; they are spared the second that importing MLflow takes.
_IMPORT_AFTER_SECONDS = 3.0
_LONGEST_PAUSE_SECONDS = 30.0
_LAST_SECONDS = 5.0
# Whoever else is at it when a step ends most likely sends this step's end as well.
_BUSY_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Follower:
    """Around a step's run: a thread that sends what the step reports to MLflow about once a second.

    Whatever goes wrong with MLflow is a warning, said once, and is caught up with by the run's closing task.

    :param run_folder: the run's folder.
    :param tracking_uri: used when the head task could not open the run.
    """

    def __init__(self, run_folder: Path, tracking_uri: str | None = None) -> None:
        self._run_folder = run_folder
        self._tracking_uri = tracking_uri
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._said: str | None = None

    def __enter__(self) -> Follower:
        """Start following."""
        self._thread = threading.Thread(target=self._follow, name="aml-mlflow-follower", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop following."""
        self.stop()

    def stop(self) -> None:
        """Send what is left, if MLflow is loaded, and end; waits five seconds at most."""
        self._stop.set()
        if self._thread is not None and self._ready.is_set():
            self._thread.join(_LAST_SECONDS)
            if self._thread.is_alive():
                _log.warning("MLflow is slow; the run's closing task will send what is left")
        self._thread = None

    def _follow(self) -> None:
        if "mlflow" not in sys.modules and self._stop.wait(_IMPORT_AFTER_SECONDS):
            return
        try:
            # Now, and not in the first call: until it is loaded nobody waits for this thread.
            import mlflow  # noqa: F401
        except ImportError as error:
            _log.warning("metrics are not sent to MLflow while the step runs: %s", error)
            return
        if self._stop.is_set():
            return
        self._ready.set()
        pause = _INTERVAL_SECONDS
        while True:
            stopping = self._stop.is_set()
            worked = self._send(until=time.monotonic() + _BUSY_SECONDS if stopping else None)
            if stopping:
                return
            pause = _INTERVAL_SECONDS if worked else min(pause * 2, _LONGEST_PAUSE_SECONDS)
            self._stop.wait(pause)

    def _send(self, until: float | None) -> bool:
        """Bring MLflow up to date.

        :param until: the last chance: while another process is at it, try again until this monotonic time.
        """
        while True:
            try:
                project(self._run_folder, tracking_uri=self._tracking_uri)
                return True
            except TrackingBusyError:
                if until is None or time.monotonic() > until:
                    return True
                time.sleep(0.05)
            except (TrackingError, OSError) as error:
                self._warn(str(error))
                return False
            except Exception as error:  # noqa: BLE001 - a step must not suffer from a surprise in its bookkeeping
                self._warn(f"metrics could not be sent to MLflow: {type(error).__name__}: {error}")
                return False

    def _warn(self, message: str) -> None:
        if message != self._said:
            _log.warning("%s", message)
            self._said = message
