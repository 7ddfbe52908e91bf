"""Copies of what is in object stores, kept on this machine by content, so that nothing is downloaded twice.

A step gets links to the kept files, in a folder of its own: the cache may forget an entry while a step still reads it.
Whoever writes into such a file in spite of its mode spoils the kept copy; that is noticed at the next use, and it is
fetched again.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3
from filelock import FileLock, Timeout

from aml_provider.spec.errors import AmlError, PipelineError

from .datastores import Store
from .digest_cache import DigestCache
from .digests import Content, content_of

_log = logging.getLogger(__name__)
_ENTRY = "entry.json"
_DATA = "data"
_TRIES = 3
_READ_ONLY = 0o444
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP}


@dataclass(frozen=True)
class _Entry:
    """A kept copy.

    :param digest: of the files as they were when they came.
    """

    digest: str
    bytes: int


class StageCache:
    """The kept copies of one machine; many processes may use it at once.

    :param folder: where they are.
    :param max_bytes: when they take more room than this, those that were used longest ago go.
    :param digests: what this machine knows of files that it has read.
    """

    def __init__(self, folder: Path, max_bytes: int, digests: DigestCache | None = None) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._digests = digests

    def bring(self, store: Store, path: str, content: Content, target: Path, *, private: bool = False) -> None:
        """Make ``target`` what is at a path of a store.

        :param content: identity of what is there, as it was just seen.
        :param target: a file or a folder, as the path is; must not exist.
        :param private: the step may change its copy, so it gets one of its own.
        :raises PipelineError: it changes while it is fetched, or there is no room for it here.
        """
        place = self._place(store, path, content)
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{place}.lock"):
            if not self._usable(place):
                self._fill(place, store, path, content)
            os.utime(place / _ENTRY)
            target.parent.mkdir(parents=True, exist_ok=True)
            _give(place / _DATA, target, private=private)
        self._shrink(keep=place)

    # --- one entry ------------------------------------------------------------------------------------------

    def _place(self, store: Store, path: str, content: Content) -> Path:
        # A store's own mark of a version says nothing about objects elsewhere.
        key = blake3(json.dumps([store.url, path, content.digest]).encode()).hexdigest()[:40]
        return self._folder / key[:2] / key

    def _usable(self, place: Path) -> bool:
        entry = _read(place)
        if entry is None:
            return False
        try:
            found = content_of(place / _DATA, self._digests, ignore=frozenset()).digest
        except (OSError, AmlError):
            found = ""
        if found == entry.digest:
            return True
        _log.warning("the kept copy %s has been changed; it is fetched again", place)
        return False

    def _fill(self, place: Path, store: Store, path: str, content: Content) -> None:
        for attempt in range(_TRIES):
            if place.exists():
                shutil.rmtree(place)
            place.mkdir()
            try:
                store.download_path(path, place / _DATA)
            except (OSError, AmlError) as error:
                shutil.rmtree(place, ignore_errors=True)
                if not _is_full(error):
                    raise
                if attempt or not self._shrink(keep=place, to=0):
                    raise PipelineError(
                        f"no room to stage {path!r} of datastore {store.name!r} in {self._folder}: the disk is full. "
                        "Make room there, or set state: in the workspace file to a folder on another disk."
                    ) from error
                continue
            if not (place / _DATA).exists():
                (place / _DATA).mkdir()
            if store.content(path) == content:
                self._seal(place)
                return
        shutil.rmtree(place, ignore_errors=True)
        raise PipelineError(
            f"{path!r} in datastore {store.name!r} changes while it is fetched; wait until whatever writes it has ended"
        )

    def _seal(self, place: Path) -> None:
        data = place / _DATA
        for file in [data] if data.is_file() else (p for p in data.rglob("*") if p.is_file()):
            file.chmod(_READ_ONLY)
        found = content_of(data, self._digests, ignore=frozenset())
        part = place / f"{_ENTRY}.part"
        part.write_text(json.dumps({"digest": found.digest, "bytes": found.bytes}), encoding="utf-8")
        part.replace(place / _ENTRY)

    # --- all of them ----------------------------------------------------------------------------------------

    def _shrink(self, keep: Path, to: int | None = None) -> bool:
        """Forget what was used longest ago, until the rest fits; whether anything went."""
        limit = self._max_bytes if to is None else to
        entries = sorted(self._entries())
        total = sum(entry.bytes for _, _, entry in entries)
        gone = False
        for _, place, entry in entries:
            if total <= limit:
                break
            if place != keep and self._forget(place):
                total -= entry.bytes
                gone = True
        return gone

    def _entries(self) -> Iterator[tuple[float, Path, _Entry]]:
        for file in self._folder.glob(f"??/*/{_ENTRY}"):
            entry = _read(file.parent)
            with suppress(FileNotFoundError):
                if entry is not None:
                    yield file.stat().st_mtime, file.parent, entry

    def _forget(self, place: Path) -> bool:
        lock = FileLock(f"{place}.lock", timeout=0)
        try:
            with lock:
                # Out of the way first: what is half removed must not look like an entry.
                trash = place.with_name(f"{place.name}.{uuid.uuid4().hex[:8]}.gone")
                place.rename(trash)
        except (Timeout, FileNotFoundError):
            return False
        shutil.rmtree(trash, ignore_errors=True)
        return True


def _is_full(error: BaseException | None) -> bool:
    """Whether it comes from a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _read(place: Path) -> _Entry | None:
    try:
        value = json.loads((place / _ENTRY).read_text(encoding="utf-8"))
        return _Entry(str(value["digest"]), int(value["bytes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _give(source: Path, target: Path, *, private: bool) -> None:
    if source.is_file():
        _give_file(source, target, private)
        return
    target.mkdir()
    for folder, _, names in os.walk(source):
        inside = target / Path(folder).relative_to(source)
        inside.mkdir(exist_ok=True)
        for name in names:
            _give_file(Path(folder, name), inside / name, private)


def _give_file(source: Path, target: Path, private: bool) -> None:
    if not private:
        try:
            os.link(source, target)
            return
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
    shutil.copyfile(source, target)
