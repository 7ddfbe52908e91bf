"""Rows out of a database: a few at a time, as they are at one moment."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aml_provider.storage.faults import DatastoreError, Reason
from aml_provider.storage.sql import Database

from .errors import TransferError
from .tables_copying import Count, copied
from .tables_spool import Spool
from .tables_types import arrow_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: Rows that are asked for first; how many later, their size says.
_FIRST_ROWS = 500
_MOST_ROWS = 20_000
_BATCH_BYTES = 8 << 20
_NAME = re.compile(r'"((?:[^"]|"")+)"|([^".]+)')


@dataclass(frozen=True)
class Table:
    """The name of a table.

    :param schema: ``None``: where the database looks without one.
    """

    name: str
    schema: str | None = None

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


def table_named(text: str, database: Database) -> Table:
    """The table of a path: ``table``, ``schema.table``, and a name with a dot in double quotes.

    :raises TransferError: it is no name.
    """
    parts, at = [], 0
    wanted = text.strip().strip("/")
    while found := _NAME.match(wanted, at):
        parts.append(found[1].replace('""', '"') if found[1] else found[2].strip())
        at = found.end()
        if at == len(wanted):
            break
        at += wanted[at] == "." and at + 1 < len(wanted)
    if at != len(wanted) or len(parts) not in (1, 2) or not all(parts):
        raise TransferError(
            f"{text!r} is no table of datastore {database.name!r}; write table or schema.table, and a name with a dot "
            "or a quote in double quotes."
        )
    return Table(parts[-1], parts[0] if len(parts) == 2 else None)


def has_table(connection: Connection, table: Table) -> bool:
    """Whether there is a table, or a view."""
    import sqlalchemy as sa

    return sa.inspect(connection).has_table(table.name, table.schema)


def spooled(
    database: Database,
    path: Path,
    *,
    table: Table | None = None,
    query: str | None = None,
    timeout_seconds: float | None = None,
    count: Count = lambda rows: None,
) -> Spool:
    """All rows of a table, or of the answer to a query, in a file at ``path``.

    :param timeout_seconds: how long the database may take until there are rows; ``None``: as long as it does.
    :raises DatastoreError: the database refuses it, or breaks off.
    :raises TransferError: a file cannot keep the values.
    """
    what = f"reading table {str(table)!r}" if table is not None else "answering the query"
    with database.connected(what) as connection:
        _read_only(connection)
        types = _columns(connection, table, database) if table is not None else None
        if connection.dialect.name == "postgresql":
            return copied(connection, _statement(connection, table, query), path, timeout_seconds, count)
        result = _asked(connection, table, query, timeout_seconds)
        if not result.returns_rows:
            raise DatastoreError(
                f"{database.origin}: the query gives no rows; give a SELECT, or another statement that answers with "
                "rows.",
                Reason.OTHER,
            )
        described = result.cursor.description
        spool = Spool(path, [str(column[0]) for column in described], types or [None] * len(described))
        with closing(spool):
            for rows in _batches(result):
                spool.add(rows)
                count(spool.rows)
        return spool


def _columns(connection: Connection, table: Table, database: Database) -> list[Any]:
    import sqlalchemy as sa

    if not has_table(connection, table):
        raise DatastoreError(
            f"{database.origin}: there is no table {str(table)!r}; correct the name, or write schema.table.",
            Reason.MISSING,
        )
    return [arrow_of(column["type"]) for column in sa.inspect(connection).get_columns(table.name, table.schema)]


def _asked(connection: Connection, table: Table | None, query: str | None, timeout: float | None) -> Any:
    if timeout is not None and timeout > 0:
        _limit(connection, timeout)
    # A percent sign is one: nothing is filled in.
    options = {"stream_results": True, "max_row_buffer": _MOST_ROWS, "no_parameters": True}
    return connection.exec_driver_sql(_statement(connection, table, query), execution_options=options)


def _statement(connection: Connection, table: Table | None, query: str | None) -> str:
    import sqlalchemy as sa

    if table is None:
        return (query or "").strip().rstrip(";")
    every = sa.select(sa.text("*")).select_from(sa.table(table.name, schema=table.schema))
    return str(every.compile(dialect=connection.dialect))


def _batches(result: Any) -> Iterator[Any]:
    """Rows in lists of bounded size, whatever is in them."""
    wanted = _FIRST_ROWS
    while rows := result.fetchmany(wanted):
        yield rows
        size = sum(_size(value) for row in rows[:50] for value in row) / min(len(rows), 50)
        wanted = max(1, min(_MOST_ROWS, int(_BATCH_BYTES / max(size, 1))))


def _size(value: Any) -> int:
    return 50 + (len(value) if isinstance(value, (str, bytes, memoryview)) else 0)


def _read_only(connection: Connection) -> None:
    """See that a question changes nothing, as far as the database can see to that."""
    name = connection.dialect.name
    if name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
    elif name in ("mysql", "mariadb"):
        connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
    elif name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")


def _limit(connection: Connection, seconds: float) -> None:
    name = connection.dialect.name
    milliseconds = max(1, int(seconds * 1000))
    if name == "mariadb" or getattr(connection.dialect, "is_mariadb", False):
        connection.exec_driver_sql(f"SET SESSION max_statement_time = {max(seconds, 0.001)}")
    elif name == "mysql":
        connection.exec_driver_sql(f"SET SESSION max_execution_time = {milliseconds}")
    elif name == "sqlite":
        end = time.monotonic() + seconds
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: int(time.monotonic() > end), 10_000)
