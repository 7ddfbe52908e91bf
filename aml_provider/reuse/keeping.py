"""Where what has been computed is kept: in the default datastore itself, wherever that keeps two writers apart."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aml_provider.runs.layout import STORE_FOLDER, RunStore
from aml_provider.storage.backends import keeps_records
from aml_provider.storage.copied_store import CopiedStore
from aml_provider.storage.datastores import store_for
from aml_provider.storage.folder_store import FolderStore
from aml_provider.storage.record_store import RecordStore
from aml_provider.workspace.model import DatastoreConfig

#: Where the index is in a datastore.
INDEX = f"{STORE_FOLDER}/reuse"
_NAME = "name"


def is_in_bucket(place: RunStore | Path) -> bool:
    """Whether it is in a bucket, which machines share that share no folder."""
    return isinstance(place, RunStore) and place.remote is not None and keeps_records(place.remote)


def bucket_of(store: RunStore) -> dict[str, Any] | None:
    """What :func:`store_in` needs in another process, as JSON has it; ``None`` for an index in a folder."""
    if not is_in_bucket(store):
        return None
    assert store.remote is not None
    return store.remote.told(store.datastore)


def store_in(root: Path, bucket: Mapping[str, Any]) -> RunStore:
    """The run store of a process that has told :func:`bucket_of`.

    :param root: its folder, which need not be there.
    """
    return RunStore(root, bucket["name"], DatastoreConfig.from_told(bucket))


def index_told(store: RunStore) -> dict[str, Any]:
    """What :func:`place_told` needs in another process, as JSON has it."""
    return {"index": str(store.reuse), "run_store": str(store.root), "bucket": bucket_of(store)}


def place_told(index: str, run_store: str, bucket: Mapping[str, Any] | None) -> RunStore | Path:
    """The index that another process has described by :func:`index_told`.

    :param index: its folder, :param run_store: the run store's.
    :param bucket: where it is in a bucket instead, as :func:`bucket_of` has it.
    """
    return Path(index) if bucket is None else store_in(Path(run_store), bucket)


def name_of_this_place(place: RunStore | Path) -> str:
    """What tells apart run stores that share a bucket: their runs may have the same ids. Empty for a folder."""
    return own_name(place) if isinstance(place, RunStore) and is_in_bucket(place) else ""


def whose(owner: str, store: RunStore) -> tuple[str, str]:
    """The step run that a claim names as its owner, and the name of the run store that its run is kept in.

    :param store: one's own, which is meant where the owner names none.
    """
    step_run_id, _, place = owner.partition("@")
    return step_run_id, place or own_name(store)


def own_name(store: RunStore) -> str:
    """What tells this run store from all others, 32 letters and digits; it is kept in its folder."""
    own = FolderStore(store.root)
    own.create(_NAME, uuid.uuid4().hex.encode())
    return (own.read(_NAME) or b"").decode()


def records_in(place: RunStore | Path, path: str = "") -> RecordStore:
    """The store of the index's blobs.

    :param place: the run store, or the index's folder.
    :param path: where in it.
    :raises DatastoreError: the datastore cannot be opened.
    """
    if isinstance(place, Path):
        return FolderStore(place / path if path else place)
    if not is_in_bucket(place):
        return records_in(place.reuse, path)
    assert place.remote is not None
    bucket = store_for(place.remote, place.datastore).bucket(f"{INDEX}/{path}" if path else INDEX)
    return CopiedStore(bucket, FolderStore(place.copies / path if path else place.copies))
