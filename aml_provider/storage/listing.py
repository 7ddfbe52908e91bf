"""The identity of what is in a store that is no folder of this machine.

Where the store keeps an ETag, a version or a checksum of each file, one listing says it and nothing is downloaded.
A time and a size are no identity: where there is nothing better, little is read and much is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3

from .backend_base import Backend, Item
from .digests import Content, file_identity, tree_digest
from .faults import DatastoreError, Origin, Reason

#: So much is read, for each place, where the store says nothing about contents.
READ_LIMIT_BYTES = 64 << 20
_TRIES = 4


def listed_content(origin: Origin, items: Sequence[Item], path: str) -> Content | None:
    """Identity of the file, or of the files below the folder, at ``path``; ``None`` when there are none.

    :param items: what a listing says of them.
    :raises DatastoreError: the store says nothing by which a change could be seen.
    """
    if not items:
        return None
    marks = []
    for item in items:
        if item.identity is None:
            raise DatastoreError(
                f"{origin} keeps neither an ETag nor a version nor a checksum of {item.path!r}, so nobody can see "
                "whether it changes.",
                Reason.OTHER,
            )
        marks.append((item.path, item.identity))
    size = sum(item.size or 0 for item in items)
    if [name for name, _ in marks] == [path]:
        return Content(file_identity(marks[0][1]), True, 1, size)
    start = len(path) + 1 if path else 0
    return Content(tree_digest((name[start:], mark) for name, mark in marks), False, len(marks), size)


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


def _looked(backend: Backend, path: str) -> list[Item]:
    return sorted(backend.items(path), key=lambda item: item.path)
