"""What a step's processes have used, as the kernel tells it of each that ends."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource

# Linux counts in KiB, macOS in bytes; see getrusage(2) of both.
_UNIT = 1 if sys.platform == "darwin" else 1024


class Usage:
    """The sum of what ended processes have used, those included that they had waited for.

    :ivar cpu_seconds: in user and system mode.
    :ivar peak_memory_bytes: the largest resident set of a single process; what several have at once is not added up.
    """

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        self.peak_memory_bytes = 0

    def add(self, used: resource.struct_rusage) -> None:
        """Count a process that has ended."""
        self.cpu_seconds += used.ru_utime + used.ru_stime
        self.peak_memory_bytes = max(self.peak_memory_bytes, used.ru_maxrss * _UNIT)

    def as_dict(self) -> dict[str, float]:
        """As it is reported."""
        return {"cpu_seconds": round(self.cpu_seconds, 3), "peak_memory_bytes": self.peak_memory_bytes}
