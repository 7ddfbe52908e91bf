"""The files that a dataset is."""

from __future__ import annotations

from typing import Any

from aml_provider.datasets.access import Stores
from aml_provider.runtime.tables.files import File, as_files, matching, selected
from aml_provider.runtime.tables.partitions import PartitionFormat
from aml_provider.spec.models import DatasetSource
from aml_provider.storage.backend_base import Item
from aml_provider.storage.datastores import Store
from aml_provider.storage.gathering import files_at


def is_written(dataset: DatasetSource) -> bool:
    """Whether its files are made of rows when somebody asks: those of a database, or of a table as files."""
    return dataset.query is not None or as_files(dataset.operations) is not None


def is_selected(dataset: DatasetSource) -> bool:
    """Whether it is some of the files that are at its places, chosen by its operations."""
    return dataset.dataset_type == "file" and bool(dataset.operations) and not is_written(dataset)


def why_unknowable(dataset: DatasetSource) -> str | None:
    """Why nobody can say beforehand which rows it has; ``None``: its files, or an answer, and its operations tell."""
    if any(operation["op"] == "recent" for operation in dataset.operations):
        return "has the rows of the time before it is read (time_recent), which are others each time"
    return None


def told_by_paths(stores: Stores, dataset: DatasetSource) -> list[Any]:
    """What the paths of its files tell whoever reads it, besides their names in it; empty for nothing.

    :raises TableError: a path does not fit the partition format.
    """
    form = dataset.tabular
    if form is not None and form.include_path:
        return [[file.inner, file.path] for file in files_of(stores, dataset)]
    text = dataset.partition_format if form is None else form.partition_format
    if text is None:
        return []
    partition = PartitionFormat(text, form.quoted if form is not None else False)
    return [
        [file.inner, {key: str(value) for key, value in partition.values(file.path).items()}]
        for file in files_of(stores, dataset)
    ]


def files_of(stores: Stores, dataset: DatasetSource) -> list[File]:
    """The files at its places, in order, after what its operations choose of them.

    :raises TableError: an expression or a partition format does not fit the files.
    """
    found = [_file(at.store, at.item, at.name) for at in files_at(stores, dataset.locations)]
    if dataset.tabular is not None:
        found = matching(found, dataset.tabular.path_glob)
    if dataset.dataset_type == "file" and not is_written(dataset):
        return selected(found, dataset.operations, dataset.partition_format)
    return found


def _file(store: Store, item: Item, name: str) -> File:
    if store.local_root is not None:
        return File.here(str(store.local_root / item.path), item.path, name, store.name)

    def opened() -> Any:
        return store.filesystem.open(store.full(item.path), "rb")

    return File(item.path, name, opened, item.size, item.modified, datastore=store.name)
