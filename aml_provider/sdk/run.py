"""v1 ``Run`` as a handle: what a program asks about a run from outside.

Inside a step, the runtime has a ``Run`` of its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from aml_provider.sdk.backend import RunBackend, RunState, StepInfo
from aml_provider.sdk.exceptions import ActivityFailedException, ExperimentExecutionException, RunEnvironmentException
from aml_provider.sdk.progress import failure_text, follow
from aml_provider.sdk.unavailable import PartOfV1
from aml_provider.spec.errors import NotSupportedError

if TYPE_CHECKING:
    from aml_provider.sdk.experiment import Experiment
    from aml_provider.sdk.workspace import Workspace

_LOG = "log inside the step with Run.get_context(), or with MLflow"
_FILES = "look at the run's artifacts in MLflow, or use get_output_data of a step run"


class Run(PartOfV1):
    """A run, seen from outside.

    :param run_id: id of a pipeline run that was submitted earlier.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = {
        **dict.fromkeys(
            ("log", "log_list", "log_row", "log_table", "log_image", "log_confusion_matrix", "log_accuracy_table"), _LOG
        ),
        **dict.fromkeys(
            ("log_residuals", "log_predictions", "start", "create_children", "child_run", "complete"), _LOG
        ),
        **dict.fromkeys(("fail", "flush", "submit_child", "tag", "set_tags", "remove_tags", "add_properties"), _LOG),
        **dict.fromkeys(("upload_file", "upload_files", "upload_folder", "register_model"), _LOG),
        **dict.fromkeys(("get_file_names", "download_file", "download_files", "get_all_logs"), _FILES),
        **dict.fromkeys(("take_snapshot", "restore_snapshot", "get_snapshot_id", "clean", "get_environment"), _FILES),
        **dict.fromkeys(("get_secret", "get_secrets"), "keep secrets in Airflow connections"),
        "add_type_provider": "runs have fixed types",
    }
    RUN_TYPE: ClassVar[str] = "azureml.PipelineRun"

    def __init__(self, experiment: Experiment, run_id: str, outputs: Any = None, **kwargs: Any) -> None:
        from aml_provider.sdk.submission import find_run

        workspace = experiment.workspace
        self._set(experiment, find_run(workspace.loaded, workspace.name, run_id))

    def _set(self, experiment: Experiment, backend: RunBackend) -> None:
        self._experiment = experiment
        self._backend = backend

    @classmethod
    def of(cls, experiment: Experiment, backend: RunBackend) -> Any:
        """The handle of a submitted run."""
        made = cls.__new__(cls)
        made._set(experiment, backend)
        return made

    # --- ways to get one ------------------------------------------------------------------------------------

    @classmethod
    def get_context(cls, allow_offline: bool = True, used_for_context_manager: bool = False, **kwargs: Any) -> Any:
        """The run of this code. This code is not in a step, so it is an offline run, whose log calls print.

        :raises RunEnvironmentException: ``allow_offline`` is false.
        """
        from aml_provider.sdk.offline import OfflineRun

        if not allow_offline:
            raise RunEnvironmentException()
        return OfflineRun()

    @classmethod
    def get_submitted_run(cls, **kwargs: Any) -> Any:
        """v1's older name of :meth:`get_context`."""
        return cls.get_context()

    @staticmethod
    def get(workspace: Workspace, run_id: str) -> Any:
        """The run with this id."""
        from aml_provider.sdk.experiment import Experiment
        from aml_provider.sdk.pipeline_run import PipelineRun
        from aml_provider.sdk.submission import find_run, submitted

        backend = find_run(workspace.loaded, workspace.name, run_id)
        names = [e for e, run in submitted(workspace.name) if run.pipeline_run_id == run_id]
        name = names[0] if names else getattr(backend, "experiment", backend.dag_id)
        return PipelineRun.of(Experiment(workspace, name), backend)

    @staticmethod
    def list(
        experiment: Experiment,
        type: str | None = None,
        tags: Any = None,
        properties: Any = None,
        status: str | None = None,
        include_children: bool = False,
    ) -> Iterator[Any]:
        """An experiment's runs, the newest first."""
        for run in experiment.get_runs(type, tags, properties, include_children):
            if status in (None, run.status):
                yield run

    # --- what it is -----------------------------------------------------------------------------------------

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self._experiment

    @property
    def id(self) -> str:
        """The run's id."""
        return self._backend.pipeline_run_id

    @property
    def name(self) -> str:
        """The run's name."""
        return self._backend.run_id

    @property
    def display_name(self) -> str:
        """The run's name."""
        return self.name

    @property
    def description(self) -> str | None:
        """Runs have none."""
        return None

    @property
    def type(self) -> str:
        """The run's type, in v1's words."""
        return self.RUN_TYPE

    @property
    def number(self) -> int:
        """v1's count within the experiment; always 0 here."""
        return 0

    @property
    def parent(self) -> Any:
        """The run that this one is part of."""
        return None

    @property
    def status(self) -> str:
        """The state now."""
        return self.get_status()

    @property
    def tags(self) -> dict[str, str]:
        """The run's tags."""
        return self.get_tags()

    @property
    def properties(self) -> dict[str, str]:
        """Where the run is in Airflow."""
        return self.get_properties()

    @property
    def portal_url(self) -> str:
        """A page about the run; empty when no server runs it."""
        return self.get_portal_url()

    def get_portal_url(self) -> str:
        """A page about the run; empty when no server runs it."""
        return self._backend.portal_url or ""

    @classmethod
    def get_docs_url(cls) -> str:
        """Where the class is described."""
        return "docs/"

    def get_tags(self) -> dict[str, str]:
        """The run's tags."""
        from aml_provider.sdk.submission import spec_of

        spec = spec_of(self._backend)
        return dict(spec.submit.tags if spec is not None else getattr(self._backend, "tags", {}))

    def get_properties(self) -> dict[str, str]:
        """Where the run is in Airflow."""
        return {"airflow.dag_id": self._backend.dag_id, "airflow.run_id": self._backend.run_id}

    def _state(self) -> RunState:
        return self._backend.state()

    def get_status(self) -> str:
        """The state now: NotStarted, Queued, Running, Finished, Failed, Canceled."""
        return self._state().value

    def get_detailed_status(self) -> dict[str, Any]:
        """The state with details."""
        return {"status": self.get_status(), "details": []}

    def _steps(self) -> Any:
        return self._backend.steps()

    def get_details(self) -> dict[str, Any]:
        """Facts about the run, with v1's keys; there a finished run is ``Completed``."""
        steps: Any = self._steps()
        return {
            "runId": self.id,
            "status": _details_status(self._state()),
            "startTimeUtc": _iso(min((s.started for s in steps if s.started is not None), default=None)),
            "endTimeUtc": _iso(
                max((s.ended for s in steps if s.ended is not None), default=None) if self._state().is_final else None
            ),
            "properties": self.get_properties(),
            "inputDatasets": [],
            "outputDatasets": [],
            "logFiles": {},
            **self._error(),
        }

    def _error(self) -> dict[str, Any]:
        if self._state() is not RunState.FAILED:
            return {}
        return {"error": {"error": {"code": "UserError", "message": failure_text(self._backend, RunState.FAILED)}}}

    def get_details_with_logs(self) -> dict[str, Any]:
        """:meth:`get_details`, with the text of the steps' logs."""
        steps: Any = self._steps()
        return {**self.get_details(), "logFiles": {step.name: self._backend.log(step.key) for step in steps}}

    def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: Any = None, populate: bool = False
    ) -> dict[str, Any]:
        """The run's own metrics; a pipeline run has none.

        :param recursive: the step runs' metrics, by step run id.
        """
        if not recursive:
            return {}
        return {step.step_run_id: _chosen(step.metrics, name) for step in self._backend.steps()}

    def get_children(
        self,
        recursive: bool = False,
        tags: Any = None,
        properties: Any = None,
        type: str | None = None,
        status: str | None = None,
    ) -> Iterator[Any]:
        """The step runs."""
        from aml_provider.sdk.step_run import StepRun

        for step in self._backend.steps():
            if status in (None, step.state.value) and type in (None, StepRun.RUN_TYPE) and not tags and not properties:
                yield StepRun.of_step(self._experiment, self._backend, step)

    # --- waiting --------------------------------------------------------------------------------------------

    def wait_for_completion(
        self, show_output: bool = False, wait_post_processing: bool = False, raise_on_error: bool = True
    ) -> Any:
        """Wait until the run has ended; :meth:`get_details` then.

        :raises ActivityFailedException: the run failed and ``raise_on_error`` is true.
        """
        self._follow(show_output, None, raise_on_error)
        return self.get_details()

    def _follow(self, show_output: bool, timeout_seconds: float | None, raise_on_error: bool) -> str:
        # v1's "for ever" is sys.maxsize, more than any clock can count.
        limit = None if timeout_seconds is None or timeout_seconds >= sys.maxsize else float(timeout_seconds)
        try:
            state = follow(self._backend, show_output, limit)
        except KeyboardInterrupt as error:
            raise ExperimentExecutionException(
                f"Waiting for run {self.id} was interrupted; the run goes on. Stop it with run.cancel()."
            ) from error
        if not state.is_final:
            print(f"Timed out waiting for run {self.id} after {limit} s; it is {state.value}.")
        elif state is not RunState.FINISHED:
            text = failure_text(self._backend, state)
            if raise_on_error:
                raise ActivityFailedException(text)
            if show_output:
                print(text, file=sys.stderr)
        return state.value

    def cancel(self) -> None:
        """Stop the run."""
        self._backend.cancel()

    @staticmethod
    def list_by_compute(
        compute: Any, type: str | None = None, tags: Any = None, properties: Any = None, status: str | None = None
    ) -> Any:
        """Not possible from here.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(f"Look at the pool of compute target {compute.name!r} in Airflow.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Run(Experiment: {self._experiment.name}, Id: {self.id}, Type: {self.type}, Status: {self.status})"


def get_run(experiment: Any, run_id: str, rehydrate: bool = True, clean_up: bool = True) -> Any:
    """The run of an experiment with this id."""
    return Run.get(experiment.workspace, run_id)


def _details_status(state: RunState) -> str:
    return "Completed" if state is RunState.FINISHED else state.value


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _chosen(metrics: dict[str, Any], name: str | None) -> dict[str, Any]:
    if name is None:
        return dict(metrics)
    return {name: metrics[name]} if name in metrics else {}


def step_of(backend: RunBackend, key: str) -> StepInfo:
    """The step as it is now."""
    return next(step for step in backend.steps() if step.key == key)
