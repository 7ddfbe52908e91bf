"""Datastores: named places for data, over fsspec."""

from __future__ import annotations

from .datastores import Store, store_for
from .paths import normalized

__all__ = ["Store", "normalized", "store_for"]
