"""What a run handle needs from whatever runs the pipeline (embedded Airflow, or a server over REST)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol


class RunState(str, Enum):
    """State of a pipeline run or step run, in Azure ML's words."""

    NOT_STARTED = "NotStarted"
    QUEUED = "Queued"
    RUNNING = "Running"
    FINISHED = "Finished"
    FAILED = "Failed"
    CANCELED = "Canceled"
    SKIPPED = "Skipped"

    @property
    def is_final(self) -> bool:
        """Whether the state will not change any more."""
        return self in (RunState.FINISHED, RunState.FAILED, RunState.CANCELED, RunState.SKIPPED)


@dataclass(frozen=True)
class OutputInfo:
    """Where a step's output is."""

    datastore: str
    path: str


@dataclass(frozen=True)
class ReusedInfo:
    """The earlier run whose result stands for a step's.

    :param seconds: how long the step took there.
    :param reason: why it may, in words.
    """

    pipeline_run_id: str
    step_run_id: str
    seconds: float
    reason: str


@dataclass(frozen=True)
class StepInfo:
    """A step of a run, as it is now; times are seconds since the epoch.

    :param reused: ``None`` for a step that is or was run.
    :param unrecorded: why the result of a step that was run will not be reused although it could have been.
    """

    key: str
    name: str
    step_run_id: str
    state: RunState
    started: float | None = None
    ended: float | None = None
    outputs: Mapping[str, OutputInfo] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    reused: ReusedInfo | None = None
    unrecorded: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long the step ran, ``None`` while that is not known."""
        if self.started is None or self.ended is None:
            return None
        return self.ended - self.started


class RunKind(str, Enum):
    """What was started, in the words of v1's ``Run.type``."""

    PIPELINE = "azureml.PipelineRun"
    #: A ``ScriptRunConfig``: a pipeline of one step.
    SCRIPT = "azureml.scriptrun"
    #: No code of ours runs: a program reports to it.
    INTERACTIVE = "interactive"


class Reports(Protocol):
    """What was reported to one run: by its script, and by programs through its handle; and the place for more.

    Events are those of the runtime's journal.
    """

    def append(self, event: dict[str, Any]) -> None:
        """Record one event; it is recorded when this returns."""

    def events(self) -> Iterator[dict[str, Any]]:
        """Everything so far, in order."""

    def in_mlflow(self) -> dict[str, Any]:
        """Metrics that the script gave to MLflow itself, as ``get_metrics`` gives them; none when MLflow is away."""

    def put(self, name: str, source: Any) -> None:
        """Keep a file, or a stream's content, under a name that is free."""

    def find(self, name: str) -> str | None:
        """Path of a file, or of a folder of files, on this machine."""

    def names(self) -> list[str]:
        """Names of all files, sorted."""

    def send(self, timeout_seconds: float) -> None:
        """Bring MLflow up to date with what this process reported; waits for it so long at most."""


class RunBackend(Protocol):
    """A submitted pipeline."""

    @property
    def kind(self) -> RunKind:
        """What was started."""

    @property
    def dag_id(self) -> str:
        """Id of the DAG that the pipeline became."""

    @property
    def run_id(self) -> str:
        """Airflow's run id."""

    @property
    def pipeline_run_id(self) -> str:
        """The pipeline run's id, as v1 scripts see it."""

    @property
    def portal_url(self) -> str | None:
        """A page about the run, if there is one."""

    @property
    def error(self) -> str | None:
        """Why the run failed, when that is not a failure of any of its steps."""

    def state(self) -> RunState:
        """The run's state now."""

    def parameters(self) -> dict[str, Any]:
        """The values of the pipeline's parameters, as far as they are known."""

    def span(self) -> tuple[float | None, float | None]:
        """When the run began and ended, in seconds since the epoch, as far as it has."""

    def steps(self) -> list[StepInfo]:
        """All steps in the spec's order."""

    def log(self, step_key: str) -> str:
        """What the step wrote to its standard streams so far."""

    def new_log(self, step_key: str, seen: int) -> tuple[str, int]:
        """What the step has written since.

        :param seen: 0, or the number that an earlier call gave.
        :return: the text, which ends with a whole line while the step runs, and a number for the next call.
        """

    def files(self, step_key: str) -> Path | None:
        """The folder of the files that the step's script kept, ``None`` where this machine does not see it."""

    def reports(self, step_key: str | None) -> Reports:
        """What was reported to a step's run; ``None``: to the pipeline run itself."""

    def cancel(self) -> None:
        """Stop the run."""

    def wait(self, timeout_seconds: float | None) -> RunState:
        """Block until the run is final or the time is over, printing nothing; the state then."""
