"""What was reported to a run whose folder this machine sees, and to one that only MLflow knows of."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from aml_provider.runs.layout import RunFolder, read_json
from aml_provider.runtime.exceptions import UserErrorException
from aml_provider.runtime.files import regular_files
from aml_provider.runtime.journal import read_events
from aml_provider.runtime.store import StepStore
from aml_provider.sdk.backend import Reports
from aml_provider.submission.sending import Sender
from aml_provider.submission.state import latest_attempt
from aml_provider.tracking.client import mlflow_client
from aml_provider.tracking.errors import TrackingError
from aml_provider.tracking.ledger import Ledger
from aml_provider.tracking.remote import metrics_besides

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Told:
    """Which run it is that something is reported to.

    :param folder: gives the pipeline run's folder, ``None`` where this machine does not see it.
    :param script: the run is a submitted script: what is its step's is its own.
    :param tags: what the run was submitted with.
    """

    folder: Callable[[], Path | None]
    tracking_uri: str
    pipeline_run_id: str
    step_key: str | None
    script: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


class RunReports:
    """The reports of one run, wherever they are; implements the sdk's ``Reports``."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._remote: Reports | None = None
        self._seen: dict[Path, FolderReports] = {}

    @property
    def _place(self) -> Reports:
        folder = self._told.folder()
        if folder is not None:
            if folder not in self._seen:
                self._seen[folder] = FolderReports(folder, self._told)
            return self._seen[folder]
        if self._remote is None:
            from aml_provider.submission.remote_reports import MlflowReports

            self._remote = MlflowReports(self._told.tracking_uri, self._told.pipeline_run_id, self._told.step_key)
        return self._remote

    def append(self, event: dict[str, Any]) -> None:
        """Record one event."""
        self._place.append(event)

    def events(self) -> Iterator[dict[str, Any]]:
        """Everything so far, in order."""
        return self._place.events()

    def in_mlflow(self) -> dict[str, Any]:
        """Metrics that the script gave to MLflow itself."""
        return self._place.in_mlflow()

    def put(self, name: str, source: Any) -> None:
        """Keep a file."""
        self._place.put(name, source)

    def find(self, name: str) -> str | None:
        """Path of a file, or of a folder of files."""
        return self._place.find(name)

    def names(self) -> list[str]:
        """Names of all files."""
        return self._place.names()

    def send(self, timeout_seconds: float) -> None:
        """Bring MLflow up to date."""
        self._place.send(timeout_seconds)


class FolderReports:
    """The reports in a run's folder: the script's are in its attempt's, what programs add is beside that."""

    def __init__(self, run_folder: Path, told: Told) -> None:
        self._run = RunFolder(run_folder)
        self._key = told.step_key
        self._script = told.script
        self._tags = told.tags
        owner = self._run if self._key is None else self._run.step(self._key)
        self._files = owner.outside / "artifacts"
        # Nothing is collected later from a working directory, as there is for a step: it has none.
        self._own = StepStore(str(owner.outside), str(owner.outside / "artifacts"))
        self._sender = Sender.of(run_folder, told.tracking_uri)

    def append(self, event: dict[str, Any]) -> None:
        """Record one event; MLflow gets it about a second later."""
        self._own.append(event)
        self._sender.note()

    def events(self) -> Iterator[dict[str, Any]]:
        """What the run was submitted with, what its script reported, what programs added."""
        if self._key is None or self._script:
            yield from self._submitted()
        if self._key is None:
            yield from self._to_pipeline()
        else:
            yield from self._from_script(self._key)
        yield from self._own.events()

    def _submitted(self) -> Iterator[dict[str, Any]]:
        record = read_json(self._run.path / "run.json")
        # Its tags are in its record from its first task on.
        for name, value in (self._tags if record is None else record.get("tags") or {}).items():
            yield {"type": "tag", "key": name, "value": value, "child": None}
        for name, value in ((record or {}).get("properties") or {}).items():
            yield {"type": "property", "key": name, "value": value, "child": None}
        if record is not None and record.get("display_name"):
            yield {"type": "display_name", "value": record["display_name"], "child": None}

    def _to_pipeline(self) -> Iterator[dict[str, Any]]:
        """What scripts reported to ``run.parent``."""
        for step in (read_json(self._run.path / "run.json") or {}).get("steps") or ():
            for event in self._journal(str(step["task_id"])):
                if event.get("to"):
                    yield {**event, "to": None}

    def _from_script(self, key: str) -> Iterator[dict[str, Any]]:
        attempt = latest_attempt(self._run.path, key)
        if attempt is not None and attempt.events.exists():
            yield from (event for event in read_events(str(attempt.events)) if not event.get("to"))
            return
        # The journal of an earlier run may have been removed; what the step logged is in its result too.
        for name, value in ((self._run.result(key) or {}).get("metrics") or {}).items():
            kind = "table" if isinstance(value, dict) else "list" if isinstance(value, list) else "scalar"
            yield {"type": "metric", "kind": kind, "name": name, "value": value, "step": None, "child": None}

    def in_mlflow(self) -> dict[str, Any]:
        """Metrics that the script gave to MLflow itself: by its functions, or by its autologging."""
        attempt = None if self._key is None else latest_attempt(self._run.path, self._key)
        return {} if attempt is None else _only_in_mlflow(attempt.path)

    def _journal(self, key: str) -> Iterator[dict[str, Any]]:
        attempt = latest_attempt(self._run.path, key)
        return iter(()) if attempt is None else read_events(str(attempt.events))

    @property
    def _folders(self) -> list[Path]:
        attempt = None if self._key is None else latest_attempt(self._run.path, self._key)
        return [*([] if attempt is None else [attempt.path / "artifacts"]), self._files]

    def put(self, name: str, source: Any) -> None:
        """Keep a file.

        :raises UserErrorException: the run has one of this name.
        """
        if self.find(name) is not None:
            raise UserErrorException(f'The run already has a file "{name}": files of a run cannot be replaced.')
        self._own.put(name, source)

    def find(self, name: str) -> str | None:
        """Path of a file, or of a folder of files."""
        return next((str(folder / name) for folder in self._folders if (folder / name).exists()), None)

    def names(self) -> list[str]:
        """Names of all files."""
        return sorted(
            {name for folder in self._folders if folder.is_dir() for _, name in regular_files(os.fspath(folder))}
        )

    def send(self, timeout_seconds: float) -> None:
        """Bring MLflow up to date."""
        self._sender.flush(timeout_seconds)


def _only_in_mlflow(attempt: Path) -> dict[str, Any]:
    """Of the step whose attempt this is; for a reused step, of the run that computed it."""
    # .../steps/<key>/attempts/<n>
    step, run_folder = attempt.parents[1], attempt.parents[3]
    ledger = Ledger.load(run_folder)
    known = None if ledger is None else ledger.steps.get(step.name)
    if ledger is None or known is None:
        return {}
    try:
        with mlflow_client(ledger.tracking_uri, "What scripts gave to MLflow themselves is not known now.") as client:
            return metrics_besides(client, known.run_id, ledger.counts.get(known.run_id, {}))
    except TrackingError as error:
        _say_once(str(error))
        return {}


@lru_cache(maxsize=64)
def _say_once(message: str) -> None:
    _log.warning("%s", message)
