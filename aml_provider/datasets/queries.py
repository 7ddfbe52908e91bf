"""Datasets that are the answer of a database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aml_provider.datasets.access import Stores
from aml_provider.spec.errors import NotSupportedError
from aml_provider.spec.tables import SqlQuery


def answered(stores: Stores, query: SqlQuery) -> Iterator[Any]:
    """The answer in frames, at least one.

    :raises NotSupportedError: datastores cannot be databases in this version.
    """
    check(query)
    return iter(())


def check(query: SqlQuery) -> None:
    """See that a datastore can be asked.

    :raises NotSupportedError: datastores cannot be databases in this version.
    """
    raise NotSupportedError(
        f"datastore {query.datastore!r}: queries to databases are not supported in this version; query it in a step's "
        "script."
    )
