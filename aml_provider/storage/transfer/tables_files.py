"""Tables as CSV and Parquet files of this machine."""

from __future__ import annotations

import csv as csv_module
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .errors import TransferError, listed
from .tables_spool import Spool
from .tables_types import library, no_place

_SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
#: Rows that are read at once from Parquet, and about how many bytes a group of rows there has.
_ROWS = 8_192
_GROUP_BYTES = 8 << 20
# pyarrow reads 32 of them ahead. The later one is for files in which a row is longer than that.
_BLOCK_BYTES = (512 << 10, 16 << 20)


def format_of(path: str) -> str | None:
    """``csv`` or ``parquet``, by a file's name; ``None`` for another one."""
    return _SUFFIXES.get(Path(path).suffix.lower())


def write_file(spool: Spool, path: Path, form: str) -> int:
    """Write the rows as a file, and count those that are in it.

    :raises TransferError: a type has no place in such a file.
    """
    if form == "parquet":
        return _write_parquet(spool, path)
    _write_csv(spool, path)
    return sum(batch.num_rows for batch in CsvFile(path).batches())


def _write_parquet(spool: Spool, path: Path) -> int:
    pa = library()
    import pyarrow.parquet as pq

    held: list[Any] = []
    size = 0
    with pq.ParquetWriter(path, spool.schema, compression="zstd") as writer:
        for batch in spool.batches():
            held.append(batch)
            size += batch.nbytes
            if size >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(held))
                held, size = [], 0
        if held:
            writer.write_table(pa.Table.from_batches(held))
    return int(pq.read_metadata(path).num_rows)


def _write_csv(spool: Spool, path: Path) -> None:
    pa = library()
    from pyarrow.csv import CSVWriter

    schema = pa.schema([field.with_type(_printed(field)) for field in spool.schema])
    with CSVWriter(path, schema) as writer:
        for batch in spool.batches():
            writer.write_batch(printable(batch, schema))


def _printed(field: Any) -> Any:
    pa = library()
    return pa.string() if pa.types.is_binary(field.type) or pa.types.is_decimal256(field.type) else field.type


def printable(batch: Any, schema: Any = None) -> Any:
    r"""A batch as delimited text has it. Bytes are ``\x`` and their hexadecimal digits, as in PostgreSQL."""
    pa = library()
    schema = schema or pa.schema([field.with_type(_printed(field)) for field in batch.schema])
    arrays = []
    for array, field in zip(batch.columns, batch.schema, strict=True):
        if pa.types.is_binary(field.type):
            array = pa.array([None if v is None else "\\x" + v.hex() for v in array.to_pylist()], pa.string())
        elif pa.types.is_decimal256(field.type):
            array = pa.array([None if v is None else format(v, "f") for v in array.to_pylist()], pa.string())
        arrays.append(array)
    return pa.record_batch(arrays, schema=schema)


# --- reading ------------------------------------------------------------------------------------------------------


class CsvFile:
    """A CSV file in UTF-8 with a line of names. An empty field is missing; one in quotes, ``""``, is an empty text.

    Its values are texts; see :mod:`.tables_guess` for what else they could be.
    """

    def __init__(self, path: Path, shown: str | None = None) -> None:
        self._path = path
        self._shown = shown or path.name
        self.names = self._names()

    @property
    def schema(self) -> Any:
        """The columns: texts."""
        pa = library()
        return pa.schema([(name, pa.string()) for name in self.names])

    def batches(self) -> Iterator[Any]:
        """The rows."""
        pa = library()
        from pyarrow import csv

        convert = csv.ConvertOptions(
            column_types={name: pa.string() for name in self.names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        # In a file of one column, an empty line is a missing value.
        parse = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=len(self.names) > 1)
        done = 0
        for size in _BLOCK_BYTES:
            skip = done
            try:
                read = csv.ReadOptions(block_size=size, use_threads=False)
                with csv.open_csv(self._path, read, parse, convert) as reader:
                    for batch in reader:
                        new = batch.slice(min(skip, batch.num_rows))
                        skip -= batch.num_rows - new.num_rows
                        done += new.num_rows
                        yield new
                return
            except pa.ArrowInvalid as error:
                if "straddling" not in str(error) or size == _BLOCK_BYTES[-1]:
                    raise self._unreadable(error) from error

    def _names(self) -> list[str]:
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                names = next(csv_module.reader(file), [])
        except (UnicodeError, csv_module.Error) as error:
            raise self._unreadable(error) from error
        if not names:
            raise self._unreadable(ValueError("it is empty"))
        check_names(names, self._shown)
        return names

    def _unreadable(self, error: Exception) -> TransferError:
        said = str(error).strip().splitlines()[0].rstrip(". ")
        if "straddling" in said:
            said = f"a row is longer than {_BLOCK_BYTES[-1] >> 20} MiB"
        return TransferError(f"file {self._shown!r} cannot be read as CSV in UTF-8 with a line of names: {said}.")


class ParquetFile:
    """A Parquet file."""

    def __init__(self, path: Path, shown: str | None = None) -> None:
        pa = library()
        import pyarrow.parquet as pq

        self._path = path
        self._shown = shown or path.name
        try:
            with pq.ParquetFile(path) as file:
                found = file.schema_arrow
        except (pa.ArrowInvalid, OSError) as error:
            raise self._unreadable(error) from error
        self.schema = pa.schema([field.with_type(self._type(field)) for field in found])
        self.names = list(self.schema.names)
        check_names(self.names, self._shown)

    def batches(self) -> Iterator[Any]:
        """The rows."""
        pa = library()
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self._path) as file:
                for batch in file.iter_batches(_ROWS, use_threads=False):
                    yield self._plain(batch)
        except pa.ArrowInvalid as error:
            raise self._unreadable(error) from error

    def _plain(self, batch: Any) -> Any:
        pa = library()
        arrays = []
        for array, field in zip(batch.columns, self.schema, strict=True):
            try:
                arrays.append(array if array.type == field.type else array.cast(field.type))
            except pa.ArrowInvalid as error:
                raise no_place(field.name, error) from error
        return pa.record_batch(arrays, schema=self.schema)

    def _type(self, field: Any) -> Any:
        """The type that databases have for it; without loss, or reading fails."""
        pa = library()
        type, kinds = field.type, pa.types
        if kinds.is_dictionary(type):
            type = type.value_type
        if kinds.is_timestamp(type):
            return pa.timestamp("us", "UTC" if type.tz is not None else None)
        if kinds.is_time(type):
            return pa.time64("us")
        if kinds.is_date(type):
            return pa.date32()
        if kinds.is_float16(type):
            return pa.float32()
        if kinds.is_large_string(type) or type == pa.string_view():
            return pa.string()
        if kinds.is_large_binary(type) or kinds.is_fixed_size_binary(type) or type == pa.binary_view():
            return pa.binary()
        if kinds.is_nested(type) or kinds.is_duration(type) or kinds.is_interval(type):
            raise no_place(field.name, f"it has the type {type}, for which databases have none")
        return type

    def _unreadable(self, error: Exception) -> TransferError:
        said = str(error).strip().splitlines()[0].rstrip(". ")
        return TransferError(f"file {self._shown!r} is no Parquet file that can be read: {said}.")


class Files:
    """Files with the same columns, one after the other."""

    def __init__(self, files: Sequence[CsvFile | ParquetFile], shown: Sequence[str]) -> None:
        self.parts = list(files)
        self.names = self.parts[0].names
        self.schema = self.parts[0].schema
        for part, name in zip(self.parts, shown, strict=True):
            if part.schema != self.schema:
                raise TransferError(
                    f"the files do not have the same columns: {name!r} differs from {shown[0]!r}; move them one by one."
                )

    @property
    def are_texts(self) -> bool:
        """Whether only texts are known of their values."""
        return isinstance(self.parts[0], CsvFile)

    def batches(self) -> Iterator[Any]:
        """The rows of all."""
        for part in self.parts:
            yield from part.batches()


def files_of(paths: Sequence[Path], shown: Sequence[str]) -> Files:
    """The files at these paths, all of one format.

    :param shown: what messages call them.
    :raises TransferError: they are not.
    """
    forms = {format_of(name): name for name in reversed(shown)}
    if len(forms) != 1 or None in forms:
        others = [name for name in shown if format_of(name) is None] or sorted(forms.values())
        raise TransferError(
            "only files that end in .csv, or only files that end in .parquet, make a table; there "
            f"{'is' if len(others) == 1 else 'are'} {listed(others)}."
        )
    made: type[CsvFile] | type[ParquetFile] = CsvFile if "csv" in forms else ParquetFile
    return Files([made(path, name) for path, name in zip(paths, shown, strict=True)], shown)


def check_names(names: Sequence[str], shown: str) -> None:
    """See that columns can be told apart.

    :raises TransferError: they cannot.
    """
    double = next((name for name in names if list(names).count(name) > 1), None)
    if double is not None:
        raise TransferError(f"file {shown!r} has more than one column called {double!r}; rename one.")
    if any(not name.strip() for name in names):
        raise TransferError(f"file {shown!r} has a column without a name; give it one.")
