"""v1 ``ScriptRun``: a submitted ``ScriptRunConfig``, which is a pipeline of one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aml_provider.sdk.backend import RunBackend
from aml_provider.sdk.run import Run
from aml_provider.sdk.script_run_config import ScriptRunConfig
from aml_provider.sdk.steps.base import PipelineStep
from aml_provider.sdk.steps.command import CommandStep
from aml_provider.sdk.steps.python_script import PythonScriptStep
from aml_provider.spec.errors import PipelineError

if TYPE_CHECKING:
    from aml_provider.sdk.experiment import Experiment


def step_of(config: ScriptRunConfig) -> PipelineStep:
    """The one step of a script run.

    :raises PipelineError: there is neither a script nor a command.
    """
    if config.command:
        return CommandStep(
            command=config.command,
            runconfig=config.run_config,
            source_directory=config.source_directory,
            allow_reuse=False,
        )
    if not config.script:
        raise PipelineError("ScriptRunConfig: script is missing; pass script= or command=.")
    return PythonScriptStep(
        config.script,
        arguments=config.arguments,
        runconfig=config.run_config,
        source_directory=config.source_directory,
        allow_reuse=False,
    )


class ScriptRun(Run):
    """A submitted script."""

    def __init__(self, experiment: Experiment, run_id: str, directory: str | None = None, **kwargs: Any) -> None:
        super().__init__(experiment, run_id)
        self.directory = directory

    def _set(
        self, experiment: Experiment, backend: RunBackend, key: str | None = None, child: str | None = None
    ) -> None:
        # What its only step reports is its own.
        super()._set(experiment, backend, backend.steps()[0].key, child)
