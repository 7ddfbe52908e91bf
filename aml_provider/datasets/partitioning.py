"""Rows in one folder per combination of values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aml_provider.datasets.access import Stores
from aml_provider.datasets.reading import frames
from aml_provider.runtime.tables.partitions import quoted
from aml_provider.runtime.tables.problems import TableError
from aml_provider.spec.models import DataLocation, DatasetSource
from aml_provider.storage.scratch import scratch_folder


def write_partitions(stores: Stores, dataset: DatasetSource, keys: list[str], root: DataLocation) -> None:
    """Write the rows as Parquet files in folders below ``root``, instead of what is there.

    The keys' values are in the folders' names, as texts, and in the files.

    :raises TableError: a key is no column.
    """
    store = stores(root.datastore)
    written: set[str] = set()
    with scratch_folder("aml-partitions-") as folder:
        for number, frame in enumerate(frames(stores, dataset)):
            missing = [key for key in keys if key not in frame.columns]
            if missing:
                raise TableError(f"partition_by: there is no column {missing[0]!r}; there is {list(frame.columns)}")
            for values, rows in _groups(frame, keys):
                inner = "/".join([*(quoted(_text(value)) for value in values), f"part-{number:05d}.parquet"])
                _write(rows, folder / inner)
                written.add(inner)
        # All of it is ready before anything that is there is replaced.
        for inner in sorted(written):
            store.put(folder / inner, f"{root.path}/{inner}")
    for path in store.files(root.path):
        if path[len(root.path) + 1 :] not in written:
            store.remove(path)


def _write(rows: Any, path: Path) -> None:
    from aml_provider.runtime.tables.writing import write_part

    path.parent.mkdir(parents=True, exist_ok=True)
    write_part(rows, str(path), "parquet")


def _groups(frame: Any, keys: list[str]) -> list[tuple[tuple[Any, ...], Any]]:
    # One by one and not by groupby, which takes 1, 1.0 and True for one value and leaves out missing ones.
    numbers: dict[tuple[Any, ...], list[int]] = {}
    columns = [frame[key].astype(object).where(frame[key].notna(), None) for key in keys]
    for position, values in enumerate(zip(*columns, strict=True)):
        numbers.setdefault(values, []).append(position)
    return [(values, frame.iloc[positions]) for values, positions in numbers.items()]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
