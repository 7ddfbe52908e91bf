"""The identity of what is in a store that is no folder of this machine.

Where the store keeps an ETag, a version or a checksum of each file, one listing says it and nothing is downloaded.
A time and a size are no identity: where there is nothing better, little is read and much is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blake3 import blake3

from .backend_base import Backend, Item
from .digests import Content, file_identity, tree_digest
from .faults import DatastoreError, Origin, Reason
from .paths import PART_PREFIX, kept_by_runs

#: So much is read, for each place, where the store says nothing about contents.
READ_LIMIT_BYTES = 64 << 20
_TRIES = 4


def listed_content(origin: Origin, items: Sequence[Item], path: str) -> Content | None:
    """Identity of the file, or of the files below the folder, at ``path``; ``None`` when there are none.

    :param items: what a listing says of them.
    :raises DatastoreError: the store says nothing by which a change could be seen.
    """
    data = _data(items, path)
    if not data:
        return None
    marks = _marks(origin, data, path)
    size = sum(item.size or 0 for item in data)
    if [item.path for item in data] == [path]:
        return Content(file_identity(marks[0][1]), True, 1, size)
    return Content(tree_digest(marks), False, len(marks), size)


def listed_files(origin: Origin, items: Sequence[Item], path: str) -> dict[str, str]:
    """What a listing says of each file below the folder at ``path``, by the path relative to it.

    :raises DatastoreError: the store says nothing by which a change could be seen.
    """
    return dict(_marks(origin, _data(items, path), path))


def _marks(origin: Origin, data: Sequence[Item], path: str) -> list[tuple[str, str]]:
    marks = []
    for item in data:
        if item.identity is None:
            raise DatastoreError(
                f"{origin} keeps neither an ETag nor a version nor a checksum of {item.path!r}, so nobody can see "
                "whether it changes; keep it in an object store or a folder when steps that use it are to be reused.",
                Reason.OTHER,
            )
        marks.append((item.path[_start(path) :], item.identity))
    return marks


def read_content(backend: Backend, path: str) -> Content | None:
    """The same where the store does not say what changes with the content: files are read, up to a limit.

    Files that are all read have the identity that they have in a local folder.

    :raises DatastoreError: they are more than :data:`READ_LIMIT_BYTES`, or go on changing.
    """
    origin, before = backend.origin, _looked(backend, path)
    for _ in range(_TRIES):
        found = []
        left = READ_LIMIT_BYTES - sum(item.size or 0 for item in before if item.identity is None)
        for item in before:
            if item.identity is None and left >= 0:
                content = backend.read(item.path)
                # What has no size in the listing counts now.
                left -= len(content) if item.size is None else 0
                item = Item(item.path, len(content), item.modified, blake3(content).hexdigest())
            found.append(item)
        if left < 0:
            raise DatastoreError(
                f"{origin} says nothing by which a change of {path or 'its root'!r} could be seen, and to read it each "
                f"time it is too big (more than {READ_LIMIT_BYTES >> 20} MiB); keep it in an object store or a folder "
                "when steps that use it are to be reused.",
                Reason.OTHER,
            )
        after = _looked(backend, path)
        if after == before:
            return listed_content(origin, found, path)
        before = after
    raise DatastoreError(
        f"{origin}: {path or 'the root'!r} goes on changing while it is read; try again later.", Reason.CHANGED
    )


def _start(path: str) -> int:
    return len(path) + 1 if path else 0


def _data(items: Iterable[Item], path: str) -> list[Item]:
    """What counts: the same as in a folder of this machine."""
    found, kept = [], kept_by_runs(path)
    for item in items:
        parts = item.path[_start(path) :].split("/")
        ours = parts[0] in kept or any(part.startswith(PART_PREFIX) for part in parts)
        if item.path == path or not ours:
            found.append(item)
    return found


def _looked(backend: Backend, path: str) -> list[Item]:
    return sorted(_data(backend.items(path), path), key=lambda item: item.path)
