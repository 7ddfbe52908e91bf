"""``tracking.json``: how far MLflow is up to date with a run's folder, and the lock that guards it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import TrackingBusyError

FILE = "tracking.json"
LOCK = "tracking.lock"


@dataclass
class StepLedger:
    """One step's part.

    :param run_id: the step's MLflow run: that of its latest attempt.
    :param attempt: the attempt whose run it is; ``None``: none has been seen yet.
    :param status: its status in MLflow.
    :param offsets: attempt number -> bytes of its journal that MLflow has.
    :param done: the attempt whose end MLflow has, 0 before; ``uploaded`` likewise for its files.
    :param children: v1 child run id -> MLflow run.
    """

    run_id: str
    attempt: int | None = None
    status: str = "SCHEDULED"
    offsets: dict[str, int] = field(default_factory=dict)
    done: int | None = None
    uploaded: int | None = None
    described: bool = False
    children: dict[str, str] = field(default_factory=dict)


@dataclass
class Ledger:
    """The whole file.

    :param parent: the pipeline run's MLflow run; ``None`` until every run of the pipeline exists.
    :param status: the parent's status in MLflow.
    :param pipeline: how far the parent has what was reported to the pipeline run itself.
    :param counts: MLflow run -> metric key -> points so far, from which the next point's step number comes.
    :param names: MLflow run -> key -> the name that the script used.
    """

    tracking_uri: str
    experiment_id: str | None = None
    parent: str | None = None
    status: str = "RUNNING"
    pipeline: StepLedger | None = None
    steps: dict[str, StepLedger] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    names: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Whether MLflow has been told how all runs ended."""
        open_states = ("RUNNING", "SCHEDULED")
        states = [self.status, *(step.status for step in self.steps.values())]
        return self.parent is not None and not any(state in open_states for state in states)

    @classmethod
    def load(cls, run_folder: Path) -> Ledger | None:
        """The ledger of a run; ``None`` when tracking of this run was never begun."""
        try:
            data = json.loads((run_folder / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        steps = {task_id: StepLedger(**step) for task_id, step in data.pop("steps").items()}
        pipeline = data.pop("pipeline", None)
        return cls(**data, steps=steps, pipeline=None if pipeline is None else StepLedger(**pipeline))

    def save(self, run_folder: Path) -> None:
        """Replace the file; a reader sees the old or the new one whole."""
        write_json(run_folder / FILE, asdict(self))


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a file by a mapping's JSON, durably and at once."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any] | None:
    """The mapping in a file; ``None`` when there is none (yet)."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


@contextmanager
def locked(run_folder: Path, wait_seconds: float) -> Iterator[None]:
    """Be the only one that brings this run up to date.

    :param wait_seconds: how long to wait for another one, 0 for not at all.
    :raises TrackingBusyError: another one is still at it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(run_folder / LOCK)
    try:
        lock.acquire(timeout=wait_seconds)
    except Timeout as error:
        raise TrackingBusyError(f"another process has been updating MLflow for {run_folder} all the time") from error
    try:
        yield
    finally:
        lock.release()
