"""Datasets as they are kept in the registry and in parameters: plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aml_provider.spec.models import DataLocation, DatasetSource


def to_record(dataset: DatasetSource) -> dict[str, Any]:
    """What a registered version says about the data: all but its name and version."""
    said = dataset.model_dump(mode="json", exclude={"kind", "name", "version", "derived", "dataset_type"})
    return {"type": dataset.dataset_type, **said}


def from_record(record: Mapping[str, Any], version: int | None = None) -> DatasetSource:
    """The dataset of a record, which may be of an earlier version of this package."""
    names = ("tabular", "operations", "partition_format", "query")
    return DatasetSource(
        locations=tuple(DataLocation(**place) for place in record["locations"]),
        dataset_type=record["type"],
        name=record.get("name"),
        version=version,
        **{name: record[name] for name in names if record.get(name) is not None},
    )


def same_data(one: DatasetSource, other: DatasetSource) -> bool:
    """Whether two datasets are the same data, whatever they are called."""
    unnamed = {"name": None, "version": None, "derived": False}
    return one.model_copy(update=unnamed) == other.model_copy(update=unnamed)


def to_value(dataset: DatasetSource) -> dict[str, Any]:
    """A dataset as the value of a pipeline parameter: what it says besides its defaults."""
    said: dict[str, Any] = dataset.model_dump(mode="json", exclude={"kind"}, exclude_defaults=True)
    return said


def from_value(value: Any, default: DatasetSource | None = None) -> DatasetSource | None:
    """The dataset that a parameter's value is; ``None``: it is none, or only names a registered one.

    :param default: the parameter's default: a mere place is read as that is.
    :raises ValueError: it is no dataset.
    """
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is no mapping")
    if "datastore" in value:
        place = DataLocation(datastore=str(value["datastore"]), path=str(value.get("path") or ""))
        like = default or DatasetSource()
        return like.model_copy(
            update={"locations": (place,), "query": None, "name": None, "version": None, "derived": False}
        )
    if "locations" in value or "query" in value:
        return DatasetSource(**value)
    return None
