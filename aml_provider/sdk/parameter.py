"""v1 ``PipelineParameter``: a value that may change from run to run."""

from __future__ import annotations

from typing import Any

from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import ParameterType


class PipelineParameter:
    """A named value with a default; the default's type is the parameter's type.

    :param name: unique in the pipeline.
    :param default_value: str, int, float, bool, ``DataPath``, or a dataset.
    :raises PipelineError: the name is empty, or the default is of another type.
    """

    def __init__(self, name: str, default_value: Any) -> None:
        if not isinstance(name, str) or not name:
            raise PipelineError(f"PipelineParameter: the name is {name!r}, but must be text that is not empty.")
        self.name = name
        self.default_value = default_value
        self.type = parameter_type(name, default_value)

    def __str__(self) -> str:
        return f"PipelineParameter_Name:{self.name}_Default:{self.default_value}"

    def __repr__(self) -> str:
        return f"PipelineParameter(name={self.name!r}, default_value={self.default_value!r})"


def parameter_type(name: str, value: Any) -> ParameterType:
    """The type of a parameter with this default."""
    from aml_provider.sdk.datapath import DataPath
    from aml_provider.sdk.datasets import AbstractDataset
    from aml_provider.sdk.ports import PipelineDataset

    if isinstance(value, bool):  # before int: a bool is one
        return ParameterType.BOOLEAN
    if isinstance(value, int):
        return ParameterType.INTEGER
    if isinstance(value, float):
        return ParameterType.NUMBER
    if isinstance(value, str) or value is None:
        return ParameterType.STRING
    if isinstance(value, DataPath):
        return ParameterType.DATAPATH
    if isinstance(value, (AbstractDataset, PipelineDataset)):
        return ParameterType.DATASET
    raise PipelineError(
        f"PipelineParameter {name!r}: its default is a {type(value).__name__}, but must be a str, int, float, bool, "
        "DataPath or Dataset."
    )
