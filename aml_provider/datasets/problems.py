"""Problems with datasets, as the rest of the package reports problems."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aml_provider.runtime.tables.problems import LibraryMissingError, TableError
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import DatasetSource


class DatasetError(AmlError, ValueError):
    """A dataset that cannot be read as it is described."""


@contextmanager
def worded(dataset: DatasetSource) -> Iterator[None]:
    """Make a sentence about the dataset of what goes wrong with it.

    :raises DatasetError: it cannot be read as it is described.
    """
    try:
        yield
    except LibraryMissingError as problem:
        raise DatasetError(
            f"{named(dataset)}: {problem}; install it where Airflow's workers run: "
            "pip install 'airflow-provider-aml[tabular]'"
        ) from None
    except TableError as problem:
        raise DatasetError(f"{named(dataset)}: {problem}") from None


def named(dataset: DatasetSource) -> str:
    """A dataset as messages call it."""
    if dataset.name is not None:
        return f"dataset {dataset.name!r} version {dataset.version}"
    places = ", ".join(f"{place.datastore}/{place.path}" for place in dataset.locations)
    return f"the dataset of {places or 'a query'}"
