"""Runs that a program keeps itself, of no code of ours: ``Experiment.start_logging``."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping

from aml_provider.runs.layout import RunStore, write_json
from aml_provider.sdk.backend import RunKind, RunState
from aml_provider.spec.errors import PipelineError
from aml_provider.submission.recorded import RecordedRun
from aml_provider.tracking.recorder import close_run
from aml_provider.workspace.experiments import experiment_tags
from aml_provider.workspace.resolved import LoadedWorkspace

#: Stands where a pipeline run has its DAG.
DAG_ID = "interactive"


class InteractiveRun(RecordedRun):
    """A run without steps; whoever has its handle says when it ends."""

    def end(self, state: RunState) -> None:
        """Record how the run ended, and tell MLflow; the first who says it is right."""
        if self.state().is_final:
            return
        try:
            write_json(self.folder / "end.json", {"state": state.value, "ended": time.time(), "steps": {}})
        except OSError as error:
            raise PipelineError(
                f"the end of run {self.pipeline_run_id} cannot be recorded: {error.strerror} ({error.filename})"
            ) from None
        close_run(self.folder, state.value, tracking_uri=self.workspace.tracking_uri)

    def cancel(self) -> None:
        """End the run as cancelled."""
        self.end(RunState.CANCELED)


def start_interactive(
    workspace: LoadedWorkspace, datastore: str, experiment: str, name: str | None, tags: Mapping[str, str]
) -> InteractiveRun:
    """Begin a run.

    :param datastore: the default datastore, in whose run store the run is kept.
    :param name: what is shown for it; default: its id.
    :raises PipelineError: the run store cannot be written.
    """
    run_id = str(uuid.uuid4())
    folder = RunStore.of(workspace, datastore).run(DAG_ID, run_id)
    record = {
        "dag_id": DAG_ID,
        "run_id": run_id,
        "pipeline_run_id": run_id,
        "kind": RunKind.INTERACTIVE.value,
        "experiment": experiment,
        "experiment_tags": experiment_tags(workspace.state, experiment),
        "workspace": workspace.name,
        "parameters": {},
        "tags": dict(tags),
        "steps": [],
        "started": time.time(),
        **({} if name is None else {"display_name": name}),
    }
    try:
        write_json(folder.path / "run.json", record)
    except OSError as error:
        raise PipelineError(
            f"no run can be started: {error.filename or folder.path} cannot be written ({error.strerror})"
        ) from None
    return InteractiveRun(folder.path, record, workspace)
