"""Files as frames, a bounded number of rows at a time."""

from __future__ import annotations

import itertools

from .problems import LibraryMissingError, TableError
from .types import complaint, converted, guessed, of_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator, Mapping, Sequence

    from .files import File

#: Columns get their types from the first rows that are read; how many that are does not depend on how many are wanted.
FIRST_ROWS = 10_000
ROWS = 100_000

_ENCODINGS = {
    "utf8": "utf-8-sig",
    "utf8bom": "utf-8-sig",
    "iso88591": "iso8859-1",
    "latin1": "latin-1",
    "ascii": "ascii",
    "utf16": "utf-16",
    "utf32": "utf-32",
    "windows1252": "cp1252",
}


def encoding_of(name: str) -> str:
    """Python's name of an encoding.

    :raises TableError: there is none.
    """
    import codecs

    python = _ENCODINGS.get(name.lower().replace("-", "").replace("_", ""), name)
    try:
        codecs.lookup(python)
    except LookupError:
        raise TableError(f"there is no encoding {name!r}; use one of {', '.join(_ENCODINGS)}") from None
    return python


def needed_library(form: Mapping[str, Any], what: str) -> None:
    """See that what reads a format is there.

    :raises LibraryMissingError: it is not.
    """
    for library in ("pandas", "pyarrow") if form["format"] == "parquet" else ("pandas",):
        try:
            __import__(library)
        except ImportError as error:
            if error.name is not None and error.name.partition(".")[0] != library:
                raise TableError(f"{what} needs {library}, which cannot be imported here: {error}") from error
            raise LibraryMissingError(library, what) from None


class Source:
    """The files of a table, read one after the other.

    :param form: as :class:`aml_provider.spec.tables.TabularFormat` dumps it.
    :param wanted: the columns that anybody will look at, where that is known.
    :param fatal: the types for which a text that is none of its values is an error; else it is a missing value.
    """

    def __init__(self, form: Mapping[str, Any], wanted: Sequence[str] | None, fatal: set[str]) -> None:
        self.form = form
        self.types: dict[str, Mapping[str, Any]] = {name: dict(t) for name, t in form["column_types"].items()}
        self._wanted = wanted
        self._fatal = fatal
        self._header: list[str] | None = None
        self._first = True
        #: Column -> the first complaint about a text in it, and how many there were.
        self.complaints: dict[str, tuple[str, int]] = {}

    def frames(self, file: File) -> Iterator[Any]:
        """The rows of one file. A file without any gives at least one frame, if it has columns.

        :raises TableError: it is not of the format.
        """
        readers: dict[str, Callable[[File, Any], Iterator[Any]]] = {
            "delimited": self._delimited,
            "json_lines": self._json_lines,
            "parquet": self._parquet,
        }
        with file.open() as stream:
            yield from readers[self.form["format"]](file, stream)

    def _rows(self) -> int:
        rows, self._first = (FIRST_ROWS if self._first else ROWS), False
        return rows

    # --- delimited ------------------------------------------------------------------------------------------

    def _delimited(self, file: File, stream: Any) -> Iterator[Any]:
        import pandas as pd
        from pandas.errors import EmptyDataError, ParserError

        header = self.form["header"]
        has_header = header in ("same", "combined") or (header == "first" and self._header is None)
        try:
            names, extra = self._header_of(file) if has_header else ([], [])
            more = {"header": 0, "names": [*names, *extra]} if has_header else {"header": None}
            reader = pd.read_csv(stream_of(file, stream), iterator=True, index_col=False, **self._how(), **more)
        except EmptyDataError:
            return
        except (ParserError, UnicodeError) as error:
            raise self._unreadable(file, error) from None
        if has_header:
            self._check_header(names, file)
        empty = True
        with reader:
            while True:
                try:
                    frame = reader.get_chunk(self._rows())
                except StopIteration:
                    break
                except (ParserError, UnicodeError) as error:
                    raise self._unreadable(file, error) from None
                frame = frame.reset_index(drop=True)
                empty = False
                yield self._typed(self._named(frame, names, extra, file), file)
        if empty and has_header:
            yield self._typed(pd.DataFrame({name: [] for name in names}, dtype=str), file)

    def _how(self) -> dict[str, Any]:
        """How pandas is to read: every field as the text that it is."""
        import re

        separator = self.form["separator"]
        how = {"dtype": str, "keep_default_na": False, "na_filter": False}
        how["encoding"] = encoding_of(self.form["encoding"])
        if len(separator) == 1:
            return {**how, "sep": separator}
        return {**how, "sep": re.escape(separator), "engine": "python"}

    def _header_of(self, file: File) -> tuple[list[str], list[str]]:
        """A file's columns, and names for fields that its lines have beyond those."""
        import pandas as pd

        with file.open() as stream:
            begin = pd.read_csv(stream_of(file, stream), nrows=1, **self._how())
        # Where lines are longer than the header, pandas takes what they begin with for an index.
        extra = 0 if isinstance(begin.index, pd.RangeIndex) or not len(begin) else begin.index.nlevels
        return [str(name) for name in begin.columns], [f"\0{i}" for i in range(extra)]

    def _check_header(self, names: list[str], file: File) -> None:
        if self._header is None:
            self._header = names
        elif self.form["header"] == "same" and set(names) != set(self._header):
            raise TableError(
                f"file {file.path!r} has the columns {names}, and the files before it have {self._header}; pass "
                "header=PromoteHeadersBehavior.COMBINE_ALL_FILES_HEADERS if that is right"
            )

    def _named(self, frame: Any, names: list[str], extra: list[str], file: File) -> Any:
        """The columns under their names. A separator at the end of each line makes no column."""
        if not names:
            names = self._header or [f"Column{i + 1}" for i in range(frame.shape[1])]
            if len(names) != frame.shape[1]:
                raise TableError(
                    f"file {file.path!r} has {frame.shape[1]} columns, and the files before it have {len(names)}"
                )
            frame.columns = self._header = names
        for name in extra:
            if (frame[name].fillna("") != "").any():
                raise TableError(f"file {file.path!r} has lines with more fields than its first line has names")
        return frame.drop(columns=extra) if extra else frame

    def _typed(self, frame: Any, file: File) -> Any:
        """The same rows with types. Those that nobody has set are guessed once, from the first values of a column."""
        for name in frame.columns:
            # A line that is too short has no text there at all.
            texts = frame[name].fillna("") if frame[name].isna().any() else frame[name]
            if name not in self.types:
                kind = guessed(texts) if self.form["infer_types"] else "string"
                if kind is None:
                    frame[name] = texts if self.form["empty_as_string"] else texts.where(texts != "", None)
                    continue
                self.types[name] = {"kind": kind}
            frame[name], wrong = converted(texts, self.types[name], self.form["empty_as_string"])
            if wrong.any():
                self._complain(name, file, texts, wrong)
        return frame

    def _complain(self, name: str, file: File, texts: Any, wrong: Any) -> None:
        said = complaint(name, self.types[name]["kind"], file.path, texts, wrong)
        if self.types[name]["kind"] in self._fatal:
            raise TableError(f"{said}; set its type with set_column_types, or read with on_error='null'")
        first, count = self.complaints.get(name, (said, 0))
        self.complaints[name] = first, count + int(wrong.sum())

    def _unreadable(self, file: File, error: Exception) -> TableError:
        if isinstance(error, UnicodeDecodeError):
            return TableError(
                f"file {file.path!r} is not written in {self.form['encoding']} ({error.reason} at byte {error.start}); "
                "pass its encoding, for example encoding='latin1'"
            )
        if isinstance(error, UnicodeError):
            return TableError(f"file {file.path!r} is not written in {self.form['encoding']}: {error}")
        said = str(error).strip().rstrip(".").replace("Error tokenizing data. C error: ", "")
        return TableError(f"file {file.path!r} cannot be read as delimited text: {said}")

    # --- JSON lines -----------------------------------------------------------------------------------------

    def _json_lines(self, file: File, stream: Any) -> Iterator[Any]:
        import io

        text = io.TextIOWrapper(stream_of(file, stream), encoding=encoding_of(self.form["encoding"]))
        with text:
            lines = enumerate(text, 1)
            while True:
                try:
                    taken = list(itertools.islice(lines, self._rows()))
                except UnicodeError as error:
                    raise self._unreadable(file, error) from None
                if not taken:
                    return
                records = [record for number, line in taken for record in self._record(file, number, line)]
                yield self._of_records(records, file)

    def _record(self, file: File, number: int, line: str) -> list[dict[str, Any]]:
        import json

        if not line.strip():
            return []
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("it is no object")
        except ValueError as error:
            if self.form["invalid_lines"] == "drop":
                return []
            raise TableError(
                f"line {number} of file {file.path!r} is no JSON object ({error}); correct it, or pass "
                "invalid_lines='drop'"
            ) from None
        return [record]

    def _of_records(self, records: list[dict[str, Any]], file: File) -> Any:
        import pandas as pd

        names = list(dict.fromkeys(name for record in records for name in record))
        frame = pd.DataFrame(index=range(len(records)))
        columns = {name: of_values([record.get(name) for record in records]) for name in names}
        self._retype(columns, file)
        return pd.concat(columns, axis=1) if columns else frame

    def _retype(self, columns: Any, file: File) -> None:
        """Give columns that have types already those that were asked for."""
        for name, type in self.types.items():
            if name in columns:
                texts = columns[name].map(lambda value, kind=type["kind"]: _text(value, kind)).astype(str)
                columns[name], wrong = converted(texts, type)
                if wrong.any():
                    self._complain(name, file, texts, wrong)

    # --- Parquet --------------------------------------------------------------------------------------------

    def _parquet(self, file: File, stream: Any) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            parquet = pq.ParquetFile(stream)
            names = parquet.schema_arrow.names
            wanted = None
            # pyarrow takes a dot for a field of a record.
            if self._wanted is not None and set(self._wanted) <= set(names) and not any("." in n for n in self._wanted):
                wanted = [name for name in names if name in self._wanted]
            frame = None
            for batch in parquet.iter_batches(batch_size=ROWS, columns=wanted):
                frame = self._of_batch(pa.Table.from_batches([batch]), file)
                yield frame
            if frame is None:
                empty = parquet.schema_arrow.empty_table()
                yield self._of_batch(empty if wanted is None else empty.select(wanted), file)
        except pa.ArrowInvalid as error:
            raise TableError(
                f"file {file.path!r} is no Parquet file that can be read: {str(error).rstrip('.')}"
            ) from None

    def _of_batch(self, table: Any, file: File) -> Any:
        import pandas as pd
        import pyarrow as pa

        nullable = {
            **{getattr(pa, f"int{n}")(): getattr(pd, f"Int{n}Dtype")() for n in (8, 16, 32, 64)},
            **{getattr(pa, f"uint{n}")(): getattr(pd, f"UInt{n}Dtype")() for n in (8, 16, 32, 64)},
            pa.bool_(): pd.BooleanDtype(),
        }
        frame = table.to_pandas(types_mapper=nullable.get, ignore_metadata=True, date_as_object=False)
        self._retype(frame, file)
        return frame


def _text(value: Any, kind: str) -> str:
    """A value of another type as a delimited file would have it."""
    if value is None or value != value or str(value) in ("NaT", "<NA>"):
        return ""
    return str(int(value)) if kind == "long" and isinstance(value, float) and value.is_integer() else str(value)


def stream_of(file: File, stream: Any) -> Any:
    """What is in a compressed file."""
    opener = {"gz": "gzip", "bz2": "bz2", "xz": "lzma"}.get(file.path.rpartition(".")[2])
    if opener is None:
        return stream
    module = __import__(opener)
    return getattr(module, {"gzip": "GzipFile", "bz2": "BZ2File", "lzma": "LZMAFile"}[opener])(
        **{"fileobj" if opener == "gzip" else "filename": stream}
    )
