"""v1 ``PythonScriptStep``."""

from __future__ import annotations

from typing import Any

from aml_provider.sdk.plain import plain_errors
from aml_provider.sdk.steps.base import ScriptStep, warn_hash_paths
from aml_provider.spec.errors import PipelineError


class PythonScriptStep(ScriptStep):
    """Runs a Python script.

    :param script_name: relative to ``source_directory``.
    :param name: default: the script's name.
    :param arguments: words of the command line.
    :param compute_target: an object or a name; default: the run configuration's target.
    :param runconfig_pipeline_params: properties of the run configuration that a parameter sets.
    :param params: name -> value, given to the script as ``--name value`` and ``AML_PARAMETER_name``.
    :param source_directory: the step's code; it is the script's working directory.
    :param allow_reuse: an unchanged step need not run again.
    :param version: changing it forces the step to run.
    :param hash_paths: ignored, with a warning.
    """

    STEP_TYPE = "PythonScriptStep"

    @plain_errors
    def __init__(
        self,
        script_name: str,
        name: str | None = None,
        arguments: Any = None,
        compute_target: Any = None,
        runconfig: Any = None,
        runconfig_pipeline_params: dict[str, Any] | None = None,
        inputs: Any = None,
        outputs: Any = None,
        params: dict[str, Any] | None = None,
        source_directory: str | None = None,
        allow_reuse: bool = True,
        version: str | None = None,
        hash_paths: Any = None,
    ) -> None:
        if not isinstance(script_name, str) or not script_name:
            raise PipelineError(f"PythonScriptStep {name!r}: script_name is {script_name!r}, but must be a file name.")
        self.script_name = script_name
        warn_hash_paths(name or script_name, hash_paths)
        super().__init__(
            name or script_name,
            arguments,
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
