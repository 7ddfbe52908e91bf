"""The types that the columns of a CSV file have, by all of its values: a type that would change one is not taken.

``007`` and ``+1`` stay texts. A number becomes a floating point number only if no digit of it is lost by that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .tables_types import DIGITS, arrow_decimal, library

_TRUTH = r"^(?i:true|false)$"
_WHOLE = r"^-?(0|[1-9][0-9]*)$"
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$|^(nan|-?inf)$"
_DECIMAL = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_MOMENT = _TIME + "$"
_ZONED = _TIME + r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
# A number of no more digits becomes a floating point number and back without a change.
_EXACT_DIGITS = 15


class Guess:
    """What the values of one column can be."""

    def __init__(self) -> None:
        pa = library()
        self._kinds = {
            "bool": (_TRUTH, pa.bool_()),
            "whole": (_WHOLE, None),
            "decimal": (_DECIMAL, None),
            "number": (_NUMBER, pa.float64()),
            "day": (_DAY, pa.date32()),
            "moment": (_MOMENT, pa.timestamp("us")),
            "zoned": (_ZONED, pa.timestamp("us", "UTC")),
        }
        self._left = set(self._kinds)
        self._any = False
        self._whole_digits = 0
        self._scale = 0
        self._fits_long = True
        self._fits_double = True

    def look(self, texts: Any) -> None:
        """See more values."""
        import pyarrow.compute as pc

        values = pc.drop_null(texts)
        if not len(values) or (self._any and not self._left):
            return
        self._any = True
        for kind in list(self._left):
            pattern, type = self._kinds[kind]
            fits = pc.all(pc.match_substring_regex(values, pattern)).as_py() and (type is None or _casts(values, type))
            if not fits:
                self._left.discard(kind)
        if self._left & {"whole", "decimal", "number"}:
            self._measure(values)

    def _measure(self, values: Any) -> None:
        pa = library()
        import pyarrow.compute as pc

        plain = pc.replace_substring_regex(values, "^-", "")
        if "decimal" in self._left:
            before = pc.replace_substring_regex(plain, r"\..*$", "")
            after = pc.replace_substring_regex(plain, r"^[^.]*\.?", "")
            self._whole_digits = max(self._whole_digits, pc.max(pc.utf8_length(before)).as_py())
            self._scale = max(self._scale, pc.max(pc.utf8_length(after)).as_py())
        if "whole" in self._left:
            self._fits_long = self._fits_long and _casts(values, pa.int64())
            return
        if self._fits_double:
            digits = pc.replace_substring_regex(pc.replace_substring_regex(plain, "[eE].*$", ""), r"^0*\.?0*|\.", "")
            many = values.filter(pc.greater(pc.utf8_length(digits), _EXACT_DIGITS))
            again = many.cast(pa.float64()).cast(pa.string()) if len(many) else many
            self._fits_double = not len(many) or bool(pc.all(pc.equal(again, many)).as_py())

    @property
    def decimal(self) -> Any:
        """The type of decimals that keeps all of them; ``None``: there is none."""
        digits = self._whole_digits + self._scale
        return arrow_decimal(max(digits, 1), self._scale) if "decimal" in self._left and digits <= DIGITS else None

    @property
    def type(self) -> Any:
        """The type that keeps all of them as they are, pyarrow's."""
        pa = library()
        if not self._any or not self._left:
            return pa.string()
        decimal = self.decimal or pa.string()
        if "whole" in self._left:
            return pa.int64() if self._fits_long else decimal
        if "number" in self._left:
            return pa.float64() if self._fits_double else decimal
        if "decimal" in self._left:
            return decimal
        return next((self._kinds[kind][1] for kind in ("bool", "day", "moment", "zoned") if kind in self._left), None)


def guessed(names: Iterable[str], batches: Iterable[Any]) -> dict[str, Any]:
    """Column -> pyarrow's type, by all rows."""
    guesses = {name: Guess() for name in names}
    for batch in batches:
        for name, guess in guesses.items():
            guess.look(batch.column(name))
    return {name: guess.type for name, guess in guesses.items()}


def _casts(values: Any, type: Any) -> bool:
    pa = library()
    try:
        values.cast(type)
    except pa.ArrowInvalid:
        return False
    return True
