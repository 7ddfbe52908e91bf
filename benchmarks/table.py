"""The lines that are printed."""

from __future__ import annotations

from dataclasses import dataclass

_SHOWN = {"s": "{:.3f} s", "ms": "{:.2f} ms", "x": "{:.2f} x"}


@dataclass(frozen=True)
class Row:
    """One line of the table.

    :param value: what was measured, ``None`` when it could not be; ``unit`` is ``s``, ``ms`` or ``x`` (times the
        baseline), or a word that stands in the value's place when there is no figure to it.
    :param goal: the most that ``value`` should be, or the least; ``None`` for what is only shown.
    :param detail: what the value was made of, or why there is none.
    :param at_least: the goal is the least that is good enough.
    """

    name: str
    value: float | None
    unit: str
    goal: float | None
    detail: str
    at_least: bool = False

    @property
    def missed(self) -> bool:
        """Whether there is a goal, and a value beyond it."""
        if self.goal is None or self.value is None:
            return False
        return self.value < self.goal if self.at_least else self.value > self.goal

    def __str__(self) -> str:
        if self.value is None:
            value = "skipped" if self.unit in _SHOWN else self.unit
        else:
            value = _SHOWN[self.unit].format(self.value)
        goal = "" if self.goal is None else f"{'>=' if self.at_least else '<='} {self.goal:g} {self.unit}"
        verdict = "" if self.goal is None or self.value is None else "MISSED" if self.missed else "ok"
        return f"{self.name:<50} {value:>10}  {goal:<9} {verdict:<6}  {self.detail}"
