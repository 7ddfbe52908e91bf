"""v1's methods that make a dataset of a dataset. Nothing is read: each notes what is to be done when somebody reads."""

from __future__ import annotations

from datetime import datetime, timedelta

from .expressions import Expression, node_of
from .partitions import PartitionFormat
from .problems import TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping, TypeVar

    V = TypeVar("V", bound="type[Verbs]")


def complaining(error: type[Exception]) -> Callable[[V], V]:
    """Have a class of datasets raise ``error`` for what is wrong, with the dataset named in front of it."""

    def wrapped(function: Any) -> Any:
        import functools

        @functools.wraps(function)
        def call(self: Any, *arguments: Any, **named: Any) -> Any:
            try:
                return function(self, *arguments, **named)
            except TableError as problem:
                raise error(f"{self!r}: {problem}.") from None

        return call

    def change(cls: V) -> V:
        function_type = type(complaining)
        for base in (TableVerbs, FileVerbs, Verbs):
            for name, function in vars(base).items() if issubclass(cls, base) else ():
                public = name in ("__getitem__", "__iter__") or not name.startswith("_")
                if isinstance(function, function_type) and public and name not in cls.__dict__:
                    setattr(cls, name, wrapped(function))
        cls.expressions = type("Expression", (Expression,), {"error": error})
        return cls

    return change


class Verbs:
    """What datasets of files and tables share."""

    expressions: type[Expression] = Expression

    def _then(self, operation: dict[str, Any]) -> Any:
        """The same dataset with one operation more."""
        raise NotImplementedError

    def skip(self, count: int) -> Any:
        """All but the first ``count`` rows or files."""
        return self._then({"op": "skip", "count": _count("skip", count)})

    def take(self, count: int) -> Any:
        """The first ``count`` rows or files."""
        return self._then({"op": "take", "count": _count("take", count)})

    def take_sample(self, probability: float, seed: int | None = None) -> Any:
        """Each row or file with this probability.

        :param seed: another one gives another sample; without one it is always the same sample.
        """
        share = _share("take_sample", "probability", probability)
        return self._then({"op": "sample", "probability": share, "seed": _seed("take_sample", seed)})

    def random_split(self, percentage: float, seed: int | None = None) -> tuple[Any, Any]:
        """Two datasets that have every row or file once, decided by chance; the first has about ``percentage`` of them.

        :param percentage: between 0.0 and 1.0.
        :param seed: another one gives another split; without one it is always the same.
        """
        share, number = _share("random_split", "percentage", percentage), _seed("random_split", seed)
        first, second = (
            self._then({"op": "split", "fraction": share, "seed": number, "part": part}) for part in ("first", "second")
        )
        return first, second

    def filter(self, expression: Any) -> Any:
        """The rows or files for which an expression is true.

        :param expression: made of ``dataset['column']`` and, of files, ``dataset.file_metadata('Size')``.
        """
        if not isinstance(expression, Expression):
            raise TableError(
                f"filter takes an expression like dataset['column'] > 3, not {expression!r}; combine several with & "
                "and |, each in parentheses"
            )
        return self._then({"op": "filter", "where": expression.node})

    def __getitem__(self, name: Any) -> Expression:
        """A column, to be used in an expression."""
        return self.expressions.column(name)

    def __iter__(self) -> Any:
        raise TableError("a dataset has no rows to go through; to_pandas_dataframe() or to_path() reads it")


class FileVerbs(Verbs):
    """What datasets of files have besides."""

    def file_metadata(self, col: str) -> Expression:
        """A fact about a file, for :meth:`filter`: ``Size``, ``LastModifiedTime`` or ``Extension``."""
        return self.expressions.metadata(col)


class TableVerbs(Verbs):
    """What tables have besides."""

    def _format(self) -> Mapping[str, Any]:
        """What :class:`aml_provider.spec.tables.TabularFormat` dumps."""
        raise NotImplementedError

    def _with_format(self, **changes: Any) -> Any:
        """The same table with other settings."""
        raise NotImplementedError

    def _try(self) -> Any:
        """Read a row, if this is the time for it, to see whether that works: a frame of it, or ``None``."""
        return None

    def _as_files(self, operation: dict[str, Any]) -> Any:
        """The table as a dataset of files."""
        raise NotImplementedError

    @property
    def timestamp_columns(self) -> tuple[str | None, str | None]:
        """The columns that :meth:`with_timestamp_columns` has named."""
        form = self._format()
        return form["timestamp"], form["partition_timestamp"]

    def keep_columns(self, columns: Any, validate: bool = False) -> Any:
        """Only these columns, in this order."""
        made = self._then({"op": "keep", "columns": _names("keep_columns", columns)})
        form, kept = self._format(), _names("keep_columns", columns)
        gone = {k: None for k in ("timestamp", "partition_timestamp") if form[k] is not None and form[k] not in kept}
        made = made._with_format(**gone) if gone else made
        if validate:
            made._try()
        return made

    def drop_columns(self, columns: Any) -> Any:
        """All columns but these."""
        names, form = _names("drop_columns", columns), self._format()
        made = self._then({"op": "drop", "columns": names})
        gone = {k: None for k in ("timestamp", "partition_timestamp") if form[k] in names}
        return made._with_format(**gone) if gone else made

    def with_timestamp_columns(
        self,
        timestamp: str | None = None,
        partition_timestamp: str | None = None,
        validate: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Say which column tells when a row happened.

        :param partition_timestamp: a key of the partition format that tells it less exactly; files that it rules out
            are not read.
        :param validate: read a row, and see that these are columns of points in time.
        """
        # The names of the SDK's first releases.
        timestamp = kwargs.pop("fine_grain_timestamp", timestamp)
        partition_timestamp = kwargs.pop("coarse_grain_timestamp", partition_timestamp)
        if kwargs:
            raise TypeError(f"with_timestamp_columns() got an unexpected keyword argument {sorted(kwargs)[0]!r}")
        if partition_timestamp is not None and timestamp == partition_timestamp:
            raise TableError(f"with_timestamp_columns: {timestamp!r} is named as both columns")
        made = self._with_format(timestamp=timestamp, partition_timestamp=partition_timestamp)
        if validate:
            _check_times(made._try(), [name for name in (timestamp, partition_timestamp) if name is not None])
        return made

    def time_before(self, end_time: datetime, include_boundary: bool = True, validate: bool = True) -> Any:
        """The rows before a point in time."""
        return self._between("time_before", None, end_time, include_boundary)

    def time_after(self, start_time: datetime, include_boundary: bool = True, validate: bool = True) -> Any:
        """The rows after a point in time."""
        return self._between("time_after", start_time, None, include_boundary)

    def time_between(
        self, start_time: datetime, end_time: datetime, include_boundary: bool = True, validate: bool = True
    ) -> Any:
        """The rows between two points in time."""
        return self._between("time_between", start_time, end_time, include_boundary)

    def time_recent(self, time_delta: timedelta, include_boundary: bool = True, validate: bool = True) -> Any:
        """The rows of the last ``time_delta`` before they are read (not: before this call). Data is in UTC."""
        if not isinstance(time_delta, timedelta):
            raise TableError(f"time_recent takes a timedelta, not {time_delta!r}")
        fine, coarse = self._timestamps("time_recent")
        seconds = time_delta.total_seconds()
        return self._then({"op": "recent", "column": fine or coarse, "seconds": seconds, "inclusive": include_boundary})

    def to_csv_files(self, separator: str = ",") -> Any:
        """The table as a dataset of delimited files, which are written when somebody reads them."""
        if not isinstance(separator, str) or len(separator) != 1:
            raise TableError(f"to_csv_files: the separator is one character, not {separator!r}")
        return self._as_files({"op": "to_files", "format": "csv", "separator": separator})

    def to_parquet_files(self) -> Any:
        """The table as a dataset of Parquet files, which are written when somebody reads them."""
        return self._as_files({"op": "to_files", "format": "parquet", "separator": ","})

    def _timestamps(self, what: str) -> tuple[str | None, str | None]:
        fine, coarse = self.timestamp_columns
        if fine is None and coarse is None:
            raise TableError(
                f"{what}: nobody has said which column tells the time; call with_timestamp_columns(timestamp='column') "
                "first"
            )
        return fine, coarse

    def _between(self, what: str, start: Any, end: Any, inclusive: bool) -> Any:
        fine, coarse = self._timestamps(what)
        start, end = _moment(what, start), _moment(what, end)
        column = Expression.column(fine or coarse)
        conditions = []
        if start is not None:
            conditions.append(column >= start if inclusive else column > start)
        if end is not None:
            conditions.append(column <= end if inclusive else column < end)
        text = self._format()["partition_format"]
        partition = None if text is None or fine is None else PartitionFormat(text)
        if partition is not None and coarse in partition.keys:
            # What happened on a day is in that day's files.
            day = Expression.column(coarse)
            if start is not None:
                conditions.append(day >= partition.floored(str(coarse), start))
            if end is not None:
                conditions.append(day <= end)
        whole = conditions[0]
        for condition in conditions[1:]:
            whole = whole & condition
        return self.filter(whole)


def _check_times(frame: Any, names: list[str]) -> None:
    if frame is None:
        return
    for name in names:
        if name not in frame.columns:
            raise TableError(f"with_timestamp_columns: there is no column {name!r}; there is {list(frame.columns)}")
        if getattr(frame[name].dtype, "kind", "") != "M":
            raise TableError(
                f"with_timestamp_columns: column {name!r} does not hold points in time; set its type with "
                f"set_column_types={{{name!r}: DataType.to_datetime()}}"
            )


def _count(what: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TableError(f"{what}: count is a whole number from 0 on, not {value!r}")
    return value


def _share(what: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise TableError(f"{what}: {name} is a number from 0.0 to 1.0, not {value!r}")
    return float(value)


def _seed(what: str, value: Any) -> int:
    # Always the same without a seed: two parts of a split are then two parts of one split, wherever they are read.
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise TableError(f"{what}: seed is a whole number, not {value!r}")
    return value


def _names(what: str, columns: Any) -> list[str]:
    names = [columns] if isinstance(columns, str) else list(columns) if isinstance(columns, (list, tuple, set)) else []
    if not names or not all(isinstance(name, str) and name for name in names):
        raise TableError(f"{what}: columns is a column's name or a list of names, not {columns!r}")
    return sorted(names) if isinstance(columns, set) else list(dict.fromkeys(names))


def _moment(what: str, value: Any) -> datetime | None:
    if value is None:
        return None
    node = node_of(value)
    if node.get("type") == "datetime":
        return datetime.fromisoformat(node["value"])
    if isinstance(value, str):
        from .scalars import moment

        return moment(value)
    raise TableError(f"{what} takes a datetime, not {value!r}")
