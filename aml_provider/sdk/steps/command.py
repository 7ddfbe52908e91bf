"""v1 ``CommandStep``."""

from __future__ import annotations

from typing import Any

from aml_provider.sdk.plain import plain_errors
from aml_provider.sdk.runconfig import RunConfiguration
from aml_provider.sdk.script_run_config import ScriptRunConfig
from aml_provider.sdk.steps.base import ScriptStep
from aml_provider.spec.errors import PipelineError


class CommandStep(ScriptStep):
    """Runs a command line with a shell.

    Changed: without ``source_directory`` the code of the current directory goes along only when the command names a
    file of it (v1 always took all of it).

    :param command: text, or a list of words that may hold data objects and parameters; default: the run
        configuration's command. The other parameters mean what those of ``PythonScriptStep`` mean.
    :param runconfig: a ``RunConfiguration``, or a ``ScriptRunConfig`` with a command, whose source directory is the
        step's unless one is given.
    """

    STEP_TYPE = "CommandStep"

    @plain_errors
    def __init__(
        self,
        command: Any = None,
        name: str | None = None,
        compute_target: Any = None,
        runconfig: Any = None,
        runconfig_pipeline_params: dict[str, Any] | None = None,
        inputs: Any = None,
        outputs: Any = None,
        params: dict[str, Any] | None = None,
        source_directory: str | None = None,
        allow_reuse: bool = True,
        version: str | None = None,
    ) -> None:
        if isinstance(runconfig, ScriptRunConfig):
            source_directory = source_directory or runconfig.source_directory
            runconfig = runconfig.run_config
        if command is None and isinstance(runconfig, RunConfiguration):
            command = runconfig.command
        if not command:
            raise PipelineError(
                f"CommandStep {name!r}: command is missing; pass command= or a runconfig with a command."
            )
        words = [command] if isinstance(command, str) else command
        super().__init__(
            name or _default_name(words),
            words,
            compute_target,
            runconfig,
            runconfig_pipeline_params,
            inputs,
            outputs,
            params,
            source_directory,
            allow_reuse,
            version,
        )


def _default_name(words: Any) -> str:
    first = words[0] if isinstance(words, (list, tuple)) and words else ""
    return first.split()[0] if isinstance(first, str) and first.split() else "command"
