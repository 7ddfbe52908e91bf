"""Rendering a step's command line once every parameter and path is known."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aml_provider.runs.errors import StepError
from aml_provider.spec.models import (
    Argument,
    Command,
    Concat,
    InputRef,
    ParameterRef,
    PythonScript,
    Step,
    Text,
    Transfer,
)


@dataclass(frozen=True)
class Values:
    """What the references in a step stand for: parameter values, and paths as the step sees them."""

    step: Step
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def parameter(self, name: str) -> str:
        """The value of a pipeline parameter, written as Python's ``str`` writes it (as v1 does)."""
        if name not in self.parameters:
            raise StepError(f"step {self.step.name!r}: this run has no value for pipeline parameter {name!r}")
        return str(self.parameters[name])

    def word(self, argument: Argument) -> str:
        """One argument as text."""
        if isinstance(argument, Text):
            return argument.value
        if isinstance(argument, ParameterRef):
            return self.parameter(argument.name)
        if isinstance(argument, Concat):
            return "".join(self.word(part) for part in argument.parts)
        return self.inputs[argument.name] if isinstance(argument, InputRef) else self.outputs[argument.name]

    def step_parameters(self) -> dict[str, str]:
        """The step's own ``params`` as text."""
        return {name: self.word(value) for name, value in self.step.parameters.items()}

    def command(self, interpreter: str) -> dict[str, Any]:
        """The ``command`` part of a job file."""
        action = self.step.action
        if isinstance(action, PythonScript):
            arguments = [self.word(a) for a in action.arguments]
            for name, value in self.step_parameters().items():
                arguments += [f"--{name}", value]
            return {"kind": "python", "interpreter": interpreter, "script": action.script, "arguments": arguments}
        assert not isinstance(action, Transfer), "what moves data has no command"
        return {"kind": "shell", "line": self._line(action)}

    def _line(self, command: Command) -> str:
        return " ".join(self._shell(w) for w in command.words)

    def _shell(self, argument: Argument) -> str:
        # The author's own text is shell language; what is put in for a reference is one word, whatever it holds.
        if isinstance(argument, Text):
            return argument.value
        if isinstance(argument, Concat):
            return "".join(self._shell(part) for part in argument.parts)
        return shlex.quote(self.word(argument))
