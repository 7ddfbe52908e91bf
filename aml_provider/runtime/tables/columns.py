"""Expressions about the rows of a table, evaluated on a pandas frame, many rows at once."""

from __future__ import annotations

from .problems import TableError
from .scalars import COMPARE, COMPUTE, kind_of, moment, refuse, value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .expressions import Node

_INFERRED = {
    "string": "text",
    "empty": "empty",
    "boolean": "truth",
    "datetime": "time",
    "datetime64": "time",
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "decimal": "number",
    "date": "time",
}


def rows_where(node: Node, frame: Any) -> Any:
    """Which rows an expression is true for, as an array of bool.

    :raises TableError: there is no such column, or the values do not fit each other.
    """
    import numpy as np

    found = evaluate(node, frame)
    if not hasattr(found, "dtype"):
        if kind_of(found) not in ("truth", "empty"):
            raise TableError("filter needs a condition, which is true or false for each row")
        return np.full(len(frame), bool(found))
    if _kind(found) not in ("truth", "empty"):
        raise TableError("filter needs a condition, which is true or false for each row")
    return _truth(found).to_numpy(dtype=bool)


def evaluate(node: Node, frame: Any) -> Any:
    """The values of an expression: a column, or one value for all rows."""
    kind = node["kind"]
    if kind == "value":
        return value_of(node)
    if kind == "metadata":
        raise TableError("file_metadata is for datasets of files; a table has columns")
    if kind == "column":
        return column(frame, node["name"])
    values = [evaluate(argument, frame) for argument in node["arguments"]]
    function = node["function"]
    if function == "is_null":
        return values[0].isna() if hasattr(values[0], "isna") else values[0] is None
    if function in ("and", "or", "not"):
        return _logic(function, values)
    if function in COMPARE:
        return _compared(function, *values)
    if function in COMPUTE:
        return _computed(function, *values)
    return _text(function, *values)


def column(frame: Any, name: str) -> Any:
    """A column.

    :raises TableError: there is none of that name.
    """
    if name not in frame.columns:
        known = ", ".join(repr(c) for c in list(frame.columns)[:50]) or "none"
        raise TableError(f"there is no column {name!r}; there is {known}")
    return frame[name]


def _kind(values: Any) -> str:
    """The kind of a column's values, or of a single value."""
    if not hasattr(values, "dtype"):
        return kind_of(values)
    from pandas.api import types

    dtype = values.dtype
    if types.is_bool_dtype(dtype):
        return "truth"
    if types.is_numeric_dtype(dtype):
        return "number"
    if types.is_datetime64_any_dtype(dtype):
        return "time"
    return _INFERRED.get(types.infer_dtype(values, skipna=True), "mixture")


def _truth(values: Any) -> Any:
    """A column of conditions in which a missing value is false."""
    if values.dtype == bool:
        return values
    return values.astype("boolean").fillna(False).astype(bool)


def _logic(function: str, values: list[Any]) -> Any:
    parts = []
    for value in values:
        if _kind(value) not in ("truth", "empty"):
            raise refuse(function, _kind(value))
        parts.append(_truth(value) if hasattr(value, "dtype") else bool(value))
    if function == "not":
        return ~parts[0] if hasattr(parts[0], "dtype") else not parts[0]
    return parts[0] & parts[1] if function == "and" else parts[0] | parts[1]


def _compared(function: str, left: Any, right: Any) -> Any:
    """As in pandas, a comparison with a missing value is false, and ``!=`` is true."""
    kinds = _kind(left), _kind(right)
    if kinds[0] == "time" or kinds[1] == "time":
        left, right = _times(left, kinds[0]), _times(right, kinds[1])
        kinds = _kind(left), _kind(right)
    if "empty" not in kinds and (kinds[0] != kinds[1] or "mixture" in kinds):
        raise refuse(function, *kinds)
    unknown = _missing(left) | _missing(right)
    if "empty" in kinds:
        # Nothing to compare with: the dtype of a column without a value says nothing.
        return _like(left, right) if function == "ne" else ~_like(left, right)
    found = COMPARE[function](left, right)
    if not hasattr(found, "dtype"):
        return found
    found = found.astype("boolean").fillna(False).astype(bool)
    return found | unknown if function == "ne" else found & ~unknown


def _like(left: Any, right: Any) -> Any:
    """True for every row."""
    import pandas as pd

    values = left if hasattr(left, "dtype") else right
    return pd.Series(True, index=values.index) if hasattr(values, "dtype") else True


def _missing(values: Any) -> Any:
    return values.isna() if hasattr(values, "isna") else values is None


def _times(values: Any, kind: str) -> Any:
    """Points in time in UTC without a zone, whatever they were written as."""
    import pandas as pd

    if not hasattr(values, "dtype"):
        return pd.Timestamp(moment(values)) if kind == "text" else None if values is None else pd.Timestamp(values)
    if kind != "time":
        return values
    if values.dtype == object:
        values = pd.to_datetime(values, errors="coerce", utc=True)
    return values.dt.tz_convert("UTC").dt.tz_localize(None) if getattr(values.dt, "tz", None) is not None else values


def _computed(function: str, left: Any, right: Any) -> Any:
    kinds = {_kind(left), _kind(right)} - {"empty"}
    if kinds - {"number"} and (kinds != {"text"} or function != "add"):
        raise refuse(function, _kind(left), _kind(right))
    if not hasattr(left, "dtype") and not hasattr(right, "dtype"):
        from .scalars import _computed as plain

        return None if left is None or right is None else plain(function, left, right)
    if not kinds:
        return left if hasattr(left, "dtype") else right
    return COMPUTE[function](left, right)


def _text(function: str, values: Any, other: Any = "") -> Any:
    if function == "item":
        return _item(values, other)
    if not isinstance(other, str):
        raise TableError(f"{function} needs a text, not {other!r}")
    kind = _kind(values)
    if kind not in ("text", "empty"):
        raise refuse(function, kind)
    if not hasattr(values, "dtype"):
        from .scalars import _text as plain

        return None if values is None else plain(function, values, other)
    text = values.astype(object).where(values.notna(), None)
    tests = {"contains": str.__contains__, "starts_with": str.startswith, "ends_with": str.endswith}
    if function in tests:
        return text.map(lambda value: value is not None and tests[function](value, other)).astype(bool)
    changes = {"to_lower": str.lower, "to_upper": str.upper, "length": len}
    if function not in changes:
        raise TableError(f"there is no function {function!r}")
    changed = text.map(lambda value: None if value is None else changes[function](value))
    return changed.astype("Int64") if function == "length" else changed


def _item(values: Any, name: Any) -> Any:
    if not hasattr(values, "dtype"):
        raise TableError("only a column has fields")
    taken = values.map(lambda value: value.get(name) if isinstance(value, dict) else None)
    return taken.infer_objects()
