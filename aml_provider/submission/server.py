"""A run on a running Airflow: triggered and followed through its REST API."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aml_provider.runs.binding import pipeline_run_id, step_run_id
from aml_provider.runs.layout import RunStore
from aml_provider.sdk.backend import RunKind, RunState, StepInfo
from aml_provider.sdk.source import PipelineSource
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import PipelineSpec
from aml_provider.spec.names import END_KEY, HEAD_KEY
from aml_provider.submission.api import AirflowApi, NotFoundError
from aml_provider.submission.pulled import PulledResults
from aml_provider.submission.reports import RunReports, Told
from aml_provider.submission.state import new_step_log, run_state, span_of, step_files, step_info, step_state
from aml_provider.workspace.resolved import LoadedWorkspace

POLL_SECONDS = 1.0
CANCELED_NOTE = "cancelled by its submitter"


def submit_to_server(spec: PipelineSpec, dag_id: str, source: PipelineSource, workspace: LoadedWorkspace) -> ServerRun:
    """Trigger the DAG that the server made from the same file.

    :raises PipelineError: the server has no such DAG, or it has another pipeline under this name.
    """
    assert workspace.file.airflow is not None
    api = AirflowApi(workspace.file.airflow)
    try:
        api.get(f"dags/{quote(dag_id)}")
        tasks = api.get(f"dags/{quote(dag_id)}/tasks")["tasks"]
    except NotFoundError:
        raise PipelineError(
            f"Airflow at {api.url} has no DAG {dag_id!r}. Copy {source.file or 'the pipeline file'} and its source "
            "directories into its dags folder and wait until it is listed, or look under import errors."
        ) from None
    missing = sorted({s.key for s in spec.steps} - {t["task_id"] for t in tasks})
    if missing:
        raise PipelineError(
            f"the DAG {dag_id!r} of Airflow at {api.url} is another pipeline or an older one: it has no step "
            f"{missing[0]!r}. Copy {source.file or 'the pipeline file'} into its dags folder again."
        )
    api.patch(f"dags/{quote(dag_id)}", {"is_paused": False})
    conf = {**spec.submit.parameters, **{name: value for name, value in spec.run_options.items() if value}}
    started = api.post(f"dags/{quote(dag_id)}/dagRuns", {"logical_date": None, "conf": conf})
    steps = [(step.key, step.name) for step in spec.steps]
    kind = RunKind.SCRIPT if spec.submit.script else RunKind.PIPELINE
    store = RunStore.of(workspace, spec.default_datastore)
    return ServerRun(kind, dag_id, str(started["dag_run_id"]), steps, api, workspace, store)


class ServerRun:
    """Handle of a run on a server; implements the sdk's ``RunBackend``.

    :param steps: key and name of each, in the spec's order; ``None``: those of the DAG.
    :param store: where the run's folder is, if this machine sees it.
    """

    def __init__(
        self,
        kind: RunKind,
        dag_id: str,
        run_id: str,
        steps: Sequence[tuple[str, str]] | None,
        api: AirflowApi,
        workspace: LoadedWorkspace,
        store: RunStore,
    ) -> None:
        self.kind, self.dag_id, self.run_id = kind, dag_id, run_id
        self._api, self._workspace, self._store = api, workspace, store
        if steps is not None:
            self._steps = steps
        self._path = f"dags/{quote(dag_id)}/dagRuns/{quote(run_id)}"
        self._pulled = PulledResults(api, self._path)

    @cached_property
    def _steps(self) -> Sequence[tuple[str, str]]:
        tasks = self._api.get(f"dags/{quote(self.dag_id)}/tasks")["tasks"]
        named = [(str(task["task_id"]), str(task.get("task_display_name") or task["task_id"])) for task in tasks]
        return [(key, name) for key, name in named if key not in (HEAD_KEY, END_KEY)]

    @property
    def pipeline_run_id(self) -> str:
        return pipeline_run_id(self.dag_id, self.run_id)

    @property
    def portal_url(self) -> str | None:
        return f"{self._api.url}/dags/{quote(self.dag_id)}/runs/{quote(self.run_id)}"

    @property
    def error(self) -> str | None:
        """Where to look for why a run failed whose steps did not."""
        return f"Airflow's logs of the run's other tasks say why: {self.portal_url}"

    def state(self) -> RunState:
        """The run's state now."""
        run = self._api.get(self._path)
        state = run_state(run["state"])
        return RunState.CANCELED if state.is_final and run.get("note") == CANCELED_NOTE else state

    def parameters(self) -> dict[str, Any]:
        """The values that the run was started with."""
        return dict(self._api.get(self._path).get("conf") or {})

    def span(self) -> tuple[float | None, float | None]:
        """When the run's steps began and ended."""
        return span_of(self.state(), self.steps())

    def steps(self) -> list[StepInfo]:
        """All steps in the spec's order."""
        found = self._api.get(f"{self._path}/taskInstances", limit=1000)["task_instances"]
        by_key = {t["task_id"]: t for t in found}
        folder = self._run_folder()
        infos = []
        for key, name in self._steps:
            now = by_key.get(key, {})
            times = {"started": _epoch(now.get("start_date")), "ended": _epoch(now.get("end_date"))}
            identity = step_run_id(self.dag_id, self.run_id, key)
            state = step_state(now.get("state"))
            info = step_info(key, name, identity, state, folder, times)
            infos.append(info if folder is not None else self._pulled.completed(info))
        return infos

    def log(self, step_key: str) -> str:
        """The step's task log, its latest try."""
        task = self._api.get(f"{self._path}/taskInstances/{quote(step_key)}")
        number = task.get("try_number") or 0
        if number < 1:
            return ""
        answer = self._api.get(f"{self._path}/taskInstances/{quote(step_key)}/logs/{number}", full_content=True)
        content = answer.get("content", "")
        if isinstance(content, str):
            return content
        return "\n".join(str(line.get("event", "")) if isinstance(line, dict) else str(line) for line in content)

    def new_log(self, step_key: str, seen: int) -> tuple[str, int]:
        """What the step has written since."""
        folder = self._run_folder()
        if folder is not None:
            return new_step_log(folder, step_key, seen)
        text = self.log(step_key)
        return text[seen:], len(text)

    def files(self, step_key: str) -> Path | None:
        """The files that the step's script kept."""
        return step_files(self._run_folder(), step_key)

    def reports(self, step_key: str | None) -> RunReports:
        """What was reported to the run, or to a step's."""
        script = self.kind is RunKind.SCRIPT
        return RunReports(Told(self._run_folder, self._workspace.tracking_uri, self.pipeline_run_id, step_key, script))

    def cancel(self) -> None:
        """Mark the run failed in Airflow, which stops its tasks."""
        self._api.patch(self._path, {"state": "failed", "note": CANCELED_NOTE})

    def wait(self, timeout_seconds: float | None) -> RunState:
        """Block until the run is over or the time is; the state then."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            state = self.state()
            if state.is_final or (deadline is not None and time.monotonic() >= deadline):
                return state
            time.sleep(POLL_SECONDS)

    def _run_folder(self) -> Path | None:
        folder = self._store.run(self.dag_id, self.run_id).path
        return folder if folder.is_dir() else None


def _epoch(text: Any) -> float | None:
    return datetime.fromisoformat(str(text)).timestamp() if text else None
