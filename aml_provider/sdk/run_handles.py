"""From a run's record to the handle of its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aml_provider.sdk.backend import RunBackend, RunKind

if TYPE_CHECKING:
    from aml_provider.sdk.experiment import Experiment


def handle(experiment: Experiment, backend: RunBackend, run_id: str | None = None) -> Any:
    """The handle of a run, or of the one of its steps that has this step run id."""
    from aml_provider.sdk.pipeline_run import PipelineRun
    from aml_provider.sdk.run import Run
    from aml_provider.sdk.script_run import ScriptRun
    from aml_provider.sdk.step_run import StepRun

    if run_id not in (None, backend.pipeline_run_id):
        return next(StepRun.of_step(experiment, backend, s) for s in backend.steps() if s.step_run_id == run_id)
    kinds = {RunKind.PIPELINE: PipelineRun, RunKind.SCRIPT: ScriptRun, RunKind.INTERACTIVE: Run}
    return kinds[backend.kind].of(experiment, backend)
