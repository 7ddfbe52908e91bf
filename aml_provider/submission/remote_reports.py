"""What was reported to a run that this machine knows through MLflow alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aml_provider.runtime.exceptions import UserErrorException
from aml_provider.spec.errors import PipelineError
from aml_provider.tracking.client import mlflow_client
from aml_provider.tracking.ledger import Ledger, StepLedger
from aml_provider.tracking.projection import Projection
from aml_provider.tracking.remote import artifact_names, find_mlflow_run, reported

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class MlflowReports:
    """The reports in an MLflow run; implements the sdk's ``Reports``. MLflow has each when its call returns."""

    def __init__(self, tracking_uri: str, pipeline_run_id: str, task_id: str | None) -> None:
        self._uri, self._pipeline_run_id, self._task_id = tracking_uri, pipeline_run_id, task_id
        self._ledger: Ledger | None = None
        self._seen: set[str] = set()

    @cached_property
    def _scratch(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="aml-run-files-")

    @contextmanager
    def _run(self) -> Iterator[tuple[MlflowClient, Run]]:
        with mlflow_client(self._uri) as client:
            run = find_mlflow_run(client, self._pipeline_run_id, self._task_id)
            if run is None:
                what = "" if self._task_id is None else f", step {self._task_id!r},"
                raise PipelineError(
                    f"run {self._pipeline_run_id}{what} is not in MLflow at {self._uri} (yet): it comes there when it "
                    "starts. Wait for it, or correct mlflow: tracking_uri in the workspace file."
                )
            yield client, run

    def append(self, event: dict[str, Any]) -> None:
        """Give one event to MLflow."""
        with self._run() as (client, run):
            if self._ledger is None:
                self._ledger = Ledger(self._uri, run.info.experiment_id, run.info.run_id)
            if event["type"] == "metric":
                self._count(client, run, str(event["name"]))
            Projection(client, self._ledger, StepLedger(run.info.run_id)).send([event], "run")

    def _count(self, client: MlflowClient, run: Run, name: str) -> None:
        """Points without a step number go on where the run's own have ended."""
        assert self._ledger is not None
        if name in run.data.metrics and name not in self._seen:
            points = client.get_metric_history(run.info.run_id, name)
            self._ledger.counts.setdefault(run.info.run_id, {})[name] = max(point.step for point in points) + 1
        self._seen.add(name)

    def events(self) -> Iterator[dict[str, Any]]:
        """Everything that MLflow has."""
        with self._run() as (client, run):
            return iter([*reported(client, run)])

    def in_mlflow(self) -> dict[str, Any]:
        """Nothing that is not among the events."""
        return {}

    def put(self, name: str, source: Any) -> None:
        """Give a file to MLflow.

        :raises UserErrorException: the run has one of this name.
        """
        if name in self.names():
            raise UserErrorException(f'The run already has a file "{name}": files of a run cannot be replaced.')
        with self._run() as (client, run), tempfile.TemporaryDirectory(prefix="aml-run-file-") as folder:
            file = Path(folder) / os.path.basename(name)
            if hasattr(source, "read"):
                with file.open("wb") as target:
                    shutil.copyfileobj(source, target)
            else:
                shutil.copyfile(source, file)
            client.log_artifact(run.info.run_id, str(file), os.path.dirname(name) or None)

    def find(self, name: str) -> str | None:
        """Fetch a file, or a folder of files; its path."""
        wanted = [known for known in self.names() if known == name or known.startswith(f"{name}/")]
        with self._run() as (client, run):
            for known in wanted:
                target = Path(self._scratch.name, known)
                target.parent.mkdir(parents=True, exist_ok=True)
                # MLflow gives a single file its last name only.
                with tempfile.TemporaryDirectory(dir=self._scratch.name) as folder:
                    shutil.move(client.download_artifacts(run.info.run_id, known, folder), target)
        return os.path.join(self._scratch.name, name) if wanted else None

    def names(self) -> list[str]:
        """Names of all files."""
        with self._run() as (client, run):
            return sorted(artifact_names(client, run.info.run_id))

    def send(self, timeout_seconds: float) -> None:
        """Nothing is left to send."""
