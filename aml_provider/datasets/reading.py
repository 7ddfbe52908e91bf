"""A dataset's rows and files, in a program or on a worker."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aml_provider.datasets.access import Stores
from aml_provider.datasets.queries import answered
from aml_provider.datasets.selection import files_of, is_written
from aml_provider.runtime.tables.files import File, as_files, selected
from aml_provider.runtime.tables.problems import TableError
from aml_provider.spec.models import DatasetSource
from aml_provider.spec.tables import TabularFormat
from aml_provider.storage.datastores import Store

#: How the answer of a database is kept in files.
ANSWER = TabularFormat(format="parquet")


def frame(stores: Stores, dataset: DatasetSource, on_error: str = "null", out_of_range: str = "null") -> Any:
    """All rows, as a pandas data frame.

    :raises TableError: they cannot be read.
    """
    from aml_provider.runtime.tables.reading import frame_of, joined, operated

    if dataset.query is not None:
        return joined(operated(answered(stores, dataset.query, dataset.tabular), dataset.operations))
    return frame_of(files_of(stores, dataset), form_of(dataset), dataset.operations, on_error, out_of_range)


def frames(stores: Stores, dataset: DatasetSource) -> Iterator[Any]:
    """All rows in frames of bounded size, with dtypes that know missing values.

    :raises TableError: they cannot be read.
    """
    from aml_provider.runtime.tables.reading import frames_of, operated

    if dataset.query is not None:
        return operated(answered(stores, dataset.query, dataset.tabular), dataset.operations)
    return frames_of(files_of(stores, dataset), form_of(dataset), dataset.operations)


def form_of(dataset: DatasetSource) -> dict[str, Any]:
    """How its files are read, as the evaluation wants it."""
    return (dataset.tabular or TabularFormat(format="delimited")).model_dump(mode="json")


def lay_out(stores: Stores, dataset: DatasetSource, folder: Path, *, link: bool = False) -> list[Path]:
    """Bring the files of a dataset into a folder, under their names in it; their paths there.

    What a database answers is there as :data:`ANSWER` says.

    :param link: links to files of this machine will do.
    :raises TableError: the files cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if is_written(dataset):
        return _written(stores, dataset, folder)
    placed = []
    for file in files_of(stores, dataset):
        target = folder / file.inner
        target.parent.mkdir(parents=True, exist_ok=True)
        fetch(stores(file.datastore), file, target, link=link)
        placed.append(target)
    return placed


def downloaded(stores: Stores, dataset: DatasetSource, folder: Path, overwrite: bool) -> list[Path]:
    """Copy the files of a dataset into a folder, under their names in it; the copies.

    :raises TableError: one of them is there already, and ``overwrite`` is false; nothing has been copied then.
    """
    if is_written(dataset):
        with tempfile.TemporaryDirectory(prefix="dataset-") as made:
            pairs = [(path, folder / path.name) for path in lay_out(stores, dataset, Path(made))]
            _refuse_existing([target for _, target in pairs], overwrite)
            folder.mkdir(parents=True, exist_ok=True)
            return [Path(shutil.copy(path, target)) for path, target in pairs]
    files = files_of(stores, dataset)
    targets = [folder / file.inner for file in files]
    _refuse_existing(targets, overwrite)
    for file, target in zip(files, targets, strict=True):
        stores(file.datastore).download_path(file.path, target, overwrite=True)
    return targets


def _refuse_existing(targets: list[Path], overwrite: bool) -> None:
    existing = next((target for target in targets if os.path.lexists(target)), None)
    if existing is not None and not overwrite:
        raise TableError(f"{existing} exists; pass overwrite=True or another target_path")


def fetch(store: Store, file: File, target: Path, *, link: bool = False) -> None:
    """Bring one file to ``target``, where nothing is."""
    if file.local is None:
        store.download_path(file.path, target, overwrite=True)
    elif link:
        target.symlink_to(file.local)
    else:
        shutil.copy(file.local, target)


def _written(stores: Stores, dataset: DatasetSource, folder: Path) -> list[Path]:
    """The rows as files, of which the operations that come after that choose."""
    from aml_provider.runtime.tables.writing import write_parts

    at = as_files(dataset.operations)
    # What a database answers, and nobody asked for as files, keeps its types.
    how = {"format": "parquet", "separator": ","} if at is None else dataset.operations[at]
    rows = dataset.model_copy(update={"operations": dataset.operations[:at], "dataset_type": "tabular"})
    paths = write_parts(frames(stores, rows), str(folder), how["format"], how["separator"])
    after = () if at is None else dataset.operations[at + 1 :]
    if not after:
        return [Path(path) for path in paths]
    files = [File.here(path, os.path.basename(path), os.path.basename(path)) for path in paths]
    kept = {file.local for file in selected(files, after)}
    for path in paths:
        if path not in kept:
            os.unlink(path)
    return [Path(path) for path in paths if path in kept]
