"""Identity of data: BLAKE3 of files and folders.

The identity of a folder is the names below it and the contents of its files, nothing else: not times, modes or owners,
not where the folder is or what it is called. Links are followed; a link to nowhere counts as its text, a link back to a
folder above as how far above. Empty folders count.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from aml_provider.spec.errors import PipelineError

from .digest_cache import DigestCache
from .hashing import FileStamp, Hashed, check_regular, hash_files, shown, unreadable
from .paths import BOOKKEEPING
from .tree_walk import Folder, walk

__all__ = [
    "Content",
    "FileStamp",
    "TreeEntry",
    "content_of",
    "entries_of",
    "file_digest",
    "file_digests",
    "file_identity",
    "tree_digest",
]

# Whoever changes what is hashed changes these, so that an old and a new digest never mean the same.
_FILE = "aml_provider.storage.digests 1 file"
_TREE = "aml_provider.storage.digests 1 tree"
_TRIES = 4
# An entry of a tree before its name is text.
_Found = tuple[bytes, str, int]


# A tuple, since a plan makes one for every output that it looks at.
class Content(NamedTuple):
    """Identity of what is at a place.

    :param digest: 64 hexadecimal digits; a file and a folder never share one.
    :param files: how many files there are; links to nowhere are among them.
    :param bytes: how big the files are together.
    """

    digest: str
    is_file: bool
    files: int
    bytes: int


class TreeEntry(NamedTuple):
    """A file of a folder.

    :param relative: its path in the folder, with forward slashes; bytes that are not UTF-8 are surrogate escapes. An
        empty folder, or a folder link that leads back up, ends in a slash.
    :param digest: of its content alone.
    """

    relative: str
    digest: str
    size: int


def file_digest(path: Path, cache: DigestCache | None = None) -> str:
    """BLAKE3 of a file's content, as ``b3sum`` prints it.

    :raises FileNotFoundError: there is no file.
    :raises PipelineError: it is no regular file, cannot be read, or goes on changing while it is read.
    """
    return file_digests([path], cache)[0]


def file_digests(paths: Sequence[Path], cache: DigestCache | None = None) -> list[str]:
    """:func:`file_digest` of many files, read side by side."""
    return [digest for digest, _ in _digests_of([_absolute(path) for path in paths], cache)]


def content_of(path: Path | str, cache: DigestCache | None = None, *, ignore: frozenset[str] = BOOKKEEPING) -> Content:
    """Identity of the file or folder at ``path``.

    :param ignore: names that do not count directly in the folder.
    :raises FileNotFoundError: there is nothing.
    :raises PipelineError: something in it is neither file, folder nor link, cannot be read, or goes on changing.
    """
    place = _absolute(path)
    found = _settled(place, ignore, cache)
    if found is not None:
        digest = _tree_digest([(name, digest.encode()) for name, digest, _ in found])
        files = sum(not name.endswith(b"/") for name, _, _ in found)
        return Content(digest, False, files, sum(size for _, _, size in found))
    ((digest, size),) = _digests_of([place], cache)
    return Content(file_identity(digest), True, 1, size)


def entries_of(
    path: Path, cache: DigestCache | None = None, *, ignore: frozenset[str] = BOOKKEEPING
) -> list[TreeEntry]:
    """What is in a folder, sorted by the bytes of the names; parameters and errors as :func:`content_of`."""
    top = _absolute(path)
    found = _settled(top, ignore, cache)
    if found is None:
        raise PipelineError(f"{shown(top)} is no folder; give the path of a folder.")
    return [TreeEntry(name.decode("utf-8", "surrogateescape"), digest, size) for name, digest, size in found]


def _settled(top: bytes, ignore: frozenset[str], cache: DigestCache | None) -> list[_Found] | None:
    """What is in a folder, sorted by name, once nothing goes away while it is read; ``None``: it is no folder."""
    ignored = frozenset(map(os.fsencode, ignore))
    for _ in range(_TRIES):
        try:
            return _entries(top, ignored, cache)
        except (FileNotFoundError, NotADirectoryError):
            # Gone, or listed and gone when it was to be read: what is there now is listed again. It is not asked
            # before, since most places that are looked at are folders, and stay.
            if not stat.S_ISDIR(_status(top).st_mode):
                return None
    raise PipelineError(
        f"folder {shown(top)} changes while it is read: files go away; wait until whatever writes there has ended, "
        "and try again."
    )


def tree_digest(entries: Iterable[tuple[str, str]]) -> str:
    """Identity of a tree, from what each name below it stands for.

    :param entries: ``(relative path, digest)`` in any order.
    """
    return _tree_digest(sorted((_bytes(relative), _bytes(digest)) for relative, digest in entries))


def _tree_digest(pairs: Sequence[tuple[bytes, bytes]]) -> str:
    # The lengths keep ("ab", "c") and ("a", "bc") apart.
    parts = [b"%d:%d:%b%b" % (len(name), len(digest), name, digest) for name, digest in pairs]
    return blake3(b"%d;" % len(pairs) + b"".join(parts), derive_key_context=_TREE).hexdigest()


def file_identity(digest: str) -> str:
    """The :attr:`Content.digest` of a single file whose own digest is given."""
    return blake3(_bytes(digest), derive_key_context=_FILE).hexdigest()


def _entries(top: bytes, ignore: frozenset[bytes], cache: DigestCache | None) -> list[_Found]:
    found: list[_Found] = []
    unknown: list[tuple[bytes, Folder]] = []
    for folder in walk(top, ignore):
        prefix, files = folder.prefix, folder.files
        found += [(mark.relative, mark.digest, 0) for mark in folder.marks]
        known = cache.listed(folder.path, files) if cache is not None and files else {}
        for name, stamp in files.items():
            digest = known.get(name)
            if digest is None:
                unknown.append((name, folder))
            else:
                found.append((prefix + name, digest, stamp.size))
    if unknown:
        places = [(folder.path, name, folder.files[name].size) for name, folder in unknown]
        for (name, folder), hashed in zip(unknown, _hashed(places, cache), strict=True):
            found.append((folder.prefix + name, hashed.digest, hashed.stamp.size))
    found.sort()
    return found


def _digests_of(files: Sequence[bytes], cache: DigestCache | None) -> list[tuple[str, int]]:
    """Digest and size of each file; only what the cache does not know is read."""
    places = [os.path.split(file) for file in files]
    folders: dict[bytes, dict[bytes, FileStamp]] = {}
    for file, (folder, name) in zip(files, places, strict=True):
        status = _status(file)
        check_regular(file, status)
        folders.setdefault(folder, {})[name] = FileStamp.of(status)
    found: dict[tuple[bytes, bytes], tuple[str, int]] = {}
    unknown: list[tuple[bytes, bytes, int]] = []
    for folder, stamps in folders.items():
        known = {} if cache is None else cache.lookup(folder, stamps)
        for name, stamp in stamps.items():
            if name in known:
                found[folder, name] = (known[name], stamp.size)
            else:
                unknown.append((folder, name, stamp.size))
    for (folder, name, _), hashed in zip(unknown, _hashed(unknown, cache), strict=True):
        found[folder, name] = (hashed.digest, hashed.stamp.size)
    return [found[place] for place in places]


def _hashed(places: Sequence[tuple[bytes, bytes, int]], cache: DigestCache | None) -> Iterator[Hashed]:
    """Read files, each given as its folder, its name and about how big it is; the cache remembers them."""
    paths = [os.path.join(folder, name) for folder, name, _ in places]
    reading = hash_files(paths, sum(size for _, _, size in places))
    for (folder, name, _), hashed in zip(places, reading, strict=True):
        if cache is not None:
            cache.remember(folder, name, hashed)
        yield hashed


def _absolute(path: Path | str) -> bytes:
    if isinstance(path, str) and path.startswith("/"):
        return os.fsencode(path)
    # Not os.path.abspath, which takes "link/.." for the folder that the link is in.
    return os.fsencode(Path(path).absolute())


def _status(path: bytes) -> os.stat_result:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(error.errno, "there is no such file or folder", os.fsdecode(path)) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _bytes(text: str) -> bytes:
    # Not os.fsencode, which depends on the machine's locale.
    return text.encode("utf-8", "surrogateescape")
