"""Rows out of PostgreSQL by its COPY, many times as fast as one by one."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import TransferError
from .tables_guess import Guess
from .tables_spool import Spool
from .tables_types import DIGITS, arrow_decimal, arrow_described, library, no_place

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_NUMERIC = 1700
_BYTES = 17
_BATCH_BYTES = 2 << 20
# How pyarrow says where a text is that is no value; columns are counted from 0.
_IN_COLUMN = re.compile(r"In CSV column #(\d+): (?:Row #\d+: )?(?:CSV conversion error to [^:]+: )?(.+)")
#: Told how many rows there are by now.
Count = Callable[[int], None]


def copied(connection: Connection, query: str, path: Path, timeout_seconds: float | None, count: Count) -> Spool:
    """The answer to a query, in a file at ``path``.

    :param timeout_seconds: how long it may take until there are rows.
    :raises TransferError: a file cannot keep a value.
    """
    # Texts of values then are those that pyarrow reads.
    for setting in ("DateStyle = 'ISO'", "TimeZone = 'UTC'", "bytea_output = 'hex'", "extra_float_digits = 1"):
        connection.exec_driver_sql(f"SET LOCAL {setting}")
    driver: Any = connection.connection.driver_connection
    with _limited(driver, timeout_seconds) as arrived:
        with driver.cursor() as cursor:
            # The query is the author's own; the transaction is one that only reads.
            cursor.execute(f"SELECT * FROM (\n{query}\n) AS answer LIMIT 0")  # noqa: S608
            columns = _Columns(cursor.description)
        spool = Spool(path, columns.names, columns.known)
        with (
            closing(spool),
            driver.cursor() as cursor,
            cursor.copy(f"COPY (\n{query}\n) TO STDOUT (FORMAT csv)") as copy,
        ):
            for batch in columns.batches(_heard(copy, arrived)):
                spool.add_batch(columns.seen(batch))
                count(spool.rows)
    spool.settle(columns.settled())
    return spool


class _Columns:
    """The columns of an answer, and how their texts are read."""

    def __init__(self, description: Sequence[Any]) -> None:
        pa = library()
        self.names = [str(column.name) for column in description]
        self.known: list[Any] = []
        self._bytes = {name for name, column in zip(self.names, description, strict=True) if column.type_code == _BYTES}
        self._open: dict[str, Guess] = {}
        for name, column in zip(self.names, description, strict=True):
            type = arrow_described(column.type_code)
            if column.type_code == _NUMERIC:
                digits, scale = column.precision, column.scale
                # A scale may also be negative, or beyond the precision.
                if digits and 0 <= (scale or 0) <= digits <= DIGITS:
                    type = arrow_decimal(digits, scale or 0)
                else:
                    self._open[name] = Guess()
            self.known.append(type or pa.string())

    def batches(self, rows: Iterable[Any]) -> Iterator[Any]:
        """Rows that are text, as record batches."""
        held: list[bytes] = []
        size = 0
        for row in rows:
            held.append(bytes(row))
            size += len(row)
            if size >= _BATCH_BYTES:
                yield from self._parsed(b"".join(held))
                held, size = [], 0
        if held:
            yield from self._parsed(b"".join(held))

    def _parsed(self, text: bytes) -> list[Any]:
        pa = library()
        from pyarrow import csv

        types = {
            name: pa.string() if name in self._bytes else type
            for name, type in zip(self.names, self.known, strict=True)
        }
        convert = csv.ConvertOptions(
            column_types=types,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        # One column's missing value is an empty line.
        parse = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
        # All of it is one block: a row may be as long as it likes.
        read = csv.ReadOptions(column_names=self.names, block_size=len(text) + 1, use_threads=False)
        try:
            made: list[Any] = csv.read_csv(pa.BufferReader(text), read, parse, convert).to_batches()
        except pa.ArrowInvalid as error:
            said = str(error).strip().splitlines()[0].rstrip(". ")
            if found := _IN_COLUMN.match(said):
                # Such as NaN among decimals, or an infinite day.
                raise no_place(self.names[int(found[1])], f"no file can keep one of its values: {found[2]}") from error
            raise TransferError(
                f"a value cannot be kept in a file: {said}; make another type of it, in a query."
            ) from error
        return made

    def seen(self, batch: Any) -> Any:
        """The batch in the types of its columns."""
        pa = library()
        for name, guess in self._open.items():
            guess.look(batch.column(name))
        arrays = batch.columns
        for name in self._bytes:
            number = self.names.index(name)
            texts = arrays[number].to_pylist()
            arrays[number] = pa.array([None if t is None else bytes.fromhex(t[2:]) for t in texts], pa.binary())
        return pa.record_batch(arrays, names=self.names) if self._bytes else batch

    def settled(self) -> dict[str, Any]:
        """The types of decimals, of which their values tell how many digits there are."""
        found = {}
        for name, guess in self._open.items():
            type = guess.decimal
            if type is None:
                raise no_place(name, f"it has a decimal number that is not finite, or has more than {DIGITS} digits")
            found[name] = type
        return found


def _heard(rows: Iterable[Any], arrived: Callable[[], None]) -> Iterator[Any]:
    """The same rows; the first of them, or their end, is told."""
    for row in rows:
        arrived()
        yield row
    arrived()


@contextmanager
def _limited(driver: Any, seconds: float | None) -> Iterator[Callable[[], None]]:
    """Cancel what the database does after some time, unless something has arrived by then."""
    if not seconds or seconds <= 0:
        yield lambda: None
        return
    timer = threading.Timer(seconds, driver.cancel)
    timer.daemon = True
    timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()
