"""What can be done to a table's rows, or to a list of files.

The JSON of these models is what :mod:`aml_provider.runtime.tables` evaluates, here and inside steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter, field_validator

from aml_provider.spec.base import Model

# --- expressions ------------------------------------------------------------------------------------------------


class Column(Model):
    """A row's value in a column; of a file, the value of a partition key."""

    kind: Literal["column"] = "column"
    name: str


class Metadata(Model):
    """A fact about a file."""

    kind: Literal["metadata"] = "metadata"
    name: Literal["Size", "LastModifiedTime", "Extension"]


class Value(Model):
    """A value that the author wrote; points in time are ISO text with ``type`` ``datetime``, in UTC."""

    kind: Literal["value"] = "value"
    value: Union[StrictBool, StrictInt, StrictFloat, StrictStr, None]
    type: Literal["datetime"] | None = None

    @field_validator("value")
    @classmethod
    def _of_json(cls, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} is no number to compare with; use is_null() for missing values")
        return value


class Call(Model):
    """A function of expressions; operators are functions by name."""

    kind: Literal["call"] = "call"
    function: str
    arguments: tuple[Expression, ...]


Expression = Annotated[Union[Column, Metadata, Value, Call], Field(discriminator="kind")]
Call.model_rebuild()


# --- operations -------------------------------------------------------------------------------------------------


class Skip(Model):
    """All but the first rows or files."""

    op: Literal["skip"] = "skip"
    count: int = Field(ge=0)


class Take(Model):
    """The first rows or files."""

    op: Literal["take"] = "take"
    count: int = Field(ge=0)


class Sample(Model):
    """Each row or file with a probability."""

    op: Literal["sample"] = "sample"
    probability: float = Field(ge=0, le=1)
    seed: int = 0


class Split(Model):
    """One of two parts that have every row or file once: the ``first`` has about ``fraction`` of them."""

    op: Literal["split"] = "split"
    fraction: float = Field(ge=0, le=1)
    seed: int = 0
    part: Literal["first", "second"]


class Keep(Model):
    """Only these columns, in this order."""

    op: Literal["keep"] = "keep"
    columns: tuple[str, ...]


class Drop(Model):
    """All columns but these."""

    op: Literal["drop"] = "drop"
    columns: tuple[str, ...]


class Filter(Model):
    """The rows or files for which an expression is true."""

    op: Literal["filter"] = "filter"
    where: Expression


class Recent(Model):
    """The rows of the last ``seconds`` before they are read."""

    op: Literal["recent"] = "recent"
    column: str
    seconds: float
    inclusive: bool = True


class ToFiles(Model):
    """The table written as files; what follows is done to these files."""

    op: Literal["to_files"] = "to_files"
    format: Literal["csv", "parquet"]
    separator: str = ","


Operation = Annotated[Union[Skip, Take, Sample, Split, Keep, Drop, Filter, Recent, ToFiles], Field(discriminator="op")]

_ALL: TypeAdapter[tuple[Operation, ...]] = TypeAdapter(tuple[Operation, ...])


def canonical(operations: Iterable[Any]) -> tuple[dict[str, Any], ...]:
    """Operations as JSON, checked, with everything in it that has a default.

    :raises ValueError: they are none.
    """
    found = _ALL.validate_python(tuple(operations))
    return tuple(_ALL.dump_python(found, mode="json"))
