"""What a step is told about a dataset among its inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aml_provider.datasets.access import Stores
from aml_provider.datasets.reading import ANSWER
from aml_provider.datasets.selection import files_of, is_selected, is_written
from aml_provider.spec.models import DatasetSource
from aml_provider.storage.gathering import is_single


def described(stores: Stores, dataset: DatasetSource, written: list[Path]) -> dict[str, Any]:
    """The dataset as the step's runtime reads it.

    ``files`` are the names below the input's path with the paths in their datastore, in order; ``None`` for everything
    there is, whose paths begin with ``path``.

    :param written: the files that were made for it.
    """
    tabular, operations = dataset.tabular, dataset.operations
    if is_written(dataset):
        # Its operations are done.
        tabular, operations = (ANSWER if dataset.dataset_type == "tabular" else None), ()
    elif is_selected(dataset):
        operations = ()
    facts: dict[str, Any] = {
        "type": dataset.dataset_type,
        "name": None if dataset.derived else dataset.name,
        "version": None if dataset.derived else dataset.version,
        "tabular": None if tabular is None else tabular.model_dump(mode="json"),
        "partition_format": dataset.partition_format,
        "operations": list(operations),
        "files": None,
        "path": dataset.locations[0].path if len(dataset.locations) == 1 else "",
    }
    if is_written(dataset):
        facts["files"] = [[path.name, path.name] for path in written]
    elif is_selected(dataset) or not is_single(dataset.locations):
        facts["files"] = [[file.inner, file.path] for file in files_of(stores, dataset)]
    return facts
