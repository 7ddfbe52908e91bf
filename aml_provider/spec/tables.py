"""How files become a table, and where else a table comes from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from aml_provider.spec.base import Model


class ColumnType(Model):
    """The type that a column is read as.

    :param formats: of points in time, as ``strftime`` writes them; tried in this order.
    :param decimal_mark: of numbers.
    """

    kind: Literal["string", "long", "float", "bool", "datetime"]
    formats: tuple[str, ...] = ()
    decimal_mark: str = "."


class TabularFormat(Model):
    """How files are read as one table.

    :param header: which delimited files begin with a line of column names: all the ``same`` ones, all and
        ``combined`` by name, the ``first`` file only, or ``none``.
    :param path_glob: only files whose path below the data matches are read.
    :param include_path: the table has a column ``Path``.
    :param infer_types: columns of text become numbers, truth values and times where they look like it.
    :param column_types: types that are not to be guessed.
    :param empty_as_string: an empty field is an empty text, not a missing value.
    :param invalid_lines: what happens with lines of JSON that are none.
    :param partition_format: how parts of a file's path become columns.
    :param quoted: the values in the paths are written by :func:`~aml_provider.runtime.tables.partitions.quoted`, and
        the files have them too.
    :param timestamp: the column that says when a row happened.
    :param partition_timestamp: the column of the partition format that says so less exactly.
    """

    format: Literal["delimited", "parquet", "json_lines"]
    separator: str = ","
    header: Literal["same", "combined", "first", "none"] = "same"
    encoding: str = "utf8"
    path_glob: str | None = None
    include_path: bool = False
    infer_types: bool = True
    column_types: dict[str, ColumnType] = Field(default_factory=dict)
    empty_as_string: bool = False
    invalid_lines: Literal["error", "drop"] = "error"
    partition_format: str | None = None
    quoted: bool = False
    timestamp: str | None = None
    partition_timestamp: str | None = None

    @field_validator("header", mode="before")
    @classmethod
    def _as_it_was(cls, header: Any) -> Any:
        """Registered datasets of earlier versions say yes or no."""
        return {True: "same", False: "none"}[header] if isinstance(header, bool) else header


class SqlQuery(Model):
    """A question to a database, whose answer is a table.

    :param timeout_seconds: how long the database may take to answer.
    """

    datastore: str
    query: str
    timeout_seconds: int = 30


def _checked(operations: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    if not operations:
        return ()
    from aml_provider.spec.operations import canonical

    return canonical(operations)


#: What is done to files or rows, in order: the JSON of :mod:`aml_provider.spec.operations`, whose models take too long
#: to import for every pipeline to pay for them.
Operations = Annotated[tuple[dict[str, Any], ...], AfterValidator(_checked)]
