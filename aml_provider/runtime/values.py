"""From what scripts log (numbers, numpy and torch scalars, arrays, columns) to what JSON can hold.

Numbers that JSON has no word for become the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.
"""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


def check_name(name: Any, call: str) -> str:
    """A metric's name.

    :raises TypeError: when it is not a text with at least one character.
    """
    if not isinstance(name, str) or not name.strip():
        raise TypeError(f"{call}: the name of a metric must be a non-empty str, it is {name!r}.")
    return name


def scalar(metric: str, value: Any, call: str) -> Any:
    """A number, text or bool; a numpy, torch or tensorflow scalar becomes a plain number.

    :raises TypeError: naming the metric, for anything else.
    """
    plain = _plain(value)
    if plain is not None:
        return plain
    advice = ""
    if isinstance(value, (list, tuple, dict)) or getattr(value, "ndim", None):
        advice = " Use log_list for several values, log_row or log_table for columns."
    raise TypeError(
        f'{call}: metric "{metric}" must be a number or a str, it is a {type(value).__name__}: {_short(value)}.{advice}'
    )


def listing(metric: str, value: Any, call: str) -> list[Any]:
    """Several scalars: a list, tuple, range, numpy array or pandas column.

    :raises TypeError: naming the metric and the item at fault.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__iter__"):
        raise TypeError(f'{call}: metric "{metric}" must be a list of numbers or strs, it is {_short(value)}.')
    items = []
    for index, item in enumerate(value):
        plain = _plain(item)
        if plain is None:
            raise TypeError(
                f'{call}: item {index} of metric "{metric}" must be a number or a str, it is {_short(item)}.'
            )
        items.append(plain)
    return items


def columns(metric: str, value: Any, call: str) -> dict[str, Any]:
    """A table: column name -> scalar or list of scalars.

    :raises TypeError: naming the metric and the column at fault.
    """
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        value = value.to_dict("list")  # a pandas data frame
    if not isinstance(value, dict):
        raise TypeError(f'{call}: metric "{metric}" must be a dict of columns, it is {_short(value)}.')
    table = {}
    for column, content in value.items():
        plain = _plain(content)
        table[str(column)] = listing(f"{metric}.{column}", content, call) if plain is None else plain
    return table


def document(metric: str, value: Any, call: str, schema: str) -> Any:
    """A structured metric (confusion matrix, ...): a dict in Azure ML's format, or its JSON text.

    :raises TypeError: when it is neither.
    :raises ValueError: when it says that it is of another schema.
    """
    import json

    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f'{call}: metric "{metric}" is not JSON: {error}.') from error
    if not isinstance(value, dict):
        raise TypeError(f'{call}: metric "{metric}" must be a dict or its JSON text, it is {_short(value)}.')
    said = value.get("schema_type", schema)
    if said != schema:
        raise ValueError(f'{call}: metric "{metric}" has the schema_type {said!r}, this call takes "{schema}".')
    return _deep(metric, value, call)


def from_json(value: Any) -> Any:
    """The number a string of :func:`scalar` stands for; anything else as it is."""
    return _WORDS.get(value, value) if isinstance(value, str) else value


def as_texts(mapping: Mapping[Any, Any] | None) -> dict[str, str | None]:
    """Tags and properties: names and values as text; a tag may have no value."""
    return {str(key): None if value is None else str(value) for key, value in (mapping or {}).items()}


_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _plain(value: Any) -> Any:
    """The JSON form of a scalar, ``None`` when it is none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, (list, tuple, dict, set, bytes)) or value is None:
        return None
    if hasattr(value, "item"):
        try:
            inner = value.item()
        except (ValueError, RuntimeError, TypeError):
            return None  # an array of several items
        return _plain(inner) if isinstance(inner, (bool, int, float, str)) else None
    if hasattr(value, "numpy"):
        return _plain(value.numpy())
    if hasattr(type(value), "__float__"):
        return _number(float(value))  # Decimal, Fraction
    return None


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _deep(metric: str, value: Any, call: str) -> Any:
    if isinstance(value, dict):
        return {str(key): _deep(metric, item, call) for key, item in value.items()}
    if value is None:
        return None
    plain = _plain(value)
    if plain is not None:
        return plain
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_deep(metric, item, call) for item in value]
    raise TypeError(f'{call}: metric "{metric}" holds a {type(value).__name__}, which is not JSON: {_short(value)}.')


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
