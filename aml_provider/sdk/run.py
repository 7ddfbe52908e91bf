"""v1 ``Run`` as a handle: what a program asks of a run, and reports to it, from outside.

Inside a step, the runtime has a ``Run`` of its own; what is reported and read back is the same code.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from aml_provider.sdk.backend import RunBackend, RunKind, RunState, StepInfo
from aml_provider.sdk.exceptions import RunEnvironmentException
from aml_provider.sdk.progress import failure_text
from aml_provider.sdk.run_children import RunChildren
from aml_provider.sdk.run_reporting import Reporting, status_is
from aml_provider.sdk.run_snapshots import RunSnapshots
from aml_provider.sdk.run_waiting import RunWaiting
from aml_provider.sdk.unavailable import PartOfV1
from aml_provider.spec.errors import NotSupportedError

if TYPE_CHECKING:
    from aml_provider.sdk.experiment import Experiment
    from aml_provider.sdk.workspace import Workspace

_SECRETS = "keep secrets in Airflow connections, or give them to the step as environment variables"
_AZURE = "it is a detail of Azure ML's service"


class Run(RunChildren, RunSnapshots, RunWaiting, Reporting, PartOfV1):
    """A run, seen from outside: a pipeline run, a step run, a submitted script, an interactive run, a child run.

    :param run_id: id of a run that was submitted or started earlier.
    :raises RunNotFoundError: there is no record of it.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "submit_child": "submit it with Experiment.submit; a part of a program is a child_run of an interactive run",
        "clean": "`aml cache gc` removes what runs have left",
        "get_environment": "`aml explain RUN STEP --verbose` prints the environment that a step was run in",
        **dict.fromkeys(("get_secret", "get_secrets"), _SECRETS),
        **dict.fromkeys(("identity", "DELIM", "WORKSPACE_FMT", "TID_FMT"), _AZURE),
        **dict.fromkeys(("EXPERIMENT_NAME_PATH", "EXPERIMENT_ID_PATH", "RUN_PATH"), _AZURE),
    }

    _key: str | None = None

    def __init__(self, experiment: Experiment, run_id: str, outputs: Any = None, **kwargs: Any) -> None:
        found = Run.get(experiment.workspace, run_id)
        vars(self).update(vars(found))
        if type(self) is Run:
            # A run is of the kind that its id says.
            self.__class__ = type(found)

    def _set(
        self, experiment: Experiment, backend: RunBackend, key: str | None = None, child: str | None = None
    ) -> None:
        self._experiment = experiment
        self._backend = backend
        self._key = key
        self._child = child
        self._store = self._reports = backend.reports(key)

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
        """The run with this id, which may be of any kind; of a child run, an id that was made for it.

        :raises RunNotFoundError: there is no record of it.
        """
        from aml_provider.sdk.experiment import Experiment
        from aml_provider.sdk.run_handles import handle
        from aml_provider.sdk.submission import experiment_of, find_run

        try:
            backend = find_run(workspace.loaded, workspace.name, run_id)
        except LookupError:
            # A child run's id is that of the run it is part of, and some digits.
            parent, _, digits = run_id.rpartition("_")
            if not parent or len(digits) != 8:
                raise
            with suppress(LookupError):
                for child in Run.get(workspace, parent).get_children():
                    if child.id == run_id:
                        return child
            raise
        return handle(Experiment(workspace, experiment_of(backend)), backend, run_id)

    @staticmethod
    def list(
        experiment: Experiment,
        type: str | None = None,
        tags: Any = None,
        properties: Any = None,
        status: str | None = None,
        include_children: bool = False,
        _rehydrate_runs: bool = True,
    ) -> Iterator[Any]:
        """An experiment's runs, the newest first."""
        for run in experiment.get_runs(type, tags, properties, include_children):
            if status_is(run.status, status):
                yield run

    # --- what it is -----------------------------------------------------------------------------------------

    @property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self._experiment

    @property
    def id(self) -> str:
        """The run's id."""
        return self._child or self._backend.pipeline_run_id

    @property
    def name(self) -> str:
        """The run's name."""
        return self._child_name() if self._child is not None else self._backend.run_id

    @property
    def type(self) -> str | None:
        """The run's type, in v1's words; of an interactive run, and of its child runs, there is none."""
        kind = self._backend.kind
        return None if kind is RunKind.INTERACTIVE or self._child is not None else kind.value

    @property
    def number(self) -> int:
        """v1's count within the experiment; always 0 here."""
        return 0

    @property
    def status(self) -> str:
        """The state now."""
        return self.get_status()

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

    def get_properties(self) -> dict[str, Any]:
        """What was added, and where the run is in Airflow."""
        own = super().get_properties()
        if self._child is not None or self._backend.kind is RunKind.INTERACTIVE:
            return own
        return {
            "airflow.dag_id": self._backend.dag_id,
            "airflow.run_id": self._backend.run_id,
            "azureml.parameters": json.dumps(self._backend.parameters(), default=str),
            **own,
        }

    # --- how it is ------------------------------------------------------------------------------------------

    def _state(self) -> RunState:
        return self._backend.state()

    def get_status(self) -> str:
        """The state now: NotStarted, Queued, Running, Completed, Failed, Canceled."""
        return self._child_status() if self._child is not None else details_status(self._state())

    def get_detailed_status(self) -> dict[str, Any]:
        """The state with details."""
        return {"status": self.get_status(), "details": []}

    def _steps(self) -> Sequence[StepInfo]:
        return () if self._child is not None else self._backend.steps()

    def _span(self) -> tuple[float | None, float | None]:
        return self._backend.span() if self._child is None else self._child_span()

    def get_details(self) -> dict[str, Any]:
        """Facts about the run, with v1's keys; there a finished run is ``Completed``."""
        began, ended = self._span()
        return {
            "runId": self.id,
            "status": self.get_status() if self._child is not None else details_status(self._state()),
            "startTimeUtc": _iso(began),
            "endTimeUtc": _iso(ended),
            "properties": self.get_properties(),
            "inputDatasets": [],
            "outputDatasets": [],
            "logFiles": {},
            **self._error(),
        }

    def _error(self) -> dict[str, Any]:
        if self.get_status() != "Failed":
            return {}
        told = [str(event["message"]) for event in self._recorded("fail") if event["message"]]
        if told:
            message = told[-1]
        elif self._child is not None:
            message = f"Run {self.id} ended as Failed."
        else:
            message = failure_text(self._backend, RunState.FAILED)
        return {"error": {"error": {"code": "UserError", "message": message}}}

    def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: Any = None, populate: bool = False
    ) -> dict[str, Any]:
        """What was logged so far: a single value, or a list when a name was logged several times; rows as columns.

        What a step's script logs by MLflow's own functions is there too.

        :param name: only this metric.
        :param recursive: of the child runs too; the result is then run id -> metrics.
        """
        found = super().get_metrics(name, recursive)
        if self._child is None:
            own = found.setdefault(self.id, {}) if recursive else found
            if name is None or name not in own:
                own |= {k: v for k, v in self._reports.in_mlflow().items() if k not in own and name in (None, k)}
        return found

    def cancel(self) -> None:
        """Stop the run: what it runs is stopped, containers and pods too."""
        if self._child is not None:
            self._end_child("Canceled")
        else:
            self._backend.cancel()

    def flush(self, timeout_seconds: int = 300) -> None:
        """Wait until MLflow has what this program reported; it is recorded already."""
        self._reports.send(timeout_seconds)

    def register_model(
        self,
        model_name: str,
        model_path: str | None = None,
        tags: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
        model_framework: Any = None,
        model_framework_version: str | None = None,
        description: str | None = None,
        datasets: Any = None,
        sample_input_dataset: Any = None,
        sample_output_dataset: Any = None,
        resource_configuration: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Register a file or folder of the run as a model.

        :param model_path: its name among the run's files (``outputs/model.pkl``); by default ``model_name``.
        :raises ModelPathNotFoundException: the run has no such file or folder.
        """
        from aml_provider.sdk.model import registered_from_run

        return registered_from_run(
            self._experiment,
            self._backend,
            self._key,
            model_name,
            model_path,
            tags,
            properties,
            model_framework,
            model_framework_version,
            description,
            datasets,
            sample_input_dataset,
            sample_output_dataset,
            resource_configuration,
        )

    # --- not here -------------------------------------------------------------------------------------------

    @staticmethod
    def list_by_compute(
        compute: Any, type: str | None = None, tags: Any = None, properties: Any = None, status: str | None = None
    ) -> Any:
        """Not possible from here.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(
            f"Run.list_by_compute: look at the Airflow pool of compute target {getattr(compute, 'name', compute)!r}; "
            "`aml pools` says which that is."
        )

    @staticmethod
    def add_type_provider(runtype: str, run_factory: Any) -> None:
        """Not possible: the kinds of runs are fixed.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(f"Run.add_type_provider({runtype!r}): the kinds of runs are fixed here.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Run(Experiment: {self._experiment.name}, Id: {self.id}, Type: {self.type}, Status: {self.status})"


def get_run(experiment: Any, run_id: str, rehydrate: bool = True, clean_up: bool = True) -> Any:
    """The run of an experiment with this id."""
    return Run.get(experiment.workspace, run_id)


def details_status(state: RunState) -> str:
    """v1's word for a state in ``get_details``."""
    return "Completed" if state is RunState.FINISHED else state.value


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
