"""What stands where a run would be while a file is parsed: code written after ``submit`` must pass harmlessly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TEXT = "(not run: the file is only being read)"


class NullObject:
    """Empty, false, printable; every attribute, item, call and calculation gives the same thing again.

    Equality is identity of kind: a null object equals no real value, so ``run.get_status() == "Finished"`` is
    false. Comparisons by size are false, numbers are zero.
    """

    def __getattr__(self, name: str) -> Any:
        # A special name that is not defined must stay undefined, or copy, pickle and inspect would be misled.
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self

    def __getitem__(self, key: Any) -> Any:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __delitem__(self, key: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __next__(self) -> Any:
        raise StopIteration

    def __len__(self) -> int:
        return 0

    def __contains__(self, item: Any) -> bool:
        return False

    def __bool__(self) -> bool:
        return False

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: Any) -> None:
        pass

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, NullObject)

    def __hash__(self) -> int:
        return hash(NullObject)

    def _false(self, other: Any) -> bool:
        return False

    __lt__ = __le__ = __gt__ = __ge__ = _false

    def _same(self, *others: Any) -> Any:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _same
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _same
    __pow__ = __rpow__ = __neg__ = __pos__ = __abs__ = __round__ = _same

    def __int__(self) -> int:
        return 0

    def __float__(self) -> float:
        return 0.0

    def __index__(self) -> int:
        return 0

    def __fspath__(self) -> str:
        return ""

    def __str__(self) -> str:
        return TEXT

    def __repr__(self) -> str:
        return TEXT

    def __format__(self, spec: str) -> str:
        # Any format specification passes: f"{accuracy:.3f}" is harmless.
        return TEXT


NULL: Any = NullObject()
