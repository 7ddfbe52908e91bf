"""v1 ``ScriptRunConfig``: one script or command, with all it needs to run."""

from __future__ import annotations

from typing import Any

from aml_provider.sdk.runconfig import DockerConfiguration, RunConfiguration
from aml_provider.spec.errors import NotSupportedError, PipelineError

MAX_DURATION_SECONDS_DEFAULT = 2592000


class ScriptRunConfig:
    """A script with its source directory, arguments, target and environment.

    Submitted by ``Experiment.submit``, it becomes a pipeline of one step.

    :param max_run_duration_seconds: the run is stopped after that time.
    :param command: a command line instead of a script, as text or a list.
    """

    MAX_DURATION_SECONDS_DEFAULT = MAX_DURATION_SECONDS_DEFAULT

    def __init__(
        self,
        source_directory: str | None,
        script: str | None = None,
        arguments: list[Any] | None = None,
        run_config: RunConfiguration | None = None,
        compute_target: Any = None,
        environment: Any = None,
        distributed_job_config: Any = None,
        resume_from: Any = None,
        max_run_duration_seconds: int | None = MAX_DURATION_SECONDS_DEFAULT,
        command: Any = None,
        docker_runtime_config: DockerConfiguration | None = None,
    ) -> None:
        if resume_from is not None:
            raise NotSupportedError("ScriptRunConfig: resume_from is not supported in this version.")
        if script is not None and command is not None:
            raise PipelineError("ScriptRunConfig: give script or command, not both.")
        if arguments is not None and not isinstance(arguments, list):
            raise PipelineError(f"ScriptRunConfig: arguments is a {type(arguments).__name__}, but must be a list.")
        self.source_directory = source_directory or "."
        self.run_config = run_config or RunConfiguration()
        if script is not None:
            self.run_config.script = script
        if arguments is not None:
            self.run_config.arguments = arguments
        if command is not None:
            self.run_config.command = command
        if compute_target is not None:
            self.run_config.target = compute_target
        if environment is not None:
            self.run_config.environment = environment
        if docker_runtime_config is not None:
            self.run_config.docker = docker_runtime_config
        if distributed_job_config is not None:
            self.run_config.node_count = getattr(distributed_job_config, "node_count", 1)
        if max_run_duration_seconds not in (None, MAX_DURATION_SECONDS_DEFAULT):
            self.run_config.max_run_duration_seconds = max_run_duration_seconds

    @property
    def script(self) -> str | None:
        """The script, relative to the source directory."""
        return self.run_config.script

    @property
    def arguments(self) -> list[Any]:
        """The script's arguments."""
        return self.run_config.arguments

    @property
    def command(self) -> Any:
        """The command line instead of a script."""
        return self.run_config.command
