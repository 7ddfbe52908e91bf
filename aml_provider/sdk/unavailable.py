"""A sentence instead of a bare ``AttributeError`` for what v1's classes have and these do not."""

from __future__ import annotations

from typing import Any, ClassVar

from aml_provider.spec.errors import NotSupportedError


class NotBuiltError(NotSupportedError, AttributeError):
    """A v1 method that is not there; an ``AttributeError`` too, so that ``hasattr`` works."""


class PartOfV1:
    """Base of classes that have most of a v1 class's methods.

    :cvar NOT_BUILT: method name -> what to do instead, as the end of a sentence.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = {}

    def __getattr__(self, name: str) -> Any:
        for cls in type(self).__mro__:
            table = cls.__dict__.get("NOT_BUILT", {})
            if name in table:
                raise NotBuiltError(f"{type(self).__name__}.{name} is not available here: {table[name]}.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class NamedMapping(dict[str, Any]):
    """A dictionary that says which names there are when one is missing.

    :param kind: what the values are, in the singular.
    :param hint: what to do about a missing one.
    """

    def __init__(self, kind: str, hint: str, values: dict[str, Any] | None = None) -> None:
        super().__init__(values or {})
        self._kind = kind
        self._hint = hint

    def __missing__(self, key: str) -> Any:
        raise MissingName(f"There is no {self._kind} named {key!r}; there is {sorted(self) or 'none'}. {self._hint}")


class MissingName(KeyError):
    """A ``KeyError`` that prints as a sentence."""

    def __str__(self) -> str:
        return str(self.args[0])
