"""What may go wrong with a machine is the same for data as for records."""

from __future__ import annotations

from tests.reuse.conftest import small_disk, warnings

__all__ = ["small_disk", "warnings"]
