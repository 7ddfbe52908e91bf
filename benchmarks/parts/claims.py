"""What reuse costs a step that runs: its claim, and its record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.measure import Options, child
from benchmarks.table import Row

TIMES = 200


def rows(folder: Path, options: Options) -> Iterator[Row]:
    """On this disk; the process is one, and each time has a fingerprint of its own."""
    told = child("claims", str(TIMES), home=folder)
    for key, what, detail in (
        ("claim", "claim a step and release it", "with the thread that renews it"),
        ("commit", "record a result", "written through to the disk"),
        ("read", "read a record", ""),
    ):
        times = sorted(told[key])
        slow = f"{TIMES} times; one in twenty takes over {times[-TIMES // 20] * 1000:.2f} ms"
        yield Row(f"claims: {what}", median(times) * 1000, "ms", None, "; ".join(filter(None, (detail, slow))))
