"""v1 ``PipelineRun``: a submitted pipeline."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.run import Run
from aml_provider.spec.errors import NotSupportedError

if TYPE_CHECKING:
    from aml_provider.sdk.experiment import Experiment
    from aml_provider.sdk.workspace import Workspace


class PipelineRun(Run):
    """A submitted pipeline."""

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "get_graph": "look at the DAG in Airflow, or at `aml spec FILE`",
        "save": "keep the pipeline file",
    }

    def __init__(self, experiment: Experiment, run_id: str, _service_endpoint: Any = None, **kwags: Any) -> None:
        super().__init__(experiment, run_id)

    def get_status(self) -> str:
        """The state now: NotStarted, Queued, Running, Finished, Failed, Canceled."""
        return self._state().value

    def fail(self) -> None:  # type: ignore[override]
        """Not possible, as in v1: a step of it fails, or it is cancelled.

        :raises NotSupportedError: always.
        """
        super().fail()

    def get_metrics(
        self, name: str | None = None, recursive: bool = False, run_type: Any = None, populate: bool = False
    ) -> dict[str, Any]:
        """What was reported to the pipeline run itself.

        :param recursive: that of the step runs and their child runs too; the result is then run id -> metrics.
        :param run_type: only of step runs, when it is ``azureml.StepRun``.
        """
        if not recursive:
            return super().get_metrics(name)
        found: dict[str, Any] = {} if run_type not in (None, self.type) else super().get_metrics(name, recursive=True)
        for step in self._step_runs():
            if run_type in (None, step.type):
                found |= step.get_metrics(name, recursive=True)
        return {run_id: metrics for run_id, metrics in found.items() if metrics or run_id != self.id}

    def _step_runs(self) -> Iterator[Any]:
        from aml_provider.sdk.step_run import StepRun

        for step in self._backend.steps():
            yield StepRun.of_step(self._experiment, self._backend, step)

    def _all_children(self, recursive: bool) -> Iterator[Any]:
        for step in self._step_runs():
            yield step
            if recursive:
                yield from step.get_children(recursive=True)

    @staticmethod
    def get(workspace: Workspace, run_id: str, _service_endpoint: Any = None) -> Any:
        """The pipeline run with this id."""
        return Run.get(workspace, run_id)

    def wait_for_completion(
        self, show_output: bool = True, timeout_seconds: float = sys.maxsize, raise_on_error: bool = True
    ) -> str:
        """Wait until the run has ended.

        :param show_output: print a line whenever a step's state changes, and a table at the end.
        :raises ActivityFailedException: the run did not finish and ``raise_on_error`` is true; the message has the
            failing step and the last lines of its log.
        :return: the state.
        """
        return self._follow(show_output, timeout_seconds, raise_on_error)

    def get_steps(self) -> Any:
        """The step runs, in the pipeline's order."""
        return [*self._step_runs()]

    def find_step_run(self, name: str) -> Any:
        """The step runs whose step has this name."""
        return [step for step in self._step_runs() if step.name == name]

    def get_pipeline_output(self, pipeline_output_name: str) -> Any:
        """The data that a step wrote under this ``pipeline_output_name``.

        :raises UserErrorException: there is none.
        """
        named = self._pipeline_outputs()
        if pipeline_output_name not in named:
            raise UserErrorException(
                f"Pipeline run {self.id} has no output named {pipeline_output_name!r}; it has "
                f"{', '.join(map(repr, named)) or 'none'}. Pass pipeline_output_name= to the step's PipelineData."
            )
        key, output = named[pipeline_output_name]
        return next(step for step in self._step_runs() if step.key == key).get_output_data(output)

    def _pipeline_outputs(self) -> dict[str, tuple[str, str]]:
        """``pipeline_output_name`` -> ``(step key, output name)``."""
        from aml_provider.sdk.submission import spec_of

        spec = spec_of(self._backend)
        if spec is None:
            raise NotSupportedError(
                f"Pipeline run {self.id} was submitted by another program, so the names of its pipeline outputs are "
                "not known here; use find_step_run(step)[0].get_output_data(output)."
            )
        return {
            output.pipeline_output_name: (step.key, output.name)
            for step in spec.steps
            for output in step.outputs
            if output.pipeline_output_name is not None
        }

    def publish_pipeline(
        self, name: str, description: str, version: str, continue_on_step_failure: bool | None = None, **kwargs: Any
    ) -> Any:
        """Publishing is not there yet.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(
            "PipelineRun.publish_pipeline is not available in this version; trigger the pipeline's DAG "
            f"({self._backend.dag_id!r}) in Airflow instead."
        )

    @staticmethod
    def get_pipeline_runs(workspace: Workspace, pipeline_id: str, _service_endpoint: Any = None) -> Any:
        """Runs of a published pipeline.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError("Published pipelines are not available in this version; use Experiment.get_runs.")
