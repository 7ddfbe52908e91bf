"""Rows into a table of a database: all of them, or none."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from aml_provider.storage.sql import Database

from .errors import CorruptError, TransferError, listed
from .tables_copying import Count
from .tables_files import printable
from .tables_guess import guessed
from .tables_reading import Table
from .tables_swap import Target, check_replaceable, make, make_like, part_of, swap, target_of
from .tables_types import arrow_of, column_of, library, no_place


class Rows(Protocol):
    """Rows that can be read again and again."""

    @property
    def schema(self) -> Any:
        """The columns' types, pyarrow's."""

    def batches(self) -> Iterator[Any]:
        """The rows, as record batches."""


class Write(Enum):
    """What happens to a table that is there."""

    REPLACE = "replace"
    APPEND = "append"
    FAIL = "fail"


@dataclass
class Written:
    """What has been written.

    :param notes: what somebody should know.
    """

    rows: int
    notes: list[str] = field(default_factory=list)


def load(
    database: Database, table: Table, rows: Rows, write: Write, *, texts: bool, count: Count = lambda number: None
) -> Written:
    """Write rows to a table, in one transaction, or to a new one that is renamed when whole: nobody sees some of them.

    A table that is replaced by one with the same columns keeps its columns' types.

    :param texts: the values are texts, whatever they look like.
    :raises TransferError: a value has no place there, or a table is there and ``write`` does not say what to do.
    :raises DatastoreError: the database refuses it, or breaks off.
    """
    names = list(rows.schema.names)
    with database.connected(f"writing table {str(table)!r}", writing=True) as connection:
        target = target_of(connection, table)
        if target.columns is not None and write is Write.FAIL:
            raise TransferError(
                f"nothing was moved: datastore {database.name!r} has a table {str(table)!r} already, and overwrite is "
                "'fail'; remove it, or choose another name or overwrite."
            )
        written = Written(0)
        if target.columns is not None and write is Write.APPEND:
            unknown = [name for name in names if name not in target.columns]
            if unknown:
                raise TransferError(
                    f"table {str(table)!r} has no column {listed(unknown)}; it has {', '.join(target.columns)}."
                )
            written.rows = _insert(target, table, rows, target.columns, count)
        else:
            check_replaceable(target)
            part = part_of(table)
            if target.columns is not None and set(names) == set(target.columns):
                columns = target.columns
                written.notes += make_like(target, part)
            else:
                types = guessed(names, rows.batches()) if texts else {f.name: f.type for f in rows.schema}
                columns = {name: column_of(type, target.dialect, name) for name, type in types.items()}
                make(target, part, columns)
            written.rows = _insert(target, part, rows, columns, count)
            _confirm(target, part, written.rows)
            swap(target, part)
        connection.commit()
        return written


def _confirm(target: Target, part: Table, rows: int) -> None:
    import sqlalchemy as sa

    every = sa.select(sa.func.count()).select_from(sa.table(part.name, schema=part.schema))
    there = target.connection.execute(every).scalar()
    if there != rows:
        raise CorruptError(f"{rows:,} rows were sent to table {str(target.table)!r}, and {there:,} have arrived.")


def _insert(target: Target, into: Table, rows: Rows, columns: dict[str, Any], count: Count) -> int:
    names = list(rows.schema.names)
    wanted = {name: _wanted(columns[name], target.dialect) for name in names}
    batches = (_fitting(batch, wanted) for batch in rows.batches())
    if target.dialect == "postgresql":
        return _copied(target, into, names, batches, count)
    return _inserted(target, into, {name: columns[name] for name in names}, wanted, batches, count)


def _copied(target: Target, into: Table, names: list[str], batches: Iterator[Any], count: Count) -> int:
    from pyarrow import csv

    quote = target.connection.dialect.identifier_preparer.quote_identifier
    statement = f"COPY {target.quoted(into)} ({', '.join(map(quote, names))}) FROM STDIN (FORMAT csv)"
    driver: Any = target.connection.connection.driver_connection
    sent = 0
    with driver.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for batch in batches:
                buffer = io.BytesIO()
                csv.write_csv(printable(batch), buffer, csv.WriteOptions(include_header=False))
                copy.write(buffer.getbuffer())
                sent += batch.num_rows
                count(sent)
        if cursor.rowcount != sent:
            raise CorruptError(f"{sent:,} rows were sent to table {str(into)!r}, and {cursor.rowcount:,} have arrived.")
    return sent


def _inserted(
    target: Target,
    into: Table,
    columns: dict[str, Any],
    wanted: dict[str, Any],
    batches: Iterator[Any],
    count: Count,
) -> int:
    import sqlalchemy as sa

    # What is sent as text is not to be made into anything by SQLAlchemy.
    typed = [sa.column(name, sa.String() if wanted[name] is None else type) for name, type in columns.items()]
    statement = sa.insert(sa.table(into.name, *typed, schema=into.schema))
    # A column's name may be anything; a parameter's may not.
    keys = {name: f"c{number}" for number, name in enumerate(columns)}
    statement = statement.values({name: sa.bindparam(key) for name, key in keys.items()})
    sent = 0
    for batch in batches:
        values = [batch.column(name).to_pylist() for name in columns]
        records = [dict(zip(keys.values(), row, strict=True)) for row in zip(*values, strict=True)]
        if records:
            target.connection.execute(statement, records)
        sent += batch.num_rows
        count(sent)
    return sent


def _wanted(column: Any, dialect: str) -> Any:
    """The type that values are given in; ``None``: as text."""
    pa = library()
    type = arrow_of(column)
    if dialect == "sqlite" and type is not None:
        # Its whole numbers all have 64 bits, and its decimals are what it makes of their text.
        if pa.types.is_integer(type):
            return pa.int64()
        if pa.types.is_decimal(type):
            return None
    return type


def _fitting(batch: Any, wanted: dict[str, Any]) -> Any:
    """The batch in the types that its columns take, if no value becomes another one by that.

    :raises TransferError: one does.
    """
    pa = library()
    plain = printable(batch)
    arrays = []
    for number, name in enumerate(batch.schema.names):
        array, type = batch.column(number), wanted[name]
        try:
            if type is None:
                array = plain.column(number).cast(pa.string())
            elif array.type != type:
                array = _cast(array, type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise no_place(name, error) from error
        arrays.append(array)
    return pa.record_batch(arrays, names=batch.schema.names)


def _cast(array: Any, type: Any) -> Any:
    pa = library()
    if pa.types.is_string(array.type) and pa.types.is_binary(type):
        return pa.array([None if v is None else _bytes(v) for v in array.to_pylist()], type)
    if (
        pa.types.is_timestamp(array.type)
        and pa.types.is_timestamp(type)
        and (array.type.tz is None) != (type.tz is None)
    ):
        mine, theirs = ("a", "none") if type.tz is None else ("no", "one")
        raise ValueError(f"its points in time have {mine} zone, and the table's have {theirs}")
    if pa.types.is_string(array.type) and pa.types.is_time(type):
        return pa.array([None if v is None else _time(v) for v in array.to_pylist()], type)
    if pa.types.is_timestamp(array.type) and pa.types.is_date(type):
        raise ValueError("it has points in time, and the table has days")
    return array.cast(type)


def _time(text: str) -> datetime.time:
    found = datetime.time.fromisoformat(text)
    if found.tzinfo is not None:
        raise ValueError("its times of day have a zone, and the table's have none")
    return found


def _bytes(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise ValueError("its values are to be bytes, written as \\x and hexadecimal digits")
    return bytes.fromhex(text[2:])
