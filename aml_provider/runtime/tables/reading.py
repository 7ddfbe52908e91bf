"""A table, lazily: its files, then its operations in order, a bounded number of rows at a time."""

from __future__ import annotations

import warnings
from datetime import datetime, timedelta, timezone

from .chance import is_in, numbers
from .columns import rows_where
from .expressions import columns_of, conjuncts, node_of, uses_metadata
from .files import as_files, holds
from .partitions import PartitionFormat
from .problems import TableError
from .sources import Source, needed_library
from .types import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

    from .files import File

    Operations = Sequence[Mapping[str, Any]]

PATH = "Path"


def frame_of(
    files: Sequence[File],
    form: Mapping[str, Any],
    operations: Operations,
    on_error: str = "null",
    out_of_range: str = "null",
) -> Any:
    """All rows of a table, as a pandas data frame.

    :param form: as :class:`aml_provider.spec.tables.TabularFormat` dumps it.
    :param on_error: what becomes of texts that are no values of their column's type: ``null`` or ``fail``.
    :param out_of_range: the same for points in time: ``null`` or ``error``.
    :raises TableError: there are no files, or they cannot be read so.
    """
    needed_library(form, "reading it as a table")
    return joined(frames_of(files, form, operations, on_error, out_of_range))


def joined(frames: Iterable[Any]) -> Any:
    """Frames, at least one, as one data frame with the dtypes that pandas users expect."""
    import pandas as pd

    found = list(frames)
    full = [frame for frame in found if len(frame)] or found[:1]
    table = full[0] if len(full) == 1 else pd.concat(full, ignore_index=True)
    # Column by column, so that one of a thousand columns does not copy all the others.
    made = pd.DataFrame({name: plain(table[name]) for name in table.columns}, columns=table.columns)
    return made.reset_index(drop=True)


def operated(frames: Iterator[Any], operations: Operations) -> Iterator[Any]:
    """The rows that operations leave of those in ``frames``; no more is taken of these than is needed."""
    left = frames
    for operation in map(_dated, operations):
        left = _STAGES[operation["op"]](left, operation)
    return left


def frames_of(
    files: Sequence[File],
    form: Mapping[str, Any],
    operations: Operations,
    on_error: str = "null",
    out_of_range: str = "null",
) -> Iterator[Any]:
    """The rows of a table in frames, at least one; no more of the files is read than is asked for.

    :raises TableError: there are no files, or they cannot be read so.
    """
    needed_library(form, "reading it as a table")
    if not files:
        raise TableError("there are no files to read")
    if as_files(operations) is not None:
        raise TableError("it is files by now (to_csv_files, to_parquet_files), not a table")
    operations = [_dated(operation) for operation in operations]
    fatal = {"long", "float", "bool", "datetime"} if on_error == "fail" else set()
    fatal |= {"datetime"} if out_of_range == "error" else set()
    source = Source(form, _wanted(operations, form), fatal)
    try:
        yield from operated(_unified(_rows(files, source, form, operations)), operations)
    finally:
        for name, (said, count) in source.complaints.items():
            warnings.warn(
                f"{said}; {count} such value(s) are missing values now. Set another type with set_column_types={{"
                f"{name!r}: DataType.to_string()}}, or read with on_error='fail'.",
                stacklevel=2,
            )


def _dated(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is recent now, as a filter."""
    if operation["op"] != "recent":
        return operation
    since = datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(seconds=operation["seconds"])
    column = {"kind": "column", "name": operation["column"]}
    where = {
        "kind": "call",
        "function": "ge" if operation["inclusive"] else "gt",
        "arguments": [column, node_of(since)],
    }
    return {"op": "filter", "where": where}


# --- files ------------------------------------------------------------------------------------------------------


def _rows(files: Sequence[File], source: Source, form: Mapping[str, Any], operations: Operations) -> Iterator[Any]:
    partition = _partition(form)
    for file, values in _read(files, partition, operations, form):
        for frame in source.frames(file):
            if form["include_path"]:
                _no_clash(frame, PATH, "include_path", file)
                frame.insert(0, PATH, "/" + file.path)
            for key, value in values.items():
                if form["quoted"] and key in frame.columns:
                    continue  # written by us: the values are there with their types
                _no_clash(frame, key, "partition_format", file)
                frame[key] = _constant(value, len(frame))
            yield frame


def _constant(value: Any, count: int) -> Any:
    """A column that has one value everywhere, with the dtype of its kind."""
    import pandas as pd

    if isinstance(value, bool):
        return pd.array([value] * count, dtype="boolean")
    if isinstance(value, int):
        return pd.array([value] * count, dtype="Int64")
    if isinstance(value, datetime):
        return pd.DatetimeIndex([value] * count)
    return pd.Series([value] * count, dtype=object if value is None or not count else None)


def _no_clash(frame: Any, name: str, why: str, file: File) -> None:
    if name in frame.columns:
        raise TableError(f"file {file.path!r} has a column {name!r}, which {why} would make as well")


def _partition(form: Mapping[str, Any]) -> PartitionFormat | None:
    text = form["partition_format"]
    return None if text is None else PartitionFormat(text, form["quoted"])


def partition_values(file: File, form: Mapping[str, Any], partition: PartitionFormat | None = None) -> dict[str, Any]:
    """The columns that come from a file's path."""
    partition = partition or _partition(form)
    values = {} if partition is None else partition.values(file.path)
    for key, value in values.items():
        type = form["column_types"].get(key)
        if type is not None and isinstance(value, str):
            values[key] = _of_type(value, type["kind"], key, file)
    return values


def _of_type(text: str, kind: str, key: str, file: File) -> Any:
    makers: dict[str, Callable[[str], Any]] = {
        "long": int,
        "float": float,
        "bool": lambda text: {"true": True, "false": False}[text.lower()],
        "datetime": datetime.fromisoformat,
    }
    try:
        return makers[kind](text) if kind in makers else text
    except (ValueError, KeyError):
        raise TableError(
            f"the partition key {key!r} in the path of file {file.path!r} is no {kind}: {text!r}"
        ) from None


def _read(
    files: Sequence[File], partition: PartitionFormat | None, operations: Operations, form: Mapping[str, Any]
) -> Iterator[tuple[File, dict[str, Any]]]:
    """The files that may have rows of the table: those that the partition keys rule out are not opened."""
    conditions = []
    if partition is not None:
        for operation in operations:
            if operation["op"] in ("keep", "drop"):
                continue
            if operation["op"] != "filter":
                break  # which rows the others take depends on what comes before
            for condition in conjuncts(operation["where"]):
                used = columns_of(condition)
                if used and used <= set(partition.keys) and not uses_metadata(condition):
                    conditions.append(condition)
    if form["quoted"]:
        conditions = [condition for condition in conditions if _is_about_texts(condition)]
    nothing = True
    for file in files:
        values = partition_values(file, form, partition)
        if all(holds(condition, file, partition, values) for condition in conditions):
            nothing = False
            yield file, values
    if nothing:
        # A table without rows has columns all the same. What rules the file out rules out its rows.
        yield files[0], partition_values(files[0], form, partition)


def _is_about_texts(condition: Mapping[str, Any]) -> bool:
    """Whether a folder's name alone says whether a condition holds: it compares with texts and nothing else."""
    if condition["kind"] == "value":
        return isinstance(condition["value"], str) and not condition["type"]
    if condition["kind"] == "call" and condition["function"] not in ("eq", "ne", "and", "or", "not", "is_null"):
        return False
    return all(_is_about_texts(argument) for argument in condition.get("arguments", ()))


def _unified(frames: Iterator[Any]) -> Iterator[Any]:
    """Frames with the same columns in the same order: those of the first, and what others have besides."""
    known: dict[str, Any] = {}
    for frame in frames:
        missing = [name for name in known if name not in frame.columns]
        for name in missing:
            frame[name] = _nothing(known[name], len(frame))
        for name in frame.columns:
            if name not in known or str(known[name]) == "object":
                known[name] = frame[name].dtype
        yield frame if list(frame.columns) == list(known) else frame[list(known)]
    if not known:
        import pandas as pd

        yield pd.DataFrame()


def _nothing(dtype: Any, count: int) -> Any:
    import pandas as pd

    values = pd.Series([None] * count, dtype=object)
    return values if str(dtype) == "object" else values.astype(dtype)


def _wanted(operations: Operations, form: Mapping[str, Any]) -> list[str] | None:
    """The columns of the files that the table needs: those that are kept, and what filters ask before that."""
    asked: set[str] = set()
    for operation in operations:
        if operation["op"] == "filter":
            asked |= columns_of(operation["where"])
        elif operation["op"] == "drop":
            asked.update(operation["columns"])
        elif operation["op"] == "keep":
            partition = _partition(form)
            made = {PATH} if form["include_path"] else set()
            made |= set() if partition is None else set(partition.keys)
            return sorted({*asked, *operation["columns"]} - made) or None
    return None


# --- operations -------------------------------------------------------------------------------------------------


def _skip(frames: Iterator[Any], operation: Mapping[str, Any]) -> Iterator[Any]:
    left = operation["count"]
    for frame in frames:
        gone, left = min(left, len(frame)), max(left - len(frame), 0)
        yield frame.iloc[gone:]


def _take(frames: Iterator[Any], operation: Mapping[str, Any]) -> Iterator[Any]:
    left = operation["count"]
    for frame in frames:
        yield frame.iloc[:left]
        left -= min(left, len(frame))
        if not left:
            return


def _chance(frames: Iterator[Any], operation: Mapping[str, Any]) -> Iterator[Any]:
    position = 0
    for frame in frames:
        drawn = numbers(operation["op"], operation["seed"], position, len(frame))
        position += len(frame)
        yield frame[is_in(dict(operation), drawn)]


def _keep(frames: Iterator[Any], operation: Mapping[str, Any]) -> Iterator[Any]:
    names = list(operation["columns"])
    for frame in frames:
        _there(frame, names, "keep_columns")
        yield frame[names]


def _drop(frames: Iterator[Any], operation: Mapping[str, Any]) -> Iterator[Any]:
    names = list(operation["columns"])
    for frame in frames:
        _there(frame, names, "drop_columns")
        yield frame.drop(columns=names)


def _there(frame: Any, names: Iterable[str], what: str) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        known = ", ".join(repr(c) for c in list(frame.columns)[:50]) or "none"
        raise TableError(f"{what}: there is no column {', '.join(map(repr, missing))}; there is {known}")


def _filter(frames: Iterator[Any], operation: Mapping[str, Any]) -> Iterator[Any]:
    for frame in frames:
        yield frame[rows_where(operation["where"], frame)]


_STAGES: dict[str, Callable[[Iterator[Any], Mapping[str, Any]], Iterator[Any]]] = {
    "skip": _skip,
    "take": _take,
    "sample": _chance,
    "split": _chance,
    "keep": _keep,
    "drop": _drop,
    "filter": _filter,
}
