"""Runs on an Airflow server whose folders this machine does not see: MLflow knows which there are."""

from __future__ import annotations

from aml_provider.runs.layout import RunStore
from aml_provider.sdk.backend import RunKind
from aml_provider.submission.api import AirflowApi
from aml_provider.submission.server import ServerRun
from aml_provider.tracking.remote import TrackedRun, tracked_runs
from aml_provider.workspace.resolved import LoadedWorkspace


class RemoteRun(ServerRun):
    """A run that another program started."""

    experiment: str
    started: float


def find_remote(workspace: LoadedWorkspace, run_id: str) -> RemoteRun | None:
    """The run with this id, or the one that the step run with this id is part of; ``None``: MLflow knows of none."""
    found = tracked_runs(workspace.tracking_uri, run_id=run_id)
    return _remote(workspace, found[0]) if found else None


def list_remote(workspace: LoadedWorkspace, experiment: str | None) -> list[RemoteRun]:
    """All runs, or those of one experiment."""
    found = tracked_runs(workspace.tracking_uri, experiment=experiment)
    return [_remote(workspace, run) for run in found if run.workspace == workspace.name and run.dag_id]


def _remote(workspace: LoadedWorkspace, tracked: TrackedRun) -> RemoteRun:
    assert workspace.file.airflow is not None
    api = AirflowApi(workspace.file.airflow)
    store = RunStore.of(workspace, workspace.file.default_datastore)
    run = RemoteRun(RunKind(tracked.kind), tracked.dag_id, tracked.run_id, None, api, workspace, store)
    run.experiment, run.started = tracked.experiment, tracked.started
    return run
