"""What is below a folder, seen in the one way that makes two equal folders look equal."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from blake3 import blake3

from .hashing import FileStamp, check_regular, unreadable
from .paths import PART_PREFIX

# What a link that leads nowhere answers when it is followed.
_DANGLING = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
_PART = PART_PREFIX.encode()


@dataclass(frozen=True)
class Mark:
    """Something that counts but is no file: an empty folder, a link to nowhere, a link back to a folder above."""

    relative: bytes
    digest: str


@dataclass(eq=False)
class Folder:
    """One folder of a tree.

    :param path: where it is.
    :param prefix: what the names in it start with in the tree: empty, or ending in a slash.
    :param parent: the folder it was reached from.
    :param linked: whether a link was followed on the way here.
    """

    path: bytes
    prefix: bytes
    parent: Folder | None = None
    linked: bool = False
    files: dict[bytes, FileStamp] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)

    @cached_property
    def place(self) -> tuple[int, int]:
        """What tells it from all other folders."""
        # Only links lead back, so for most folders nobody asks.
        status = os.stat(self.path)
        return status.st_dev, status.st_ino

    def levels_up_to(self, place: tuple[int, int]) -> int | None:
        """How far above that folder is on the way here, ``None`` when it is not."""
        folder: Folder | None = self
        levels = 0
        while folder is not None:
            if folder.place == place:
                return levels
            folder, levels = folder.parent, levels + 1
        return None


def walk(top: bytes, ignore: frozenset[bytes]) -> Iterator[Folder]:
    """Every folder at and below ``top``, in no particular order.

    :param ignore: names that do not count directly in ``top``.
    :raises FileNotFoundError: ``top`` is not there, or something went away meanwhile; :raises NotADirectoryError: it is
        no folder, or something became a file.
    :raises PipelineError: something is neither file, folder nor link, or cannot be read.
    """
    waiting = [Folder(top, b"")]
    while waiting:
        folder = waiting.pop()
        try:
            _look(folder, ignore if folder.parent is None else frozenset())
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            raise unreadable(folder.path, error) from error
        waiting += folder.folders
        if folder.prefix and not (folder.files or folder.marks or folder.folders):
            folder.marks.append(Mark(folder.prefix, _mark("empty folder", b"")))
        yield folder


def _look(folder: Folder, ignore: frozenset[bytes]) -> None:
    with os.scandir(folder.path) as entries:
        for entry in entries:
            # What is still being written under its temporary name is no data yet.
            if entry.name in ignore or entry.name.startswith(_PART):
                continue
            link = entry.is_symlink()
            try:
                # Not entry.stat(): a followed link has to be seen as it is now.
                status = os.stat(entry.path) if link else entry.stat(follow_symlinks=False)
            except OSError as error:
                if not link or error.errno not in _DANGLING:
                    raise
                text = os.readlink(entry.path)
                folder.marks.append(Mark(folder.prefix + entry.name, _mark("link", text)))
                continue
            if stat.S_ISDIR(status.st_mode):
                _enter(folder, entry, folder.linked or link)
            else:
                check_regular(entry.path, status)
                folder.files[entry.name] = FileStamp.of(status)


def _enter(folder: Folder, entry: os.DirEntry[bytes], linked: bool) -> None:
    inner = Folder(entry.path, folder.prefix + entry.name + b"/", folder, linked)
    levels = folder.levels_up_to(inner.place) if linked else None
    if levels is None:
        folder.folders.append(inner)
    else:
        folder.marks.append(Mark(inner.prefix, _mark("link loop", str(levels).encode())))


def _mark(kind: str, text: bytes) -> str:
    return blake3(text, derive_key_context=f"aml_provider.storage.digests 1 {kind}").hexdigest()
