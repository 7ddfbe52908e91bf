"""A run without an Airflow server: a process of its own with a private Airflow database."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from aml_provider.runs.binding import pipeline_run_id, step_run_id
from aml_provider.runs.embedded import CANCEL_FILE, EMBEDDED_VARIABLE, EmbeddedFolder
from aml_provider.runs.layout import RunFolder, RunStore, write_json
from aml_provider.sdk.backend import RunKind, RunState, StepInfo
from aml_provider.sdk.source import PipelineSource
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import PipelineSpec
from aml_provider.submission.reports import RunReports, Told
from aml_provider.submission.request import Request
from aml_provider.submission.state import new_step_log, span_of, step_files, step_info, step_log, step_state
from aml_provider.tracking.pending import why_untold
from aml_provider.workspace.resolved import LoadedWorkspace

POLL_SECONDS = 0.1
LOG_FILE = "airflow.log"
# With less than this, Airflow's database cannot grow.
NO_ROOM_BYTES = 1 << 20
LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
# A traceback's last line.
EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit): ")
# Airflow's states of tasks that have come to their end.
_ENDED = ("success", "failed", "skipped", "upstream_failed")
LOADER = """\
from aml_provider.submission.loader import load

dag = load({folder!r})
"""


def start_embedded(spec: PipelineSpec, dag_id: str, source: PipelineSource, workspace: LoadedWorkspace) -> EmbeddedRun:
    """Start the pipeline in a process of its own and return its handle at once."""
    # Unusable run stores are told to the caller, not to a log file.
    RunStore.of(workspace, spec.default_datastore)
    folder = workspace.state / "runs" / f"{dag_id}-{uuid.uuid4().hex[:12]}"
    try:
        (folder / "dags").mkdir(parents=True)
        Request(dag_id, spec, source.folder.resolve(), workspace).write(folder)
        (folder / "dags" / "loader.py").write_text(LOADER.format(folder=str(folder)), encoding="utf-8")
    except OSError as e:
        raise PipelineError(
            f"the run cannot be started: {e.filename or folder} cannot be written ({e.strerror}). Make room there, or "
            "set state: in the workspace file to another folder."
        ) from None
    with (folder / LOG_FILE).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "aml_provider.submission.embedded_worker", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(folder),
            # Ctrl-C in a terminal reaches the program, which cancels the run in good order.
            start_new_session=True,
        )
    run = EmbeddedRun(spec, dag_id, folder, workspace, process)
    atexit.register(run.end_with_program)
    return run


def _environment(folder: Path) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW__DATABASE")}
    return environment | {
        EMBEDDED_VARIABLE: str(folder),
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAG_DISCOVERY_SAFE_MODE": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow' / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "airflow" / "logs"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [{"name": "dags-folder", "classpath": LOCAL_BUNDLE, "kwargs": {}}]
        ),
    }


class EmbeddedRun:
    """Handle of an embedded run; implements the sdk's ``RunBackend``."""

    portal_url: str | None = None

    def __init__(
        self,
        spec: PipelineSpec,
        dag_id: str,
        folder: Path,
        workspace: LoadedWorkspace,
        process: subprocess.Popen[bytes],
    ) -> None:
        self._spec = spec
        self.dag_id = dag_id
        self.folder = folder
        self._workspace = workspace
        self._process = process
        self._canceled = False
        self._told = False
        self._await_run_id()

    def _await_run_id(self) -> None:
        """The worker chooses Airflow's run id; it is there before anything else happens."""
        while True:
            over = self._process.poll() is not None
            state = self._state_file()
            if state is not None or over:
                break
            time.sleep(POLL_SECONDS)
        self.run_id = str(state["run_id"]) if state is not None else self.folder.name

    @property
    def kind(self) -> RunKind:
        """What was started."""
        return RunKind.SCRIPT if self._spec.submit.script else RunKind.PIPELINE

    @property
    def pipeline_run_id(self) -> str:
        return pipeline_run_id(self.dag_id, self.run_id)

    @property
    def error(self) -> str | None:
        """Why the run failed though none of its steps did: what Airflow, or its worker process, says."""
        if self.state() is not RunState.FAILED or any(s.state is RunState.FAILED for s in self.steps()):
            return None
        log = self.folder / LOG_FILE
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        # Even a state folder that is full has kept what says so.
        if shutil.disk_usage(self.folder).free < NO_ROOM_BYTES:
            return (
                f"There is no room left where runs are kept ({self.folder.parent}): make room there, or have state: in "
                f"the workspace file name a folder on another disk.\n(The log of the embedded Airflow: {log})"
            )
        # The first error is the cause of the others.
        cause = next((line for line in lines if EXCEPTION.match(line)), None)
        if cause is not None:
            return f"{cause.partition(': ')[2] or cause}\n(The log of the embedded Airflow: {log})"
        tail = "\n".join(f"  | {line}" for line in lines[-10:]) or "  (it is empty)"
        return f"Its Airflow process ended before its time. The end of its log, {log}:\n{tail}"

    def state(self) -> RunState:
        """The run's state now. It is final when the process has ended, which writes the last one before."""
        over = self._process.poll() is not None
        state = self._state_file()
        known = RunState(state["state"]) if state is not None else RunState.NOT_STARTED
        if not over:
            return RunState.RUNNING if known.is_final else known
        if self._canceled:
            return RunState.CANCELED
        return known if known.is_final else RunState.FAILED

    def parameters(self) -> dict[str, Any]:
        """The values of the pipeline's parameters."""
        return {p.name: p.default for p in self._spec.parameters} | self._spec.submit.parameters

    def span(self) -> tuple[float | None, float | None]:
        """When the run's steps began and ended."""
        return span_of(self.state(), self.steps())

    def steps(self) -> list[StepInfo]:
        """All steps in the spec's order."""
        states = (self._state_file() or {}).get("steps", {})
        run_folder = self._run_folder().path
        over = self._process.poll() is not None
        infos = []
        for step in self._spec.steps:
            now = states.get(step.key, {})
            state = step_state(now.get("state"))
            if over and not state.is_final:
                state = RunState.CANCELED
            identity = step_run_id(self.dag_id, self.run_id, step.key)
            infos.append(step_info(step.key, step.name, identity, state, run_folder, now))
        return infos

    def log(self, step_key: str) -> str:
        """What the step wrote to its standard streams so far, its latest attempt."""
        return step_log(self._run_folder().path, step_key)

    def new_log(self, step_key: str, seen: int) -> tuple[str, int]:
        """What the step has written since."""
        return new_step_log(self._run_folder().path, step_key, seen)

    def files(self, step_key: str) -> Path | None:
        """The files that the step's script kept."""
        return step_files(self._run_folder().path, step_key)

    def reports(self, step_key: str | None) -> RunReports:
        """What was reported to the run, or to a step's."""
        script = self.kind is RunKind.SCRIPT
        uri = self._workspace.tracking_uri
        tags = self._spec.submit.tags
        return RunReports(Told(lambda: self._run_folder().path, uri, self.pipeline_run_id, step_key, script, tags))

    def cancel(self) -> None:
        """Stop the run: the step that runs is stopped, no other is started."""
        if self._process.poll() is not None:
            return
        self._canceled = True
        (self.folder / CANCEL_FILE).touch()
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout_seconds: float | None) -> RunState:
        """Block until the run is over or the time is; the state then."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_seconds)
        state = self.state()
        if state.is_final:
            self._close_killed()
            self._tell_what_mlflow_lacks()
        return state

    def _tell_what_mlflow_lacks(self) -> None:
        """Say it once where a person looks: else only the log of a task has it."""
        why = None if self._told else why_untold(self._run_folder().path)
        self._told = True
        if why is not None:
            print(f"run {self.pipeline_run_id}: {why}", file=sys.stderr)

    def _close_killed(self) -> None:
        """Record the end of a run whose process could not: nobody else knows that it is over."""
        folder = self._run_folder().path
        if (folder / "end.json").exists() or not (folder / "run.json").exists():
            return
        from aml_provider.tracking.recorder import close_run

        steps = (self._state_file() or {}).get("steps", {})
        states = {key: step["state"] for key, step in steps.items() if step["state"] in _ENDED}
        state = self.state().value
        try:
            write_json(folder / "end.json", {"state": state, "ended": time.time(), "steps": states})
            close_run(folder, state, states, self._workspace.tracking_uri)
        except OSError as error:
            print(f"the end of run {self.pipeline_run_id} cannot be recorded: {error}", file=sys.stderr)

    def end_with_program(self) -> None:
        """A program that ends without waiting waits here, because its run is this machine's work.

        Ctrl-C stops the run.
        """
        if self._process.poll() is None:
            print(f"waiting for run {self.pipeline_run_id} (Ctrl-C stops it)", file=sys.stderr)
            try:
                self._process.wait()
            except KeyboardInterrupt:
                self.cancel()
                self._process.wait()
        self._tell_what_mlflow_lacks()

    def _run_folder(self) -> RunFolder:
        store = RunStore.of(self._workspace, self._spec.default_datastore)
        return store.run(self.dag_id, self.run_id)

    def _state_file(self) -> dict[str, Any] | None:
        return EmbeddedFolder(self.folder).state()
