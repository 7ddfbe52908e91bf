"""Rows on their way, in a file of this machine: so that their types are known before the first of them is written."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import TransferError
from .tables_types import DIGITS, library, no_place

_WORDS = {
    "str": "texts",
    "bytes": "bytes",
    "int": "whole numbers",
    "float": "numbers",
    "Decimal": "decimal numbers",
    "bool": "truth values",
    "date": "days",
    "datetime": "points in time",
}
_TOGETHER: tuple[set[type], ...] = ({int, float}, {int, decimal.Decimal})


class Spool:
    """Rows with columns of one type each, which is widened when a later row needs it.

    :param names: the columns.
    :param known: types of columns where those are known: of columns without a value.
    """

    def __init__(self, path: Path, names: Sequence[str], known: Sequence[Any]) -> None:
        pa = library()
        doubles = sorted({name for name in names if list(names).count(name) > 1})
        if doubles:
            raise TransferError(
                f"the query has more than one column called {doubles[0]!r}; give each a name of its own (AS ...)."
            )
        self._path = path
        self._names = list(names)
        self._known = list(known)
        self._settled: dict[str, Any] = {}
        self._schema = pa.schema([(name, pa.null()) for name in names])
        self._file = path.open("wb")
        self._writer: Any = None
        self.rows = 0

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Take more rows.

        :raises TransferError: a value does not fit to those before it in its column.
        """
        pa = library()
        if not rows:
            return
        arrays = [column(name, values) for name, values in zip(self._names, zip(*rows, strict=True), strict=True)]
        self.add_batch(pa.record_batch(arrays, names=self._names))

    def add_batch(self, batch: Any) -> None:
        """Take more rows, as a record batch."""
        pa = library()
        schema = self._schema if batch.schema == self._schema else _widened(self._schema, batch.schema)
        if self._writer is None or schema != self._schema:
            if self._writer is not None:
                self._writer.close()
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writer = pa.ipc.new_stream(self._file, schema, options=options)
            self._schema = schema
        self._writer.write_batch(_as(batch, schema))
        self.rows += batch.num_rows

    def settle(self, types: Mapping[str, Any]) -> None:
        """Give columns these types, which are known only now."""
        self._settled = dict(types)

    def close(self) -> None:
        """No more rows will come."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._file.close()

    @property
    def schema(self) -> Any:
        """The columns' types, pyarrow's."""
        pa = library()
        fields = []
        for field, known in zip(self._schema, self._known, strict=True):
            type = (known or pa.string()) if pa.types.is_null(field.type) else field.type
            fields.append(field.with_type(self._settled.get(field.name, type)))
        return pa.schema(fields)

    def batches(self) -> Iterator[Any]:
        """The rows, as record batches of :attr:`schema`."""
        pa = library()
        schema = self.schema
        left = self.rows
        with self._path.open("rb") as file:
            while left:
                # Behind one stream, the next begins: with wider types.
                for batch in pa.ipc.open_stream(file):
                    left -= batch.num_rows
                    yield _as(batch, schema)


def column(name: str, values: Sequence[Any]) -> Any:
    """Values that a driver gives as a pyarrow array.

    :raises TransferError: they are of more than one kind, or there is no type for them.
    """
    pa = library()
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) > 1 and kinds not in _TOGETHER:
        kinds = {bytes if kind in (bytearray, memoryview) else kind for kind in kinds}
        if len(kinds) > 1:
            said = " and ".join(sorted(_WORDS.get(kind.__name__, kind.__name__) for kind in kinds))
            raise no_place(name, f"it has {said}, which no file can keep in one column")
    kind = next(iter(kinds), None)
    if kind in (memoryview, bytearray):
        values = [None if value is None else bytes(value) for value in values]
    elif kind in (dict, list):
        values = [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values]
    elif kind is not None and issubclass(kind, datetime.datetime):
        return _times(name, values)
    elif kind is datetime.time and any(value is not None and value.tzinfo is not None for value in values):
        raise no_place(name, "it has times of day with a zone, which no file can keep")
    elif kind is datetime.timedelta:
        raise no_place(name, "it has lengths of time, which no file can keep")
    elif kind is uuid.UUID or (kind is not None and kind.__module__ in ("ipaddress", "psycopg.types.range")):
        values = [None if value is None else str(value) for value in values]
    elif kinds == {int, decimal.Decimal}:
        values = [decimal.Decimal(value) if isinstance(value, int) else value for value in values]
    try:
        return pa.array(values)
    except OverflowError:
        return _large(name, values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeError) as error:
        if decimal.Decimal in kinds:
            raise no_place(
                name, f"it has a decimal number that is not finite, or has more than {DIGITS} digits"
            ) from error
        raise no_place(name, error) from error


def _times(name: str, values: Sequence[Any]) -> Any:
    pa = library()
    zones = {value.tzinfo is not None for value in values if value is not None}
    if len(zones) > 1:
        raise no_place(name, "it has points in time with and without a zone")
    # All of them in UTC: a column of a file has one zone.
    return pa.array(values, pa.timestamp("us", "UTC") if zones == {True} else pa.timestamp("us"))


def _large(name: str, values: Sequence[Any]) -> Any:
    """Whole numbers beyond 64 bits, which decimals can hold."""
    pa = library()
    try:
        return pa.array([None if value is None else decimal.Decimal(value) for value in values])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise no_place(name, f"it has whole numbers of more than {DIGITS} digits") from error


def _widened(one: Any, other: Any) -> Any:
    """Types for the values of both.

    :raises TransferError: there is none for a column.
    """
    pa = library()
    try:
        return pa.unify_schemas([one, other], promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        for mine, theirs in zip(one, other, strict=True):
            try:
                pa.unify_schemas([pa.schema([mine]), pa.schema([theirs])], promote_options="permissive")
            except (pa.ArrowTypeError, pa.ArrowInvalid):
                raise no_place(
                    mine.name, f"it has values of the types {mine.type} and {theirs.type}, which no file can keep"
                ) from error
        raise


def _as(batch: Any, schema: Any) -> Any:
    """The batch with other types, if no value becomes another one by that."""
    pa = library()
    if batch.schema == schema:
        return batch
    arrays = []
    for array, field in zip(batch.columns, schema, strict=True):
        try:
            arrays.append(array.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise no_place(field.name, error) from error
    return pa.record_batch(arrays, schema=schema)
