"""What all steps have in common."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from typing import Any

from aml_provider.sdk.consumption import unwrapped
from aml_provider.sdk.identity import Identity
from aml_provider.sdk.outputs import OutputDatasetConfig
from aml_provider.sdk.runconfig import RunConfiguration
from aml_provider.spec.errors import PipelineError

_created = itertools.count()


def _as_list(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return list(value)
    raise PipelineError(f"{what} is a {type(value).__name__}, but must be a list.")


class PipelineStep:
    """A step of a pipeline.

    :param name: shown everywhere; need not be unique.
    :param inputs: data that the step reads.
    :param outputs: data that the step writes.
    :param arguments: words of its command line; data objects and parameters stand for their value at run time.
    """

    #: Name of the step's kind in a spec.
    STEP_TYPE = "PipelineStep"

    def __init__(
        self,
        name: str,
        inputs: Any,
        outputs: Any,
        arguments: Any = None,
        fix_port_name_collisions: bool = False,
        resource_inputs: Any = None,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise PipelineError(
                f"{type(self).__name__}: the step's name is {name!r}, but must be text that is not empty."
            )
        self.name = name
        self.inputs = _as_list(inputs, f"Step {name!r}: inputs")
        self.outputs = _as_list(outputs, f"Step {name!r}: outputs")
        self.arguments = _as_list(arguments, f"Step {name!r}: arguments")
        if resource_inputs:
            raise PipelineError(f"Step {name!r}: resource_inputs is not supported in this version.")
        #: Place in the author's order, for choosing among equals; it is never part of a spec.
        self.number = next(_created)
        self.after: list[PipelineStep] = []
        self._enter_producers()

    def _enter_producers(self) -> None:
        declared = set()
        for output in self.outputs:
            identity = getattr(output, "identity", None)
            if isinstance(identity, Identity):
                declared.add(id(identity))
                identity.producers.append(self)
        declared |= {id(getattr(unwrapped(i), "identity", None)) for i in self.inputs}
        for argument in self.arguments:
            # As in v1, an output dataset that stands only in the arguments need not be listed as well.
            if isinstance(argument, OutputDatasetConfig) and id(argument.identity) not in declared:
                declared.add(id(argument.identity))
                argument.identity.mentions.append(self)

    def run_after(self, step: Any) -> None:
        """Start only when ``step`` has ended, without getting data from it.

        :param step: a step, or a list of steps.
        """
        for before in step if isinstance(step, (list, tuple)) else [step]:
            if not isinstance(before, PipelineStep):
                raise PipelineError(f"Step {self.name!r}: run_after got {before!r}, which is no step.")
            self.after.append(before)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class StepSequence:
    """Steps that run one after another; the steps of a nested list run in parallel."""

    def __init__(self, steps: Any = None) -> None:
        self.steps = _as_list(steps, "StepSequence: steps")

    def __iter__(self) -> Any:
        return iter(self.steps)


class ScriptStep(PipelineStep):
    """A step that runs something from a source directory on a compute target."""

    def __init__(
        self,
        name: str,
        arguments: Any,
        compute_target: Any,
        runconfig: Any,
        runconfig_pipeline_params: dict[str, Any] | None,
        inputs: Any,
        outputs: Any,
        params: dict[str, Any] | None,
        source_directory: str | None,
        allow_reuse: bool,
        version: str | None,
    ) -> None:
        super().__init__(name, inputs, outputs, arguments)
        if runconfig is not None and not isinstance(runconfig, RunConfiguration):
            raise PipelineError(
                f"Step {name!r}: runconfig is {runconfig!r}; give a RunConfiguration, whose environment is the "
                "Environment."
            )
        if allow_reuse not in (True, False):
            raise PipelineError(f"Step {name!r}: allow_reuse is {allow_reuse!r}; give True or False.")
        self.compute_target = compute_target
        self.runconfig: Any = runconfig
        self.runconfig_pipeline_params = dict(runconfig_pipeline_params or {})
        self.params = dict(params or {})
        self.source_directory = source_directory
        self.allow_reuse = bool(allow_reuse)
        self.version = version
        if compute_target is None and (runconfig is None or runconfig.target is None):
            raise PipelineError(
                f"Step {name!r}: compute_target is missing; pass compute_target= or a runconfig with a target."
            )


def warn_hash_paths(name: str, hash_paths: Iterable[str] | None) -> None:
    """v1 stopped using ``hash_paths``; it is accepted and ignored."""
    if hash_paths:
        warnings.warn(
            f"Step {name!r}: hash_paths is ignored: all of source_directory counts; .amlignore leaves files out.",
            DeprecationWarning,
            stacklevel=3,
        )
