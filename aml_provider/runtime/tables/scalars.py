"""Expressions about one file: plain Python, no pandas needed."""

from __future__ import annotations

import operator
from datetime import datetime

from .problems import TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

    from .expressions import Node

#: Kind of value -> how a message calls it.
KINDS = {"number": "a number", "text": "a text", "truth": "true or false", "time": "a point in time"}

COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
COMPUTE: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
}


def evaluate(node: Node, columns: Mapping[str, Any], metadata: Mapping[str, Any]) -> Any:
    """The value of an expression; ``None`` where it has none.

    As in pandas, a comparison with a missing value is false, and ``!=`` is true.

    :raises TableError: there is no such column, or the values do not fit each other.
    """
    kind = node["kind"]
    if kind == "value":
        return value_of(node)
    if kind == "metadata":
        return metadata[node["name"]]
    if kind == "column":
        if node["name"] not in columns:
            raise TableError(
                f"there is no column {node['name']!r}; there is {', '.join(map(repr, columns)) or 'none'}. A dataset "
                "of files has the columns of its partition_format"
            )
        return columns[node["name"]]
    return _called(node["function"], [evaluate(argument, columns, metadata) for argument in node["arguments"]])


def value_of(node: Node) -> Any:
    """A value as the author wrote it."""
    return datetime.fromisoformat(node["value"]) if node.get("type") == "datetime" else node["value"]


def kind_of(value: Any) -> str:
    """The kind of a value; ``empty`` for none."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, (int, float)):
        return "number"
    return "text" if isinstance(value, str) else "time" if isinstance(value, datetime) else type(value).__name__


def moment(text: str) -> datetime:
    """A text that is compared with a point in time.

    :raises TableError: it is none.
    """
    from .expressions import utc

    try:
        return utc(datetime.fromisoformat(text.strip().replace("Z", "+00:00")))
    except ValueError:
        raise TableError(f"{text!r} is no point in time; give a datetime, or a text like '2024-01-31'") from None


def refuse(function: str, left: str, right: str | None = None) -> TableError:
    """What to say about kinds that do not fit."""
    first = KINDS.get(left, f"a {left}")
    if right is None:
        return TableError(f"{function} cannot be done with {first}")
    return TableError(f"{first} and {KINDS.get(right, f'a {right}')} cannot be put together with {function}")


def _called(function: str, values: list[Any]) -> Any:
    if function == "is_null":
        return values[0] is None
    if function == "not":
        return not _truth(function, values[0])
    if function in ("and", "or"):
        left, right = (_truth(function, value) for value in values)
        return (left and right) if function == "and" else (left or right)
    if function in COMPARE:
        return _compared(function, *values)
    if values[0] is None or values[-1] is None:
        return False if function in ("contains", "starts_with", "ends_with") else None
    if function in COMPUTE:
        return _computed(function, *values)
    return _text(function, *values)


def _truth(function: str, value: Any) -> bool:
    if kind_of(value) not in ("truth", "empty"):
        raise refuse(function, kind_of(value))
    return bool(value)


def _compared(function: str, left: Any, right: Any) -> bool:
    if left is None or right is None:
        return function == "ne"
    kinds = kind_of(left), kind_of(right)
    if kinds == ("time", "text"):
        right = moment(right)
    elif kinds == ("text", "time"):
        left = moment(left)
    elif kinds[0] != kinds[1]:
        raise refuse(function, *kinds)
    return bool(COMPARE[function](left, right))


def _computed(function: str, left: Any, right: Any) -> Any:
    kinds = kind_of(left), kind_of(right)
    if kinds != ("number", "number") and (kinds != ("text", "text") or function != "add"):
        raise refuse(function, *kinds)
    try:
        return COMPUTE[function](left, right)
    except ZeroDivisionError:
        return None


def _text(function: str, text: Any, other: Any = "") -> Any:
    for value in (text, other):
        if not isinstance(value, str):
            raise refuse(function, kind_of(value))
    if function == "contains":
        return other in text
    if function == "starts_with":
        return text.startswith(other)
    if function == "ends_with":
        return text.endswith(other)
    if function == "length":
        return len(text)
    if function in ("to_lower", "to_upper"):
        return text.lower() if function == "to_lower" else text.upper()
    raise TableError(f"there is no function {function!r} for files")
