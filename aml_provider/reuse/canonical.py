"""From a structure to one digest: equal structures give equal text, and values of different types never do."""

from __future__ import annotations

import json
from typing import Any

from blake3 import blake3

# Part of every digest: when the meaning of a fingerprint's parts changes, nothing older matches any more.
FORMAT = "aml-fingerprint-1"
# Made once, and no search for circles: a plan of a thousand steps spells a thousand structures, which are trees.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False)
_NESTED = (list, tuple)


def canonical(value: Any) -> bytes:
    """The one spelling of a structure of mappings, lists, text, numbers, booleans and ``None``.

    ``1``, ``1.0``, ``"1"`` and ``True`` are spelled differently; the order of a mapping's keys does not matter.

    :raises TypeError: a value of another type, or a key that is not text.
    """
    check_keys(value)
    return _spelled(value)


def digest(value: Any, *, checked: bool = False) -> str:
    """64 hexadecimal characters that stand for a structure.

    :param checked: all keys in it are known to be text.
    """
    return blake3(FORMAT.encode() + b"\0" + (_spelled(value) if checked else canonical(value))).hexdigest()


def _spelled(value: Any) -> bytes:
    return _ENCODER.encode(value).encode("ascii")


def check_keys(value: Any) -> None:
    """Refuse a structure in which a key is not text.

    :raises TypeError: one is none; json would write the key 1 as "1".
    """
    # A loop, because calls are most of what a recursion costs here, and most of what it meets is text.
    waiting = [value]
    while waiting:
        inside = waiting.pop()
        if isinstance(inside, dict):
            for key in inside:
                if type(key) is not str:
                    raise TypeError(f"the key {key!r} is not text")
            inside = inside.values()
        elif not isinstance(inside, _NESTED):
            continue
        waiting += [inner for inner in inside if type(inner) is not str]
