"""Amounts of time and of data, as they are typed and as they are shown."""

from __future__ import annotations

import re

from aml_provider.spec.errors import AmlError
from aml_provider.workspace.model import length_of_time
from aml_provider.workspace.resolved import memory_bytes


def seconds_of(text: str, option: str) -> float:
    """The length of an ISO 8601 duration, in seconds.

    :param option: what it was typed for.
    :raises AmlError: it is none, or not a positive one.
    """
    try:
        return length_of_time(text).total_seconds()
    except ValueError:
        raise AmlError(
            f"{option} {text!r} is no length of time; write it like P30D, PT12H or P1DT6H (ISO 8601)"
        ) from None


def bytes_of(text: str, option: str) -> int:
    """Bytes of an amount like ``500MB``, ``2GiB``, ``10G`` or ``1000``.

    :param option: what it was typed for.
    :raises AmlError: it is no amount.
    """
    # The units as this program itself writes them: kB, but Ki.
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKMGT]i?)?B?", text.strip())
    if match is None:
        raise AmlError(f"{option} {text!r} is no amount of data; write it like 500MB, 2GiB or 1000000")
    return memory_bytes(match[1] + (match[2] or "").replace("k", "K"))


def size(count: int) -> str:
    """An amount of data as a person says it: ``812 B``, ``1.5 MB``."""
    if count < 1000:
        return f"{count} B"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        # Of what is rounded to 1000, the next unit is the better word.
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
    return f"{amount / 1000:.4g} TB"
