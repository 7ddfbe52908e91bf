"""Small named blobs with exclusive create and compare-and-swap, on a folder or in an object store."""

from __future__ import annotations

from pathlib import Path

from .datastores import Store
from .folder_store import FolderStore
from .record_base import Entry, RecordStore

__all__ = ["Entry", "FolderStore", "RecordStore", "record_store"]


def record_store(place: str | Path | Store, path: str = "") -> RecordStore:
    """The store of the blobs at a place.

    :param place: a folder, or a datastore.
    :param path: where in it; relative.
    :raises NotSupportedError: the datastore cannot keep blobs.
    """
    if isinstance(place, Store):
        return place.records(path)
    return FolderStore(Path(place) / path if path else place)
