"""The door to what runs pipelines. The sdk must not import upper layers, so they are found by name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aml_provider.sdk.source import PipelineSource
from aml_provider.spec.errors import NotSupportedError

if TYPE_CHECKING:
    from aml_provider.sdk.backend import RunBackend
    from aml_provider.spec.models import PipelineSpec
    from aml_provider.workspace.resolved import LoadedWorkspace

__all__ = ["PipelineSource", "ask", "experiment_of", "find_run", "remember", "spec_of", "submit", "submitted"]

IMPLEMENTATION = "aml_provider.submission"


@dataclass(frozen=True)
class Submitted:
    """A run of this process."""

    run: RunBackend
    spec: PipelineSpec


# The newest last.
_submitted: list[Submitted] = []


def submit(spec: PipelineSpec, source: PipelineSource, workspace: LoadedWorkspace) -> RunBackend:
    """Run the pipeline, or declare its DAG while Airflow is parsing."""
    backend: RunBackend = importlib.import_module(IMPLEMENTATION).submit(spec, source, workspace)
    return backend


def remember(run: RunBackend, spec: PipelineSpec) -> None:
    """Keep a run of this process, so that ``Experiment.get_runs`` lists it."""
    _submitted.append(Submitted(run, spec))


def spec_of(run: RunBackend) -> PipelineSpec | None:
    """What was submitted, for a run of this process."""
    return next((s.spec for s in reversed(_submitted) if s.run is run), None)


def experiment_of(run: RunBackend) -> str:
    """The experiment that a run is of."""
    spec = spec_of(run)
    return spec.submit.experiment if spec is not None else str(getattr(run, "experiment", run.dag_id))


def submitted(workspace: str, experiment: str | None = None) -> list[tuple[str, RunBackend]]:
    """``(experiment, run)`` of this process's runs, the newest first."""
    return [
        (s.spec.submit.experiment, s.run)
        for s in reversed(_submitted)
        if s.spec.workspace == workspace and experiment in (None, s.spec.submit.experiment)
    ]


def ask(question: str, *arguments: Any) -> Any:
    """Call an optional function of the implementation.

    :raises NotSupportedError: this version has no such function.
    """
    function = getattr(importlib.import_module(IMPLEMENTATION), question, None)
    if function is None:
        raise NotSupportedError(
            f"This version cannot answer {question.replace('_', ' ')!r} for runs of earlier programs; "
            "keep the run that submit() returned, or look in MLflow or Airflow."
        )
    return function(*arguments)


def find_run(workspace: LoadedWorkspace, name: str, run_id: str) -> RunBackend:
    """The run with this id, or the one that the step run with this id is part of; also of an earlier process."""
    own = [run for _, run in submitted(name)]
    # The steps of a run on a server are a question to it.
    for run in own:
        if run.pipeline_run_id == run_id:
            return run
    for run in own:
        if any(step.step_run_id == run_id for step in run.steps()):
            return run
    found: RunBackend = ask("find_run", workspace, run_id)
    return found
