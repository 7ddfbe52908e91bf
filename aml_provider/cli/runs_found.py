"""Which run a person means."""

from __future__ import annotations

from typing import Any

from aml_provider.sdk.backend import RunBackend
from aml_provider.sdk.experiment import Experiment
from aml_provider.sdk.run_handles import handle
from aml_provider.sdk.submission import experiment_of
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.errors import AmlError
from aml_provider.submission.recorded import RunNotFoundError, find_run, list_runs
from aml_provider.workspace.discovery import load_workspace

LATEST = "latest"


def all_runs(experiment: str | None = None) -> list[Any]:
    """Handles of the workspace's runs, the newest first."""
    workspace = Workspace.of(load_workspace())
    return [_handle(workspace, backend) for backend in list_runs(workspace.loaded, experiment)]


def the_run(name: str) -> Any:
    """The handle of a run.

    :param name: its id or the beginning of it, ``DAG id/run id``, a step run's id, or ``latest``.
    :raises AmlError: no run is meant, or several.
    """
    workspace = Workspace.of(load_workspace())
    try:
        if name != LATEST:
            return _handle(workspace, find_run(workspace.loaded, name))
    except RunNotFoundError:
        if not name:
            raise
    found = list_runs(workspace.loaded, None)
    if name == LATEST:
        if not found:
            raise AmlError(f"workspace {workspace.name!r} has no runs")
        return _handle(workspace, found[0])
    fitting = [run for run in found if run.pipeline_run_id.startswith(name)]
    if not fitting:
        raise AmlError(f"workspace {workspace.name!r} has no run {name!r}; `aml runs ls` lists those that it has")
    if len(fitting) > 1:
        shown = ", ".join(run.pipeline_run_id for run in fitting[:5])
        more = f" and {len(fitting) - 5} more" if len(fitting) > 5 else ""
        raise AmlError(f"{name!r} is the beginning of several runs: {shown}{more}; write more of it")
    return _handle(workspace, fitting[0])


def steps_named(run: Any, name: str | None) -> list[Any]:
    """The step runs with a name, all for ``None``.

    :raises AmlError: there is no such step.
    """
    steps = run._backend.steps()
    wanted = [step for step in steps if name in (None, step.name, step.key)]
    if name is not None and not wanted:
        known = ", ".join(repr(step.name) for step in steps) or "none"
        raise AmlError(f"there is no step {name!r} in run {run.id}; it has {known}")
    return wanted


def _handle(workspace: Workspace, backend: RunBackend) -> Any:
    # A run of a name that no experiment may have must not hide the others.
    name = experiment_of(backend)
    return handle(Experiment(workspace, name if name.strip() else backend.dag_id), backend)
