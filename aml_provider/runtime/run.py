"""``azureml.core.Run`` as a step's script sees it: ``Run.get_context()`` and what it offers."""

from __future__ import annotations

import os

from .datasets import InputDatasets, OutputDatasets, input_datasets, output_datasets
from .exceptions import RunEnvironmentException
from .experiment import StepExperiment, StepWorkspace
from .job import Job, load_job
from .run_children import RunChildren
from .run_cloud import RunCloud
from .run_files import RunFiles
from .run_metrics import RunMetrics
from .store import OfflineStore, StepStore
from .unavailable import unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Type

    from .run_base import Store

_current: dict[str, Run] = {}


class Run(RunMetrics, RunChildren, RunFiles, RunCloud):
    """The run of this step, its parent (the pipeline's run) or one of its child runs.

    Scripts get it from :meth:`get_context`. What they report is in the run's journal when the call returns.
    """

    def __init__(self, experiment: Any, run_id: str, outputs: Any = None, **kwargs: Any) -> None:
        if "_store" not in kwargs:
            raise unavailable("Run(experiment, run_id)", "Run.get_context() gives the run of this step.")
        self._experiment = experiment
        self._id = run_id
        self._store: Store = kwargs["_store"]
        self._child: str | None = kwargs.get("_child")
        self._to_pipeline: bool = kwargs.get("_to_pipeline", False)
        self._job: Job | None = kwargs.get("_job")
        self._name: str = kwargs.get("_name") or run_id
        self._parent: Run | None = kwargs.get("_parent")
        self._status = "Running"

    @classmethod
    def get_context(cls, allow_offline: bool = True, used_for_context_manager: bool = False, **kwargs: Any) -> Run:
        """The run of this step; every call in a process gives the same object.

        :param allow_offline: outside a step, give a run that prints what it is told.
        :raises RunEnvironmentException: outside a step, when ``allow_offline`` is false.
        """
        folder = os.environ.get("AML_JOB_DIR", "")
        if not folder:
            if not allow_offline:
                raise RunEnvironmentException()
            folder = "offline"
        if folder not in _current:
            _current[folder] = _offline_run() if folder == "offline" else _step_run(folder)
        return _current[folder]

    @classmethod
    def get_submitted_run(cls, **kwargs: Any) -> Run:
        """The run of this step; outside a step an error. :meth:`get_context` is the newer name."""
        return cls.get_context(allow_offline=False, **kwargs)

    @property
    def id(self) -> str:
        """The run's id."""
        return self._id

    @property
    def name(self) -> str:
        """The step's name as its author wrote it; of a child run, the name it was given."""
        return self._name

    @property
    def type(self) -> str:
        """``azureml.StepRun``, ``azureml.PipelineRun`` for the parent, ``azureml.scriptrun`` for a child run."""
        return "azureml.PipelineRun" if self._to_pipeline else "azureml.scriptrun" if self._child else "azureml.StepRun"

    @property
    def number(self) -> int:
        """The attempt, from 1."""
        return 1 if self._job is None else self._job.attempt

    @property
    def parent(self) -> Run | None:
        """The pipeline's run; of a child run, the run that started it. What is logged to it is logged to that run."""
        return self._parent

    @property
    def status(self) -> str:
        """Running, or what the script said by complete, fail or cancel."""
        return self._status

    @property
    def experiment(self) -> Any:
        """The experiment: its ``name`` and ``workspace`` (name, subscription_id, resource_group, location)."""
        return self._experiment

    @property
    def portal_url(self) -> str:
        """Empty: there is no portal."""
        return ""

    @property
    def input_datasets(self) -> InputDatasets:
        """Name -> path of the step's dataset inputs."""
        return input_datasets([] if self._job is None else self._job.inputs)

    @property
    def output_datasets(self) -> OutputDatasets:
        """Name -> path of the step's outputs."""
        return output_datasets([] if self._job is None else self._job.outputs)

    def get_portal_url(self) -> str:
        """Empty: there is no portal."""
        return self.portal_url

    @classmethod
    def get_docs_url(cls) -> str:
        """Empty: the documentation comes with the provider."""
        return ""

    def get_status(self) -> str:
        """Running, or what the script said by complete, fail or cancel."""
        return self._status

    def get_detailed_status(self) -> dict[str, Any]:
        """The status as a dict."""
        return {"status": self._status, "details": {}}

    def get_details(self) -> dict[str, Any]:
        """What is known about the run inside it."""
        return {
            "runId": self._id,
            "status": self._status,
            "properties": self.get_properties(),
            "tags": self.get_tags(),
            "inputDatasets": dict(self.input_datasets),
            "outputDatasets": dict(self.output_datasets),
            "logFiles": {},
        }

    def child_run(self, name: str | None = None, run_id: str | None = None, outputs: Any = None) -> Run:
        """Start a child run: metrics, tags and files of a part of this script.

        :param run_id: its id; by default made from this run's id.
        """
        child_id = run_id or f"{self._id}_{os.urandom(4).hex()}"
        child = type(self)(
            self._experiment,
            child_id,
            _store=self._store,
            _child=child_id,
            _job=self._job,
            _name=name or child_id,
            _parent=self,
        )
        self._record({"type": "child_run", "id": child_id, "name": child.name, "status": "Running"})
        return child

    def get_children(
        self,
        recursive: bool = False,
        tags: Any = None,
        properties: Any = None,
        type: Any = None,
        status: Any = None,
        _rehydrate_runs: bool = True,
    ) -> list[Run]:
        """The child runs started so far by any process of the step."""
        children: dict[str, Run] = {}
        for event in self._recorded("child_run"):
            if event["id"] not in children:
                children[event["id"]] = self.__class__(
                    self._experiment,
                    event["id"],
                    _store=self._store,
                    _child=event["id"],
                    _job=self._job,
                    _name=event["name"],
                    _parent=self,
                )
            children[event["id"]]._status = event["status"]
        found = list(children.values())
        if recursive:
            found += [inner for child in list(found) for inner in child.get_children(recursive=True)]
        return [child for child in found if child._is_meant(tags, properties, type, status)]

    def start(self) -> None:
        """Mark the run as running, which it is."""
        self._set_status("Running")

    def complete(self, _set_status: bool = True) -> None:
        """Mark the run as completed. The step's own run is completed by its script's end."""
        if _set_status:
            self._set_status("Completed")

    def fail(self, error_details: Any = None, error_code: Any = None, _set_status: bool = True) -> None:
        """Mark the run as failed. The step then fails, even when its script goes on and exits with 0."""
        if not _set_status:
            return
        message = "" if error_details is None else str(error_details)
        message = message or "The script called run.fail()."
        self._record({"type": "fail", "message": message if error_code is None else f"{error_code}: {message}"})
        self._set_status("Failed")

    def cancel(self) -> None:
        """Mark the run as canceled. For the step's own run that means that the step fails."""
        if self._child is None:
            self._record({"type": "fail", "message": "The script called run.cancel()."})
        self._set_status("Canceled")

    def flush(self, timeout_seconds: int = 300) -> None:
        """Nothing is left to do: every call has recorded what it was told."""

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: Type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exception is None:
            self.complete()
        else:
            self.fail(error_details=f"{exception.__class__.__name__}: {exception}")

    def __repr__(self) -> str:
        return f"Run(Experiment: {getattr(self._experiment, 'name', None)}, Id: {self._id}, Status: {self._status})"

    def _own_id(self) -> str:
        return self._id

    def _set_status(self, status: str) -> None:
        self._status = status
        if self._child is not None and self._parent is not None:
            self._parent._record({"type": "child_run", "id": self._id, "name": self._name, "status": status})


class OfflineRun(Run):
    """A run outside a step: prints what it is told. As in v1 it has no experiment; its id begins with OfflineRun."""

    @property
    def experiment(self) -> Any:
        """None such.

        :raises AttributeError: always, which is how scripts tell an offline run.
        """
        raise AttributeError("An offline run has no experiment: the script was not started as a step.")

    @property
    def type(self) -> str:
        """``OfflineRun``."""
        return "OfflineRun"


def _step_run(folder: str) -> Run:
    job = load_job(folder)
    facts = job.run
    experiment = StepExperiment(facts.get("experiment") or "", StepWorkspace(facts.get("workspace") or {}))
    store = StepStore(folder, job.working_directory)
    parent_id = facts.get("pipeline_run_id")
    parent = None
    if parent_id:
        parent = Run(experiment, parent_id, _store=store, _to_pipeline=True, _job=job, _name=facts.get("dag_id"))
    return Run(experiment, facts.get("id") or "", _store=store, _job=job, _name=facts.get("name"), _parent=parent)


def _offline_run() -> Run:
    import uuid

    return OfflineRun(None, f"OfflineRun_{uuid.uuid4()}", _store=OfflineStore())
