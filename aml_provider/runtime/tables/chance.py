"""Which rows a random part has: decided by a row's number and the seed alone.

So both parts of a split complete each other wherever they are read, and a step that reads one can be reused. The
numbers are those of splitmix64, which needs nothing that may differ between releases of numpy.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MASK = (1 << 64) - 1
_GAMMA, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_UNIT = 2.0**-53
#: A sample and a split with the same seed have nothing to do with each other.
_SALTS = {"sample": 0x5A3B1E, "split": 0xC0FFEE}


def _mixed(state: int) -> int:
    state = (state + _GAMMA) & _MASK
    state = ((state ^ (state >> 30)) * _FIRST) & _MASK
    state = ((state ^ (state >> 27)) * _SECOND) & _MASK
    return state ^ (state >> 31)


def _start(op: str, seed: int) -> int:
    return _mixed((seed ^ _SALTS[op]) & _MASK)


def number(op: str, seed: int, position: int) -> float:
    """A number in [0, 1) for the item at ``position``, counted from 0."""
    return (_mixed((_start(op, seed) + position) & _MASK) >> 11) * _UNIT


def numbers(op: str, seed: int, position: int, count: int) -> Any:
    """The same for ``count`` rows from ``position`` on, as a numpy array."""
    import numpy as np

    with np.errstate(over="ignore"):
        state = np.arange(count, dtype=np.uint64) + np.uint64((_start(op, seed) + position + _GAMMA) & _MASK)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(_FIRST)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(_SECOND)
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) * _UNIT


def is_in(operation: dict[str, Any], value: Any) -> Any:
    """Whether an item whose number is ``value`` (or an array of them) is in the part that ``operation`` takes."""
    if operation["op"] == "sample":
        return value < operation["probability"]
    return value < operation["fraction"] if operation["part"] == "first" else value >= operation["fraction"]
