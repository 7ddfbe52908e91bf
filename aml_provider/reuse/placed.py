"""Data at places of datastores: how big it is, and how it goes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from aml_provider.reuse.uses import Place
from aml_provider.spec.errors import PipelineError
from aml_provider.storage.backends import keeps_records
from aml_provider.storage.copying import each
from aml_provider.storage.datastores import Store, store_for
from aml_provider.workspace.resolved import LoadedWorkspace

_AT_ONCE = 16


class PlacedData:
    """What is in the folders and buckets of a workspace's datastores."""

    def __init__(self, workspace: LoadedWorkspace) -> None:
        self._workspace = workspace

    def size(self, place: Place) -> int | None:
        """Bytes that it takes; ``None``: there is nothing.

        :raises DatastoreError: the datastore cannot be looked at.
        :raises PipelineError: there is no such datastore, or nothing can be removed from it.
        """
        store = self._store(place)
        if store.local_root is None:
            items = store.items(place.path)
            return sum(item.size or 0 for item in items) if items else None
        path = store.local_path(place.path)
        return _size_on_disk(path) if os.path.lexists(path) else None

    def remove(self, place: Place) -> None:
        """Remove all of it.

        :raises OSError: some of it is still there.
        """
        store = self._store(place)
        if store.local_root is None:
            each(store.remove, store.files(place.path), _AT_ONCE)
            return
        path = store.local_path(place.path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def remove_empty(self, folder: Place) -> bool:
        """Remove a folder, if it is one with nothing in it; a bucket has none."""
        store = self._store(folder)
        if store.local_root is None:
            return False
        try:
            store.local_path(folder.path).rmdir()
        except OSError:
            return False
        return True

    def _store(self, place: Place) -> Store:
        config = self._workspace.datastore(place.datastore)
        if config.local_root is None and not keeps_records(config):
            raise PipelineError(
                f"datastore {place.datastore!r} is neither a folder nor a bucket, and nothing is removed from it; "
                f"remove {place.path!r} yourself"
            )
        return store_for(config, place.datastore)


def _size_on_disk(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)
