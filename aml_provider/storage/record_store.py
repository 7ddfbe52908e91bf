"""Small named blobs with exclusive create and compare-and-swap, on a folder or on any fsspec store."""

from __future__ import annotations

from pathlib import Path

from .folder_store import FolderStore
from .record_base import Entry, RecordStore

__all__ = ["Entry", "FolderStore", "RecordStore", "record_store"]


def record_store(folder: str | Path) -> RecordStore:
    """The store of the blobs below ``folder``."""
    return FolderStore(folder)
