"""Whether a file that is at the destination is the source's already."""

from __future__ import annotations

import os

from .checksums import Checksum, computed
from .ends import End, Entry
from .folder_end import FolderEnd
from .journal import Arrived, unpacked
from .local_copy import same_content


def is_same(source: End, entry: Entry, destination: End, there: Entry, known: Arrived | None) -> bool:
    """Whether both are the same, as far as that can be known without moving the file.

    Local files are read; stores on other machines are asked for their checksums.

    :param known: what was noted when the file arrived.
    :raises ChangedError: the source's file is changed at this moment.
    """
    size = entry.size
    if size is None or size != there.size:
        return False
    if isinstance(source, FolderEnd) and isinstance(destination, FolderEnd):
        return _same_files(source, entry, destination, there)
    if _is_noted(source, entry, destination, there, known):
        return True
    mine, other = entry.checksum, there.checksum
    if mine is not None and other is not None and bool(mine.parts) == bool(other.parts):
        return (mine.md5, mine.parts) == (other.md5, other.parts)
    if other is not None and source.near:
        return _has(source, entry, destination.exact(there))
    if mine is not None and destination.near:
        return _has(destination, there, source.exact(entry))
    return False


def _is_noted(source: End, entry: Entry, destination: End, there: Entry, known: Arrived | None) -> bool:
    if known is None or known.size != entry.size or known.destination != destination.landed(there):
        return False
    if known.settled and known.source == entry.mark:
        return True
    # The source's mark may hide a change that came right after it; its content does not.
    return source.near and _has(source, entry, unpacked(known.checksum))


def _has(end: End, entry: Entry, checksum: Checksum | None) -> bool:
    if checksum is None or (checksum.parts and not checksum.part_bytes):
        return False
    return computed(lambda start, stop: end.read(entry, start, stop), entry.size or 0, checksum).md5 == checksum.md5


def _same_files(source: FolderEnd, entry: Entry, destination: FolderEnd, there: Entry) -> bool:
    one = source.opened(entry)
    try:
        other = destination.opened(there)
        try:
            return same_content(one, other, entry.size or 0)
        finally:
            os.close(other)
    finally:
        os.close(one)
