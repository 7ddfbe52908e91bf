"""v1's options of reading files as tables, as the spec has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aml_provider.datasets.verbs import PartitionFormat, TableError
from aml_provider.sdk.dataset_types import DataType, PromoteHeadersBehavior
from aml_provider.spec.errors import NotSupportedError, PipelineError
from aml_provider.spec.tables import ColumnType, TabularFormat

_HEADERS = {
    True: "same",
    False: "none",
    PromoteHeadersBehavior.NO_HEADERS: "none",
    PromoteHeadersBehavior.ONLY_FIRST_FILE_HAS_HEADERS: "first",
    PromoteHeadersBehavior.COMBINE_ALL_FILES_HEADERS: "combined",
    PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS: "same",
}


def header_of(header: Any, what: str) -> Any:
    """Which files have a line of column names.

    :raises PipelineError: it says nothing of that.
    """
    if not isinstance(header, (bool, PromoteHeadersBehavior)):
        raise PipelineError(f"{what}: header is {header!r}, but must be True, False or a PromoteHeadersBehavior.")
    return _HEADERS[header]


def column_types(types: Any, what: str) -> dict[str, ColumnType]:
    """The types that the author has set.

    :raises PipelineError: they are no ``DataType``.
    """
    if not types:
        return {}
    if not isinstance(types, Mapping) or not all(isinstance(kind, DataType) for kind in types.values()):
        raise PipelineError(
            f"{what}: set_column_types is {types!r}, but must be a dict like {{'age': DataType.to_long()}}."
        )
    made = {}
    for name, kind in types.items():
        if kind.kind == "stream":
            raise NotSupportedError(
                f"{what}: column {name!r} cannot be a stream here; read it as a text, and make a dataset of the files "
                "with Dataset.File.from_files."
            )
        formats = kind.options.get("formats") or ()
        made[str(name)] = ColumnType(
            kind=kind.kind,
            formats=(formats,) if isinstance(formats, str) else tuple(formats),
            decimal_mark=kind.options.get("decimal_mark", "."),
        )
    return made


def partition_format(text: Any, what: str) -> str | None:
    """A partition format, checked.

    :raises PipelineError: it is none.
    """
    if not text:
        return None
    try:
        PartitionFormat(str(text))
    except TableError as problem:
        raise PipelineError(f"{what}: {problem}.") from None
    return str(text)


def tabular_format(what: str, **options: Any) -> TabularFormat:
    """The format of these options, which are those of :class:`TabularFormat` as v1 writes them.

    :raises PipelineError: one of them cannot be.
    """
    separator = options.get("separator", ",")
    if not isinstance(separator, str) or not separator:
        raise PipelineError(f"{what}: separator is {separator!r}, but must be text, like ',' or '\\t'.")
    if "header" in options:
        options["header"] = header_of(options["header"], what)
    options["column_types"] = column_types(options.pop("set_column_types", None), what)
    options["partition_format"] = partition_format(options.get("partition_format"), what)
    return TabularFormat(**options)
