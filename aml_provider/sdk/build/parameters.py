"""The parameters of a pipeline, and the values that a submission gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aml_provider.sdk.datapath import DataPath
from aml_provider.sdk.datasets import AbstractDataset
from aml_provider.sdk.parameter import PipelineParameter
from aml_provider.sdk.ports import PipelineDataset
from aml_provider.spec.errors import ParameterError, PipelineError, UnknownParameterError
from aml_provider.spec.models import Parameter, ParameterType
from aml_provider.spec.numbers import finite

_PYTHON = {
    ParameterType.STRING: "str",
    ParameterType.INTEGER: "int",
    ParameterType.NUMBER: "float",
    ParameterType.BOOLEAN: "bool",
    ParameterType.DATAPATH: "DataPath",
    ParameterType.DATASET: "Dataset",
}


class Parameters:
    """The parameters in the order in which the steps use them."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[Parameter, str]] = {}

    def use(self, parameter: PipelineParameter, step: str) -> None:
        """Note that a step uses a parameter.

        :raises PipelineError: another parameter with this name has another default.
        """
        made = Parameter(name=parameter.name, type=parameter.type, default=_default(parameter))
        known, user = self._used.setdefault(parameter.name, (made, step))
        # 1 == True == 1.0 in Python: the types must agree too.
        if known != made or known.type is not made.type:
            raise PipelineError(
                f"Two different pipeline parameters are named {parameter.name!r}: one with default {known.default!r} "
                f"in step {user!r}, one with default {made.default!r} in step {step!r}; use one object, or two names."
            )

    def all(self) -> tuple[Parameter, ...]:
        """Every parameter that was used."""
        return tuple(parameter for parameter, _ in self._used.values())


def _default(parameter: PipelineParameter) -> Any:
    if parameter.type is ParameterType.DATAPATH:
        return _location(parameter.default_value)
    if parameter.type is ParameterType.DATASET:
        return _dataset(parameter.default_value)
    if parameter.type is ParameterType.NUMBER:
        return finite(parameter.name, parameter.default_value)
    return parameter.default_value


def _location(value: Any) -> dict[str, str]:
    if isinstance(value, DataPath):
        store, path = value.location
        return {"datastore": store, "path": path}
    return {"datastore": str(value["datastore"]), "path": str(value.get("path", ""))}


def _dataset(value: Any) -> dict[str, Any]:
    """A dataset as JSON. A mere place is read as the parameter's default is."""
    if isinstance(value, PipelineDataset):
        value = value.dataset
    if isinstance(value, AbstractDataset):
        from aml_provider.datasets.records import to_value

        return to_value(value.source)
    return _location(value) if isinstance(value, DataPath) or "datastore" in value else dict(value)


def submitted_values(declared: tuple[Parameter, ...], values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The values of a submission, checked.

    :raises UnknownParameterError: the pipeline has no parameter of that name.
    :raises ParameterError: a value is of another type than the parameter's default.
    """
    known = {parameter.name: parameter for parameter in declared}
    checked = {}
    for name, value in (values or {}).items():
        parameter = known.get(name)
        if parameter is None:
            raise UnknownParameterError(
                f"The pipeline has no parameter {name!r}; it has {', '.join(map(repr, known)) or 'none'}. A parameter "
                "counts only when a step uses it."
            )
        checked[name] = _checked(parameter, value)
    return checked


def _checked(parameter: Parameter, value: Any) -> Any:
    kind = parameter.type
    fits = {
        ParameterType.STRING: isinstance(value, str),
        ParameterType.INTEGER: isinstance(value, int) and not isinstance(value, bool),
        ParameterType.NUMBER: isinstance(value, (int, float)) and not isinstance(value, bool),
        ParameterType.BOOLEAN: isinstance(value, bool),
        ParameterType.DATAPATH: isinstance(value, DataPath)
        or (isinstance(value, dict) and isinstance(value.get("datastore"), str)),
        ParameterType.DATASET: isinstance(value, (DataPath, AbstractDataset, PipelineDataset))
        or (isinstance(value, dict) and any(isinstance(value.get(key), str) for key in ("datastore", "name")))
        or (isinstance(value, dict) and ("locations" in value or "query" in value)),
    }[kind]
    if not fits:
        raise ParameterError(
            f"Pipeline parameter {parameter.name!r} is of type {_PYTHON[kind]} (its default is {parameter.default!r}), "
            f"but the value {value!r} is of type {type(value).__name__}; pass one of type {_PYTHON[kind]}."
        )
    if kind is ParameterType.NUMBER:
        return finite(parameter.name, float(value))
    if kind is ParameterType.DATASET:
        return _dataset(value)
    return _location(value) if kind is ParameterType.DATAPATH else value
