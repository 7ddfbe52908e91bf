"""The types of columns, in databases and in files. No value becomes another one on its way, or it is refused."""

from __future__ import annotations

from typing import Any

from .errors import TransferError

#: Digits that a Parquet decimal can have.
DIGITS = 76
_SMALL_DIGITS = 38


def arrow_decimal(digits: int, scale: int) -> Any:
    """Pyarrow's type of decimals with so many digits, of which ``scale`` are behind the point."""
    pa = library()
    return (pa.decimal128 if digits <= _SMALL_DIGITS else pa.decimal256)(digits, scale)


# The numbers of PostgreSQL's types, for columns of a query in which no value says what it is.
_POSTGRES = {
    16: "bool",
    17: "binary",
    20: "int64",
    21: "int16",
    23: "int32",
    26: "int64",
    700: "float32",
    701: "float64",
    1082: "date",
    1083: "time",
    1114: "timestamp",
    1184: "timestamptz",
}


def library() -> Any:
    """pyarrow, which reads and writes tables.

    :raises TransferError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise TransferError(
            "moving tables needs pyarrow, which is not installed here; run: pip install 'airflow-provider-aml[tabular]'"
        ) from None
    return pyarrow


def arrow_named(name: str) -> Any:
    """Pyarrow's type for one of our short names."""
    pa = library()
    made = {
        "bool": pa.bool_(),
        "binary": pa.binary(),
        "int16": pa.int16(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "date": pa.date32(),
        "time": pa.time64("us"),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", "UTC"),
    }
    return made[name]


def arrow_described(code: Any) -> Any:
    """Pyarrow's type for a type number of PostgreSQL; ``None``: nobody knows."""
    name = _POSTGRES.get(code) if isinstance(code, int) else None
    return None if name is None else arrow_named(name)


def arrow_of(column: Any) -> Any:
    """Pyarrow's type for the values that a database column takes.

    :param column: SQLAlchemy's type of it.
    :return: ``None``: the database reads it from text, and says what is wrong with it.
    """
    import sqlalchemy as sa

    pa = library()
    # The order counts: some of these are kinds of others.
    if isinstance(column, sa.Boolean):
        return pa.bool_()
    if isinstance(column, sa.SmallInteger):
        return pa.int16()
    if isinstance(column, sa.BigInteger):
        return pa.int64()
    if isinstance(column, sa.Integer):
        return pa.int64() if type(column).__name__ in ("MEDIUMINT", "TINYINT") else pa.int32()
    if isinstance(column, sa.Float):
        return pa.float64()
    if isinstance(column, sa.Numeric):
        if column.precision is None or column.scale is None or column.precision > DIGITS:
            return None
        return arrow_decimal(column.precision, column.scale)
    if isinstance(column, sa.DateTime):
        return pa.timestamp("us", "UTC") if getattr(column, "timezone", False) else pa.timestamp("us")
    if isinstance(column, sa.Date):
        return pa.date32()
    if isinstance(column, sa.Time):
        return None if getattr(column, "timezone", False) else pa.time64("us")
    if isinstance(column, sa.LargeBinary):
        return pa.binary()
    return None


def column_of(type: Any, dialect: str, name: str) -> Any:
    """SQLAlchemy's type of a new column.

    :param type: pyarrow's type of its values, :param dialect: SQLAlchemy's name of the database's kind.
    :raises TransferError: there is none.
    """
    import sqlalchemy as sa
    from sqlalchemy.dialects.mysql import DATETIME, DOUBLE, LONGBLOB, LONGTEXT
    from sqlalchemy.dialects.mysql import TIME as MYSQL_TIME

    pa = library()
    kinds = pa.types
    text = sa.Text().with_variant(LONGTEXT(), "mysql", "mariadb")
    if kinds.is_boolean(type):
        return sa.Boolean()
    if kinds.is_integer(type):
        if kinds.is_uint64(type):
            return text if dialect == "sqlite" else sa.Numeric(20, 0)
        return sa.BigInteger() if type.bit_width > 32 or kinds.is_uint32(type) else sa.Integer()
    if kinds.is_float32(type):
        return sa.REAL()
    if kinds.is_floating(type):
        return sa.Double().with_variant(DOUBLE(), "mysql", "mariadb")
    if kinds.is_decimal(type):
        # SQLite would make a floating point number of it.
        return text if dialect == "sqlite" else sa.Numeric(type.precision, type.scale)
    if kinds.is_date(type):
        return sa.Date()
    if kinds.is_timestamp(type):
        if type.tz is None:
            return sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
        # Elsewhere there are no points in time with a zone: as text, it is kept.
        return sa.DateTime(timezone=True) if dialect in ("postgresql", "mssql") else text
    if kinds.is_time(type):
        return sa.Time().with_variant(MYSQL_TIME(fsp=6), "mysql", "mariadb")
    if kinds.is_string(type) or kinds.is_large_string(type) or kinds.is_null(type):
        return text
    if kinds.is_binary(type) or kinds.is_large_binary(type) or kinds.is_fixed_size_binary(type):
        return sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")
    raise TransferError(
        f"column {name!r} has the type {type}, for which databases have none; leave it out, or make text of it."
    )


def no_place(name: str, what: object) -> TransferError:
    """The sentence for values that their column cannot have."""
    said = str(what).strip().splitlines()[0].rstrip(". ") if str(what).strip() else type(what).__name__
    return TransferError(f"column {name!r}: {said}; make another type of it, in the query or in the file.")
