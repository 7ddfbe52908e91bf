"""From the texts of delimited files to numbers, truth values and points in time.

A column keeps, while it is worked on, a dtype that knows missing values (``Int64``, ``boolean``), so that no whole
number becomes another one on its way; :func:`plain` makes what pandas users expect of it.
"""

from __future__ import annotations

import re

from .problems import TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

_MISSING = frozenset(("", "NA", "N/A", "n/a", "NaN", "nan", "-nan", "NULL", "null", "None", "<NA>", "#N/A", "#NA"))
_TRUTH = {"true": True, "false": False}
_WHOLE = re.compile(r"\s*[+-]?\d+\s*")
#: A day, perhaps with a time, perhaps with a zone: the one way of writing times in which nothing has to be guessed.
_TIME = re.compile(r"\s*\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?\s*(?:Z|[+-]\d{2}:?\d{2})?)?\s*")
_LARGEST = 1 << 53
_INT64 = 1 << 63
_WORDS = {
    "long": "whole numbers",
    "float": "numbers",
    "bool": "truth values (true, false)",
    "datetime": "points in time",
}


def guessed(texts: Any) -> str | None:
    """The type that a column of texts looks like; ``None`` when it has no value to look at."""
    values = texts[~texts.isin(_MISSING)]
    if not len(values):
        return "string" if (texts != "").any() else None
    if values.str.lower().isin(_TRUTH).all():
        return "bool"
    numbers = _numbers(values)
    if numbers.notna().all():
        if not values.str.fullmatch(_WHOLE.pattern).all():
            return "float"
        # A float of so many digits would be another number.
        return "long" if all(-_INT64 <= int(value) < _INT64 for value in values) else "string"
    return "datetime" if values.str.fullmatch(_TIME.pattern).all() and _times(values, ()).notna().all() else "string"


def converted(texts: Any, type: Mapping[str, Any], empty_as_string: bool = False) -> tuple[Any, Any]:
    """A column of texts as another type.

    :param texts: without missing values: an empty field is an empty text.
    :return: the column, and which of its rows have a text that is no value of the type.
    """
    kind = type["kind"]
    if kind == "string":
        nothing = texts.isna() if empty_as_string else texts == ""
        return texts.where(~nothing, None), nothing & False
    missing = texts.isin(_MISSING)
    values = texts.where(~missing, None)
    if kind == "bool":
        found = values.str.strip().str.lower().map(_TRUTH).astype("boolean")
    elif kind == "datetime":
        found = _times(values, tuple(type.get("formats") or ()))
    else:
        mark = type.get("decimal_mark") or "."
        found = _numbers(values if mark == "." else values.str.replace(mark, ".", regex=False))
        if kind == "long":
            found = _integers(values, found)
    return found, found.isna() & ~missing


def _numbers(values: Any) -> Any:
    """As float, missing where a text is no number."""
    import pandas as pd

    found = pd.to_numeric(values.astype(object), errors="coerce").astype("float64")
    # pandas' own reading of digits may be off by the last bit.
    known = found.notna()
    return found.mask(known, values[known].astype(object).map(float).astype("float64")) if known.any() else found


def _integers(values: Any, numbers: Any) -> Any:
    import pandas as pd

    known = numbers.notna()
    at_once = pd.to_numeric(values[known].astype(object))
    if at_once.dtype == "int64":
        return at_once.astype("Int64").reindex(values.index)
    text = values.astype(object).where(known, None)
    whole = [
        int(value) if value is not None and _WHOLE.fullmatch(value) and -_INT64 <= int(value) < _INT64 else None
        for value in text
    ]
    return pd.Series(pd.array(whole, dtype="Int64"), index=values.index)


def _times(values: Any, formats: tuple[str, ...]) -> Any:
    """In UTC, without a zone; missing where a text is none."""
    import pandas as pd

    texts = values.astype(object)
    if not formats:
        written = texts.where(values.str.fullmatch(_TIME.pattern).fillna(False).astype(bool), None)
        # Before pandas 2 there is no such format, and all of its guesses are of this one.
        more = {"format": "ISO8601"} if int(pd.__version__.split(".", maxsplit=1)[0]) >= 2 else {}
        return _naive(pd.to_datetime(written, errors="coerce", utc=True, **more))
    found = None
    for form in formats:
        try:
            one = _naive(pd.to_datetime(texts, errors="coerce", utc=True, format=form))
        except ValueError as error:
            raise TableError(f"{form!r} is no format of a point in time: {error}") from None
        found = one if found is None else found.where(found.notna(), one)
    return found


def _naive(values: Any) -> Any:
    return values.dt.tz_localize(None)


def of_values(values: list[Any]) -> Any:
    """A column of values that have types already: those of JSON."""
    import pandas as pd

    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pd.Series(pd.array(values, dtype="boolean"))
    if kinds == {int} and all(value is None or -_INT64 <= value < _INT64 for value in values):
        return pd.Series(pd.array(values, dtype="Int64"))
    if kinds and kinds <= {int, float} and all(not isinstance(v, int) or abs(v) <= _LARGEST for v in values):
        return pd.Series([float("nan") if value is None else float(value) for value in values], dtype="float64")
    if kinds == {str}:
        return pd.Series(values)
    return pd.Series(values, dtype=object)


def plain(values: Any) -> Any:
    """A column as pandas users expect it: numpy's dtypes, where they can hold what is in it."""
    import pandas as pd

    dtype = values.dtype
    if isinstance(dtype, pd.BooleanDtype):
        return values.astype(object).where(values.notna(), None) if values.isna().any() else values.astype(bool)
    if pd.api.types.is_extension_array_dtype(dtype) and hasattr(dtype, "numpy_dtype"):
        if not pd.api.types.is_numeric_dtype(dtype):
            return values
        if not values.isna().any():
            return values.astype(dtype.numpy_dtype)
        if pd.api.types.is_float_dtype(dtype):
            return values.astype(dtype.numpy_dtype)
        known = values.dropna()
        # Beyond this, a float is another number.
        if not len(known) or (int(known.max()) <= _LARGEST and int(known.min()) >= -_LARGEST):
            return values.astype("float64")
    return values


def complaint(name: str, kind: str, path: str, texts: Any, wrong: Any) -> str:
    """What to say about texts that are no values of the column's type."""
    first = texts[wrong].iloc[0]
    return f"column {name!r} is read as {_WORDS[kind]}, and {first!r} (in {path!r}) is none"
