"""Places that are tables, or the answers to queries."""

from __future__ import annotations

from dataclasses import dataclass

from aml_provider.storage.datastores import store_for
from aml_provider.storage.sql import Database, database_for, dialect_of
from aml_provider.workspace.model import DatastoreConfig

from .errors import TransferError
from .places import Place


@dataclass(frozen=True)
class TablePlace:
    """A table of a datastore that is a database, or a query to it.

    :param table: ``table`` or ``schema.table``; empty for a query.
    :param query: in the database's SQL; only a source can be one.
    """

    database: Database
    table: str = ""
    query: str | None = None

    def __str__(self) -> str:
        return f"{self.database.name}:{self.table or '(query)'}"


def place_for(config: DatastoreConfig, name: str, path: str = "", query: str | None = None) -> Place | TablePlace:
    """The place of a path in a declared datastore, of whatever kind that is.

    :param path: of a file or folder; of a database the name of a table.
    :param query: a query to a database, instead of a table.
    :raises AmlError: the datastore's URL cannot be used, or its files were to be queried.
    :raises TransferError: neither a table nor a query is named, or both are.
    """
    if dialect_of(config) is None and query is None:
        return Place(store_for(config, name), path)
    database = database_for(config, name)
    table = path.strip().strip("/")
    if bool(table) == bool(query and query.strip()):
        if table:
            raise TransferError(
                f"datastore {name!r}: table {table!r} and a query are given, and one of them is wanted; for a query, "
                f"the source is {name}: alone."
            )
        raise TransferError(
            f"datastore {name!r} is a database: name one table of it, like {name}:schema.table, or give a query."
        )
    return TablePlace(database, table, query)
