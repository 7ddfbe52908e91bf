"""A table as files."""

from __future__ import annotations

import os

from .problems import TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, Iterator

#: Rows of one file.
PART_ROWS = 500_000


def write_parts(frames: Iterable[Any], folder: str, format: str, separator: str = ",") -> list[str]:
    """Write frames as ``part-00000.csv`` and so on, at least one; their paths.

    :param format: ``csv``, ``parquet`` or ``jsonl``.
    :raises TableError: a value has no place in such files.
    """
    written = []
    for number, part in enumerate(_parts(frames)):
        path = os.path.join(folder, f"part-{number:05d}.{format}")
        write_part(part, path, format, separator)
        written.append(path)
    return written


def write_part(frame: Any, path: str, format: str, separator: str = ",") -> None:
    """Write one frame as a file.

    :raises TableError: a value has no place in such a file.
    """
    if format == "csv":
        frame.to_csv(path, index=False, sep=separator, encoding="utf-8")
        return
    if format == "jsonl":
        _write_lines(frame, path)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TableError(f"it cannot be written as Parquet: {error.args[0]}; set the column's type") from None
    # What pandas notes there would give readers its own dtypes.
    pq.write_table(table.replace_schema_metadata(None), path)


def _parts(frames: Iterable[Any]) -> Iterator[Any]:
    """The same rows in frames of ``PART_ROWS``."""
    import pandas as pd

    held: list[Any] = []
    rows = 0
    for frame in frames:
        held.append(frame)
        rows += len(frame)
        while rows >= PART_ROWS:
            whole = _joined(held, pd)
            yield whole.iloc[:PART_ROWS]
            held, rows = [whole.iloc[PART_ROWS:]], rows - PART_ROWS
    if held and (rows or not any(len(frame) for frame in held)):
        yield _joined(held, pd)


def _joined(frames: list[Any], pd: Any) -> Any:
    full = [frame for frame in frames if len(frame)] or frames[:1]
    return full[0] if len(full) == 1 else pd.concat(full, ignore_index=True)


def _write_lines(frame: Any, path: str) -> None:
    """One JSON object a row. No digit of a number is lost, and a missing value is not an empty text."""
    import json

    names = [str(name) for name in frame.columns]
    columns = [frame[name].astype(object).where(frame[name].notna(), None) for name in frame.columns]
    with open(path, "w", encoding="utf-8") as file:
        for values in zip(*columns):
            file.write(json.dumps(dict(zip(names, values)), default=_json, ensure_ascii=False) + "\n")


def _json(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    if hasattr(value, "as_tuple"):
        return float(value)  # Decimal
    raise TableError(f"a {type(value).__name__} cannot be written: {value!r}; leave the column out")
