"""v1 ``StepRun``: one step of a submitted pipeline, and the data it wrote."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aml_provider.sdk.backend import OutputInfo, RunBackend, RunState, StepInfo
from aml_provider.sdk.exceptions import ActivityFailedException, UserErrorException
from aml_provider.sdk.ports import InputPortBinding
from aml_provider.sdk.progress import INTERVAL, step_failure_text
from aml_provider.sdk.run import Run

if TYPE_CHECKING:
    from aml_provider.sdk.experiment import Experiment


#: Seconds that no step takes; v1's "for ever" is sys.maxsize, more than a clock can count.
FOR_EVER = 1e9


class StepRun(Run):
    """One step of a submitted pipeline."""

    def __init__(
        self, experiment: Experiment, step_run_id: str, pipeline_run_id: str, node_id: str, **kwargs: Any
    ) -> None:
        super().__init__(experiment, step_run_id)

    @classmethod
    def of_step(cls, experiment: Experiment, backend: RunBackend, step: StepInfo) -> StepRun:
        """The handle of a step of a submitted run."""
        made = cls.__new__(cls)
        made._set(experiment, backend, step.key)
        made._named = step
        return made

    @property
    def key(self) -> str:
        """The step's key, which is its task id in Airflow."""
        assert self._key is not None
        return self._key

    @property
    def _info(self) -> StepInfo:
        return next(step for step in self._backend.steps() if step.key == self._key)

    @cached_property
    def _named(self) -> StepInfo:
        """The step for what never changes of it: looking at it means looking at all steps of the run."""
        return self._info

    def get_status(self) -> str:
        """The state now: NotStarted, Queued, Running, Finished, Failed, Canceled."""
        return self._state().value

    @property
    def id(self) -> str:
        """The step run's id."""
        return self._named.step_run_id

    @property
    def name(self) -> str:
        """What the author called the step."""
        return self._named.name

    @property
    def type(self) -> str:
        """The run's type, in v1's words."""
        return "azureml.StepRun"

    @property
    def pipeline_run_id(self) -> str:
        """Id of the pipeline run."""
        return self._backend.pipeline_run_id

    @property
    def parent(self) -> Any:
        """The pipeline run."""
        from aml_provider.sdk.pipeline_run import PipelineRun

        return PipelineRun.of(self._experiment, self._backend)

    def fail(self) -> None:  # type: ignore[override]
        """Not possible, as in v1: its script fails, or it is cancelled.

        :raises NotSupportedError: always.
        """
        super().fail()

    def _state(self) -> RunState:
        return self._info.state

    def _span(self) -> tuple[float | None, float | None]:
        step = self._info
        return step.started, step.ended

    def _steps(self) -> Sequence[StepInfo]:
        return () if self._child is not None else (self._info,)

    def _error(self) -> dict[str, Any]:
        step = self._info
        if step.state is not RunState.FAILED:
            return {}
        return {"error": {"error": {"code": "UserError", "message": step_failure_text(self._backend, step)}}}

    def get_properties(self) -> dict[str, Any]:
        """Where the step run is in Airflow; for a reused step, in v1's words, whose result it has."""
        own = {**super().get_properties(), "airflow.task_id": self.key, "azureml.pipelinerunid": self.pipeline_run_id}
        reused = self._info.reused
        if reused is not None:
            own["azureml.isreused"] = "true"
            own["azureml.reusedrunid"] = reused.step_run_id
            own["azureml.reusedpipelinerunid"] = reused.pipeline_run_id
        return own

    def wait_for_completion(
        self, show_output: bool = True, timeout_seconds: float = sys.maxsize, raise_on_error: bool = True
    ) -> str:
        """Wait until the step has ended.

        :param show_output: print the step's log as it grows.
        :raises ActivityFailedException: it failed and ``raise_on_error`` is true.
        :return: the state.
        """
        end = time.monotonic() + min(timeout_seconds, FOR_EVER)
        shown = 0
        while True:
            step = self._info
            while show_output:
                text, now = self._backend.new_log(self.key, shown)
                if now == shown:
                    break
                print(text, end="", flush=True)
                shown = now
            if step.state.is_final or self._backend.state().is_final or time.monotonic() >= end:
                break
            self._backend.wait(INTERVAL)
        if step.state is RunState.FAILED and raise_on_error:
            raise ActivityFailedException(step_failure_text(self._backend, step, logs=not show_output))
        return step.state.value

    # --- logs -----------------------------------------------------------------------------------------------

    def get_job_log(self) -> str:
        """What the step wrote to its standard streams."""
        return self._backend.log(self.key)

    def get_stdout_log(self) -> str:
        """The same: both streams are one log, in the order in which they were written."""
        return self._backend.log(self.key)

    def get_stderr_log(self) -> str:
        """The same: both streams are one log, in the order in which they were written."""
        return self._backend.log(self.key)

    # --- outputs --------------------------------------------------------------------------------------------

    def get_outputs(self) -> dict[str, StepRunOutput]:
        """Output name -> output."""
        return {name: StepRunOutput.of(self, name) for name in self._info.outputs}

    def get_output(self, name: str) -> StepRunOutput:
        """One output.

        :raises UserErrorException: there is no such output.
        """
        self._output(name)
        return StepRunOutput.of(self, name)

    def get_output_data(self, name: str) -> PortDataReference:
        """The data of one output.

        :raises UserErrorException: there is no such output.
        """
        self._output(name)
        return PortDataReference.of(self, name)

    def _output(self, name: str) -> OutputInfo:
        step = self._info
        if name not in step.outputs:
            raise UserErrorException(
                f"Step {step.name!r} has no output {name!r}; it has {', '.join(map(repr, step.outputs)) or 'none'} "
                f"(it is {step.state.value})."
            )
        return step.outputs[name]


class StepRunOutput:
    """An output of a step run."""

    def __init__(self, context: Any, pipeline_run_id: str, step_run: StepRun, name: str, step_output: Any) -> None:
        self.context = context
        self.pipeline_run_id = pipeline_run_id
        self.step_run = step_run
        self.name = name
        self.step_output = step_output

    @classmethod
    def of(cls, step_run: StepRun, name: str) -> StepRunOutput:
        """The output with this name."""
        return cls(None, step_run.pipeline_run_id, step_run, name, step_run._output(name))

    def get_port_data_reference(self) -> PortDataReference:
        """The output's data."""
        return PortDataReference.of(self.step_run, self.name)

    def __repr__(self) -> str:
        return f"StepRunOutput({self.name!r})"


class PortDataReference:
    """The data that a step run wrote."""

    def __init__(self, context: Any, pipeline_run_id: str, data_reference: Any, step_run: Any = None) -> None:
        self.context = context
        self.pipeline_run_id = pipeline_run_id
        self.data_reference = data_reference
        self.step_run = step_run

    @classmethod
    def of(cls, step_run: StepRun, name: str) -> PortDataReference:
        """The data of a step run's output."""
        from aml_provider.sdk.data_reference import DataReference
        from aml_provider.sdk.datastore import datastore_object

        place = step_run._output(name)
        store = datastore_object(step_run.experiment.workspace, place.datastore)
        return cls(None, step_run.pipeline_run_id, DataReference(store, name, place.path), step_run)

    @property
    def datastore(self) -> Any:
        """The datastore."""
        return self.data_reference.datastore

    @property
    def datastore_name(self) -> str:
        """Name of the datastore."""
        return str(self.data_reference.datastore.name)

    @property
    def path_on_datastore(self) -> str:
        """Where the data is in the datastore."""
        return str(self.data_reference.path_on_datastore)

    @property
    def name(self) -> str:
        """The output's name."""
        return str(self.data_reference.data_reference_name)

    def download(self, local_path: str, overwrite: bool | None = None, show_progress: bool | None = None) -> int:
        """Copy the data to this machine; as in v1, it keeps its path in the datastore below ``local_path``.

        :return: how many files were copied.
        """
        store = self.datastore.store
        # A datastore's prefix means every path that starts so; of a folder, only what is in it is wanted.
        prefix = self.path_on_datastore if store.is_file(self.path_on_datastore) else f"{self.path_on_datastore}/"
        return int(store.download(local_path, prefix, bool(overwrite), show_progress is not False))

    def as_download(
        self, input_name: str | None = None, path_on_compute: str | None = None, overwrite: bool | None = None
    ) -> InputPortBinding:
        """The data as an input of another pipeline, copied to the compute before the step."""
        return self.create_input_binding(input_name, "download", path_on_compute, overwrite)

    def as_mount(self, input_name: str | None = None) -> InputPortBinding:
        """The data as an input of another pipeline, mounted on the compute."""
        return self.create_input_binding(input_name, "mount")

    def as_input(self, input_name: str) -> InputPortBinding:
        """The data as an input of another pipeline."""
        return self.create_input_binding(input_name)

    def create_input_binding(
        self,
        input_name: str | None = None,
        mode: str | None = None,
        path_on_compute: str | None = None,
        overwrite: bool | None = None,
    ) -> InputPortBinding:
        """The data as an input of another pipeline."""
        return InputPortBinding(
            input_name or self.name, self.data_reference, mode or "mount", path_on_compute, overwrite
        )

    def __repr__(self) -> str:
        return f"PortDataReference({self.datastore_name}/{self.path_on_datastore})"
