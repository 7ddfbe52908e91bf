"""Runs of earlier programs, read from what they left in the run store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aml_provider.runs.layout import RunFolder, RunStore, read_json
from aml_provider.sdk.backend import RunState, StepInfo
from aml_provider.spec.errors import AmlError, NotSupportedError
from aml_provider.submission.state import step_files, step_info, step_log, step_state
from aml_provider.workspace.resolved import LoadedWorkspace

POLL_SECONDS = 0.5


class RunNotFoundError(AmlError, LookupError):
    """No run with this id has left a record in the workspace."""


def find_run(workspace: LoadedWorkspace, run_id: str) -> RecordedRun:
    """The run with this pipeline run id.

    :raises RunNotFoundError: there is no record of it.
    """
    for run in _all(workspace):
        if run.pipeline_run_id == run_id:
            return run
    raise RunNotFoundError(
        f"workspace {workspace.name!r} has no record of a run {run_id!r} in its default datastore "
        f"{workspace.file.default_datastore!r}"
    )


def list_runs(workspace: LoadedWorkspace, experiment: str) -> list[RecordedRun]:
    """The recorded runs of an experiment, the newest first."""
    found = [run for run in _all(workspace) if run.record["experiment"] == experiment]
    return sorted(found, key=lambda run: -float(run.record["started"]))


def list_experiments(workspace: LoadedWorkspace) -> list[str]:
    """Names of the experiments that have recorded runs."""
    return sorted({str(run.record["experiment"]) for run in _all(workspace)})


def _all(workspace: LoadedWorkspace) -> Iterator[RecordedRun]:
    root = RunStore.of(workspace, workspace.file.default_datastore).root
    for file in sorted(root.glob("runs/*/*/run.json")):
        record = read_json(file)
        if record is not None:
            yield RecordedRun(file.parent, record)


class RecordedRun:
    """A run known by its folder alone; implements the sdk's ``RunBackend``."""

    portal_url: str | None = None

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self._folder, self.record = folder, record
        self.dag_id = str(record["dag_id"])
        self.run_id = str(record["run_id"])
        self.pipeline_run_id = str(record["pipeline_run_id"])
        self.tags = {str(name): str(value) for name, value in record["tags"].items()}

    def state(self) -> RunState:
        """Final once the run's closing task has written how it ended; running until then."""
        end = read_json(self._folder / "end.json")
        return RunState(end["state"]) if end is not None else RunState.RUNNING

    def steps(self) -> list[StepInfo]:
        """All steps in the spec's order."""
        end = read_json(self._folder / "end.json") or {}
        infos = []
        for step in self.record["steps"]:
            key = step["task_id"]
            result = RunFolder(self._folder).result(key) or {}
            known = {"Finished": RunState.FINISHED, "Failed": RunState.FAILED}.get(result.get("state", ""))
            state = known or step_state(end.get("steps", {}).get(key))
            infos.append(step_info(key, step["name"], step["step_run_id"], state, self._folder, result))
        return infos

    def log(self, step_key: str) -> str:
        """What the step wrote to its standard streams, its latest attempt."""
        return step_log(self._folder, step_key)

    def files(self, step_key: str) -> Path | None:
        """The files that the step's script kept."""
        return step_files(self._folder, step_key)

    def cancel(self) -> None:
        """Not possible from another program.

        :raises NotSupportedError: the run is not over.
        """
        if not self.state().is_final:
            raise NotSupportedError(
                f"run {self.pipeline_run_id} was started by another program: cancel it there, or in Airflow"
            )

    def wait(self, timeout_seconds: float | None) -> RunState:
        """Block until the run is over or the time is; the state then."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not (state := self.state()).is_final and (deadline is None or time.monotonic() < deadline):
            time.sleep(POLL_SECONDS)
        return state
