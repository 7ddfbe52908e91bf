"""Runs of earlier programs, read from what they left in the run store."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aml_provider.runs.embedded import CANCEL_FILE, EmbeddedFolder
from aml_provider.runs.layout import CANCELED, RunFolder, RunStore, read_json, run_kind
from aml_provider.sdk.backend import RunBackend, RunKind, RunState, StepInfo
from aml_provider.spec.errors import AmlError, NotSupportedError
from aml_provider.submission.reports import RunReports, Told
from aml_provider.submission.state import new_step_log, step_files, step_info, step_log, step_state
from aml_provider.workspace.resolved import LoadedWorkspace

POLL_SECONDS = 0.5
_ENDS = {"Finished": RunState.FINISHED, "Failed": RunState.FAILED, CANCELED: RunState.CANCELED}


class RunNotFoundError(AmlError, LookupError):
    """No run with this id has left a record in the workspace."""


def find_run(workspace: LoadedWorkspace, run_id: str) -> RunBackend:
    """The run with this id, or the one that the step run with this id is part of.

    :raises RunNotFoundError: there is no record of it.
    """
    recorded = _recorded(workspace, run_id)
    if recorded is not None:
        return recorded.live()
    if workspace.file.airflow is not None:
        from aml_provider.submission.remote_runs import find_remote

        found: RunBackend | None = find_remote(workspace, run_id)
        if found is not None:
            return found
    raise _not_found(workspace, run_id)


def find_recorded(workspace: LoadedWorkspace, run_id: str) -> RecordedRun:
    """The run with this id, or this ``DAG id/run id``, as it is recorded in the run store.

    :raises RunNotFoundError: there is no record of it.
    """
    found = _recorded(workspace, run_id)
    if found is None:
        raise _not_found(workspace, run_id)
    return found


def _recorded(workspace: LoadedWorkspace, wanted: str) -> RecordedRun | None:
    for run in _all(workspace):
        if wanted in (run.pipeline_run_id, f"{run.dag_id}/{run.run_id}"):
            return run
        if any(wanted == step["step_run_id"] for step in run.record["steps"]):
            return run
    return None


def _not_found(workspace: LoadedWorkspace, run_id: str) -> RunNotFoundError:
    return RunNotFoundError(
        f"workspace {workspace.name!r} has no record of a run {run_id!r}; `aml runs ls` lists those that it has"
    )


def list_runs(workspace: LoadedWorkspace, experiment: str | None) -> list[RunBackend]:
    """The recorded runs, the newest first.

    :param experiment: of this experiment only.
    """
    found = {run.pipeline_run_id: run for run in _all(workspace) if experiment in (None, run.experiment)}
    newest: list[tuple[float, RunBackend]] = [(run.started, run.live()) for run in found.values()]
    if workspace.file.airflow is not None:
        from aml_provider.submission.remote_runs import list_remote

        newest += [(run.started, run) for run in list_remote(workspace, experiment) if run.pipeline_run_id not in found]
    return [run for _, run in sorted(newest, key=lambda one: -one[0])]


def list_experiments(workspace: LoadedWorkspace) -> list[str]:
    """Names of the experiments that have recorded runs."""
    names = {run.experiment for run in _all(workspace)}
    if workspace.file.airflow is not None:
        from aml_provider.submission.remote_runs import list_remote

        names |= {run.experiment for run in list_remote(workspace, None)}
    return sorted(names)


def _all(workspace: LoadedWorkspace) -> Iterator[RecordedRun]:
    from aml_provider.submission.interactive import InteractiveRun

    for store in _stores(workspace):
        for file in sorted(store.root.glob("runs/*/*/run.json")):
            record = read_json(file)
            if record is not None:
                interactive = run_kind(record) == RunKind.INTERACTIVE.value
                yield (InteractiveRun if interactive else RecordedRun)(file.parent, record, workspace)


def _stores(workspace: LoadedWorkspace) -> Iterator[RunStore]:
    """The run stores that this machine sees, that of the default datastore first."""
    default = workspace.file.default_datastore
    seen: set[Path] = set()
    for name in (default, *workspace.datastores):
        if name == default or workspace.datastore(name).local_root is not None:
            store = RunStore.of(workspace, name)
            if store.root not in seen:
                seen.add(store.root)
                yield store


class RecordedRun:
    """A run known by its folder alone; implements the sdk's ``RunBackend``.

    :param record: the content of run.json.
    """

    portal_url: str | None = None
    error: str | None = None

    def __init__(self, folder: Path, record: dict[str, Any], workspace: LoadedWorkspace) -> None:
        self.folder, self.record, self.workspace = folder, record, workspace
        self.dag_id = str(record["dag_id"])
        self.run_id = str(record["run_id"])
        self.pipeline_run_id = str(record["pipeline_run_id"])
        self.experiment = str(record["experiment"])
        self.started = float(record["started"])

    @property
    def kind(self) -> RunKind:
        """What was started."""
        return RunKind(run_kind(self.record))

    def live(self) -> RunBackend:
        """The run as its Airflow server knows it, while it is not over; else this."""
        config = self.workspace.file.airflow
        if config is None or self._embedded is not None or self.kind is RunKind.INTERACTIVE or self._end():
            return self
        from aml_provider.submission.api import AirflowApi
        from aml_provider.submission.remote_runs import RemoteRun

        steps = [(str(step["task_id"]), str(step["name"])) for step in self.record["steps"]]
        store = RunStore(self.folder.parents[2], self.workspace.file.default_datastore)
        api = AirflowApi(config)
        run = RemoteRun(self.kind, self.dag_id, self.run_id, steps, api, self.workspace, store)
        run.experiment, run.started = self.experiment, self.started
        return run

    @property
    def _embedded(self) -> EmbeddedFolder | None:
        folder = self.record.get("embedded")
        return EmbeddedFolder(Path(folder)) if folder else None

    def _end(self) -> dict[str, Any]:
        return read_json(self.folder / "end.json") or {}

    def state(self) -> RunState:
        """Final once its end is recorded, or its process is gone; running until then."""
        end = self._end()
        if end:
            return RunState(end["state"])
        embedded = self._embedded
        if embedded is None or not embedded.gone:
            return RunState.RUNNING
        # Between the two looks it may have written its end.
        end = self._end()
        return RunState(end["state"]) if end else RunState.FAILED

    def parameters(self) -> dict[str, Any]:
        """The values of the pipeline's parameters."""
        return dict(self.record["parameters"])

    def span(self) -> tuple[float | None, float | None]:
        """When the run began and ended."""
        ended = self._end().get("ended")
        return self.started, None if ended is None else float(ended)

    def steps(self) -> list[StepInfo]:
        """All steps in the spec's order."""
        end = self._end()
        over = self.state().is_final
        infos = []
        for step in self.record["steps"]:
            key = step["task_id"]
            result = RunFolder(self.folder).result(key) or {}
            known = _ENDS.get(result.get("state", ""))
            state = known or step_state(end.get("steps", {}).get(key))
            if not state.is_final:
                started = RunFolder(self.folder).step(key).latest
                state = RunState.CANCELED if over else RunState.RUNNING if started else state
            infos.append(step_info(key, step["name"], step["step_run_id"], state, self.folder, result))
        return infos

    def log(self, step_key: str) -> str:
        """What the step wrote to its standard streams, its latest attempt."""
        return step_log(self.folder, step_key)

    def new_log(self, step_key: str, seen: int) -> tuple[str, int]:
        """What the step has written since."""
        return new_step_log(self.folder, step_key, seen)

    def files(self, step_key: str) -> Path | None:
        """The files that the step's script kept."""
        return step_files(self.folder, step_key)

    def reports(self, step_key: str | None) -> RunReports:
        """What was reported to the run, or to a step's."""
        script = self.kind is RunKind.SCRIPT
        uri = self.workspace.tracking_uri
        return RunReports(Told(lambda: self.folder, uri, self.pipeline_run_id, step_key, script))

    def cancel(self) -> None:
        """Stop the run: an embedded one is told so, wherever it was started on this machine.

        :raises NotSupportedError: it was started by an Airflow that the workspace file does not name.
        """
        if self.state().is_final:
            return
        embedded = self._embedded
        process = None if embedded is None else embedded.process
        if embedded is None or process is None:
            raise NotSupportedError(
                f"run {self.pipeline_run_id} is not on this machine: cancel it in its Airflow, or name that in the "
                "workspace file (airflow: url)"
            )
        (embedded.path / CANCEL_FILE).touch()
        os.kill(process, signal.SIGTERM)

    def wait(self, timeout_seconds: float | None) -> RunState:
        """Block until the run is over or the time is; the state then."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not (state := self.state()).is_final and (deadline is None or time.monotonic() < deadline):
            time.sleep(POLL_SECONDS)
        return state
