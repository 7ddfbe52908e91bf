"""Command lines: literal words, parameters, and data objects that stand for a path."""

from __future__ import annotations

import numbers
import os
import re
from typing import Any

from aml_provider.sdk.build.data import VARIABLE, StepData
from aml_provider.sdk.build.parameters import Parameters
from aml_provider.sdk.consumption import DatasetConsumptionConfig
from aml_provider.sdk.data_reference import DataReference
from aml_provider.sdk.datapath import DataPath
from aml_provider.sdk.datasets import AbstractDataset
from aml_provider.sdk.identity import Identity
from aml_provider.sdk.parameter import PipelineParameter
from aml_provider.sdk.ports import InputPortBinding, PipelineDataset
from aml_provider.sdk.steps.base import PipelineStep
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import Argument, Concat, ParameterRef, ParameterType, Part, Text

_VARIABLE = re.compile(r"\$(?:\{(" + VARIABLE + r"\w+)\}|(" + VARIABLE + r"\w+))")


def arguments(step: PipelineStep, data: StepData, parameters: Parameters, *, expand: bool) -> tuple[Argument, ...]:
    """The step's command line.

    :param expand: put the path for ``$AZUREML_DATAREFERENCE_<name>`` in text; a shell does that by itself.
    :raises PipelineError: a word that cannot be one; names the step and the place.
    """
    return tuple(_argument(item, step, data, parameters, expand, place) for place, item in enumerate(step.arguments, 1))


def _argument(
    item: Any, step: PipelineStep, data: StepData, parameters: Parameters, expand: bool, place: int
) -> Argument:
    if isinstance(item, str):
        _check_text(item, step, place)
        return _text(item, data) if expand else Text(value=item)
    if isinstance(item, (bool, numbers.Number)):
        return Text(value=str(item))
    if isinstance(item, PipelineParameter):
        return _parameter(item, step, data, parameters)
    reference = data.reference(item)
    if reference is not None:
        return reference
    what = f"Step {step.name!r}: argument {place}"
    if isinstance(item, AbstractDataset):
        raise PipelineError(
            f"{what} is a dataset, {item!r}; pass dataset.as_named_input('name') instead, with .as_mount() or "
            ".as_download() if the script wants a path."
        )
    if isinstance(item, (DataReference, DataPath, InputPortBinding, PipelineDataset, DatasetConsumptionConfig, tuple)):
        raise PipelineError(f"{what}, {item!r}, is not in the step's inputs; add it there.")
    if isinstance(getattr(item, "identity", None), Identity):
        raise PipelineError(
            f"{what}, {item!r}, is in neither the step's inputs nor its outputs; add it to one of them."
        )
    if isinstance(item, os.PathLike):
        return Text(value=os.fspath(item))
    raise PipelineError(
        f"{what} is {item!r}, a {type(item).__name__}; use text, numbers, pipeline parameters or data objects."
    )


def _check_text(text: str, step: PipelineStep, place: int) -> None:
    try:
        no_program = b"\0" in text.encode()
    except UnicodeEncodeError:
        no_program = True
    if no_program:
        raise PipelineError(
            f"Step {step.name!r}: argument {place} is {text!r}, which no program can be given: it holds a NUL "
            "character, or half of a surrogate pair."
        )


def _parameter(item: PipelineParameter, step: PipelineStep, data: StepData, parameters: Parameters) -> Argument:
    parameters.use(item, step.name)
    if item.type is ParameterType.DATAPATH:
        # Without a binding the script gets what a shell variable would hold: the path, if the parameter is an input.
        bound = next((i for i in data.inputs if getattr(i.source, "name", None) == item.name), None)
        if bound is None:
            raise PipelineError(
                f"Step {step.name!r}: parameter {item.name!r} is a data path; pass the same "
                "(parameter, DataPathComputeBinding(...)) in inputs and arguments."
            )
        return data.variables[bound.environment_variable or bound.name]
    return ParameterRef(name=item.name)


def _text(text: str, data: StepData) -> Argument:
    """Text in which variables of the step's data are replaced by references."""
    if VARIABLE not in text:
        return Text(value=text)
    parts: list[Part] = []
    end = 0
    for match in _VARIABLE.finditer(text):
        reference = data.variables.get(match[1] or match[2])
        if reference is None:
            continue  # not this step's: left to the script
        if match.start() > end:
            parts.append(Text(value=text[end : match.start()]))
        parts.append(reference)
        end = match.end()
    if not parts:
        return Text(value=text)
    if end < len(text):
        parts.append(Text(value=text[end:]))
    if len(parts) == 1 and not isinstance(parts[0], Text):
        return parts[0]
    return Concat(parts=tuple(parts))


def step_parameters(params: dict[str, Any], step: PipelineStep, parameters: Parameters) -> dict[str, Part]:
    """v1 ``params`` of a step."""
    made: dict[str, Part] = {}
    for name, value in params.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_\-]*", name):
            raise PipelineError(
                f"Step {step.name!r}: params has the key {name!r}; use letters, digits and underscores."
            )
        if isinstance(value, PipelineParameter):
            if value.type is ParameterType.DATAPATH:
                raise PipelineError(f"Step {step.name!r}: params[{name!r}] is a data path; pass it in inputs.")
            parameters.use(value, step.name)
            made[name] = ParameterRef(name=value.name)
        elif isinstance(value, (str, numbers.Number)):
            made[name] = Text(value=str(value))
        else:
            raise PipelineError(
                f"Step {step.name!r}: params[{name!r}] is {value!r}; use text, numbers or pipeline parameters."
            )
    return made
