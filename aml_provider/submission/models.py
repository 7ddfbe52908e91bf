"""v1's models, in MLflow's registry of the workspace."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aml_provider.runs.layout import RunStore
from aml_provider.runs.models import ModelFacts, ModelVersion
from aml_provider.sdk.backend import RunKind
from aml_provider.sdk.exceptions import ModelPathNotFoundException
from aml_provider.sdk.model_input import files_of
from aml_provider.tracking import model_files, models
from aml_provider.tracking.client import mlflow_client
from aml_provider.tracking.opening import find_or_create_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from aml_provider.sdk.backend import RunBackend
    from aml_provider.workspace.resolved import LoadedWorkspace

_SEND_SECONDS = 30.0
_NOTHING_DONE = "Nothing was changed in its model registry; try again when it works."


def find_models(workspace: LoadedWorkspace, name: str | None = None) -> list[ModelVersion]:
    """Registered versions, the newest first.

    :param name: of this model only.
    """
    with mlflow_client(workspace.tracking_uri, "So its models are not known now.") as client:
        return models.find(client, name)


def register_model(workspace: LoadedWorkspace, facts: ModelFacts, path: str, files: Mapping[str, Path]) -> ModelVersion:
    """Register files of this machine.

    :param path: the name of the file or folder that they make.
    :param files: path among the artifacts, which is or begins with ``path`` -> file.
    """
    with mlflow_client(workspace.tracking_uri, _NOTHING_DONE) as client:
        return _register_files(client, workspace, facts, path, files)


def register_run_model(
    workspace: LoadedWorkspace, backend: RunBackend, step_key: str | None, facts: ModelFacts, path: str
) -> ModelVersion:
    """Register a file or folder of a run.

    :param step_key: the step whose run it is; ``None``: the pipeline run.
    :param path: its name among the run's files.
    :raises ModelPathNotFoundException: the run has no such file or folder.
    """
    reports = backend.reports(step_key)
    reports.send(_SEND_SECONDS)
    step = next((step.step_run_id for step in backend.steps() if step.key == step_key), None)
    with mlflow_client(workspace.tracking_uri, _NOTHING_DONE) as client:
        run = model_files.run_of(client, backend.pipeline_run_id, step)
        found = reports.find(path)
        if found is None and (run is None or not model_files.has(client, run.info.run_id, path)):
            steps = step is None and backend.kind is RunKind.PIPELINE
            raise ModelPathNotFoundException(
                f"Model {facts.name!r} cannot be registered: run {step or backend.pipeline_run_id} has no file or "
                f"folder {path!r}; it has {', '.join(reports.names()) or 'no files'}."
                + (" Files of a step are its step run's: run.find_step_run(NAME)[0].register_model." if steps else "")
            )
        files = {} if found is None else _below(path, Path(found))
        model_files.check_names(files)
        if run is None:
            own = backend.pipeline_run_id if step is None or backend.kind is RunKind.SCRIPT else step
            made = replace(facts, run_id=own, pipeline_run_id=backend.pipeline_run_id)
            return _register_files(client, workspace, made, path, files)
        # A worker may be about to send them, and may have sent some.
        model_files.upload(client, run.info.run_id, files)
        return models.register(client, models.made_by(client, run, facts, backend.kind.value), run, path)


def change_model(
    workspace: LoadedWorkspace, name: str, version: int, changed: Callable[[ModelFacts], ModelFacts]
) -> ModelVersion:
    """Change what a version says of itself.

    :param changed: gives the new facts for those that the registry has now.
    """
    with mlflow_client(workspace.tracking_uri, _NOTHING_DONE) as client:
        return models.change(client, name, version, changed)


def delete_model(workspace: LoadedWorkspace, name: str, version: int) -> None:
    """Delete a version."""
    with mlflow_client(workspace.tracking_uri, _NOTHING_DONE) as client:
        models.delete(client, name, version)


def download_model(workspace: LoadedWorkspace, name: str, version: int, folder: Path, replace: bool) -> Path:
    """Copy a version's file or folder into a folder.

    :param replace: whether files that are there may be replaced.
    """
    with mlflow_client(workspace.tracking_uri, "So the model was not downloaded.") as client:
        known = models.registered_version(client, name, version)
        return model_files.download(client, workspace.tracking_uri, known, folder, replace)


def _register_files(
    client: MlflowClient, workspace: LoadedWorkspace, facts: ModelFacts, path: str, files: Mapping[str, Path]
) -> ModelVersion:
    model_files.check_names(files)
    root = RunStore.of(workspace, workspace.file.default_datastore).root
    experiment = find_or_create_experiment(client, model_files.EXPERIMENT, workspace.tracking_uri, root)
    with model_files.holder(client, experiment, facts.name) as run:
        model_files.upload(client, run.info.run_id, files)
        return models.register(client, facts, run, path)


def _below(path: str, found: Path) -> dict[str, Path]:
    """The files of a run's file or folder, by their place among the artifacts."""
    return files_of(found, path) if os.path.isdir(found) else {path: found}
