"""Small named blobs as files of a local or shared folder."""

from __future__ import annotations

import errno
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from .record_base import Entry, RecordStore, checked_name, is_name

if TYPE_CHECKING:
    from filelock import BaseFileLock

_log = logging.getLogger(__name__)

_PARTS = ".parts"
_LOCKS = ".locks"
# Locks are shared by many names, so that their files do not grow in number.
_LOCK_COUNT = 64
_LOCK_SECONDS = 60
# A part this old was left by a killed process.
_PART_SECONDS = 24 * 3600
_STALE_READS = 5
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


class FolderStore(RecordStore):
    """Blobs as files below ``folder``, which is created when the first one is written.

    Readers take no lock. A writer prepares a file aside and links or renames it into its place; writers that must first
    look at what is there exclude each other with a lock that the operating system drops when its holder dies.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._root = str(self._folder.absolute())
        self._swept = False

    def __str__(self) -> str:
        return self._root

    @property
    def exclusive(self) -> bool:
        """A folder can always do it."""
        return True

    @property
    def folder(self) -> Path:
        """Where the blobs are."""
        return self._folder

    def read(self, name: str) -> bytes | None:
        """The blob's content; ``None`` when there is none."""
        path = self._path(name)
        for _ in range(_STALE_READS):
            try:
                return _content(path)
            except OSError as error:
                # On NFS: replaced while it was being read.
                if error.errno != errno.ESTALE:
                    raise
        return _content(path)

    def create(self, name: str, content: bytes, *, durable: bool = True) -> bool:
        """Write a blob that is not there yet; ``False``, and nothing is changed, when it is."""
        path = self._path(name)
        if os.path.lexists(path):
            return False
        part = self._part(content, durable)
        try:
            # A link is the exclusive create that never shows half a file.
            self._into_place(os.link, part, path)
        except FileExistsError:
            # NFS asks again when an answer is lost, and then meets its own link.
            if os.stat(part).st_nlink < 2:
                return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with self._lock(name):
                if os.path.lexists(path):
                    return False
                self._into_place(os.replace, part, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part)
        if durable:
            _sync_folder(os.path.dirname(path))
        return True

    def replace(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """Write a blob whether or not it is there."""
        path = self._path(name)
        part = self._part(content, durable)
        try:
            # Under the lock, so that nobody swaps what has just been replaced.
            with self._lock(name):
                self._into_place(os.replace, part, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part)
            raise
        if durable:
            _sync_folder(os.path.dirname(path))

    def swap(self, name: str, old: bytes, new: bytes | None, *, durable: bool = True) -> bool:
        """Write ``new``, or delete for ``None``, if the content is exactly ``old``; whether that was done."""
        path = self._path(name)
        if self.read(name) != old:
            return False
        part = None if new is None else self._part(new, durable)
        try:
            with self._lock(name):
                if self.read(name) != old:
                    return False
                if part is None:
                    os.unlink(path)
                else:
                    os.replace(part, path)
                    part = None
        finally:
            if part is not None:
                with suppress(FileNotFoundError):
                    os.unlink(part)
        if durable:
            _sync_folder(os.path.dirname(path))
        return True

    def delete(self, name: str) -> bool:
        """Remove a blob; ``False`` when there was none."""
        path = self._path(name)
        if not os.path.lexists(path):
            return False
        with self._lock(name):
            try:
                os.unlink(path)
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def entries(self, prefix: str = "") -> list[Entry]:
        """Every blob whose name begins with ``prefix``, sorted by name."""
        found = []
        for name, file in self._walk(prefix):
            with suppress(FileNotFoundError):
                seen = file.stat()
                found.append(Entry(name, seen.st_size, seen.st_mtime))
        return sorted(found, key=lambda entry: entry.name)

    def names(self, prefix: str = "") -> list[str]:
        """The names that begin with ``prefix``, sorted."""
        return sorted(name for name, _ in self._walk(prefix))

    # --- inside ---------------------------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        return f"{self._root}/{checked_name(name)}"

    def _walk(self, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        start = prefix.rpartition("/")[0]
        if start and not is_name(start):
            return
        folders = [start]
        while folders:
            folder = folders.pop()
            try:
                children = list(os.scandir(f"{self._root}/{folder}" if folder else self._root))
            except (FileNotFoundError, NotADirectoryError):
                continue
            for child in children:
                name = f"{folder}/{child.name}" if folder else child.name
                if child.name.startswith(".") or not name.startswith(prefix):
                    continue
                if child.is_dir(follow_symlinks=False):
                    folders.append(name)
                else:
                    yield name, child

    def _part(self, content: bytes, durable: bool) -> str:
        """A complete file aside, on the same file system."""
        folder = f"{self._root}/{_PARTS}"
        path = f"{folder}/{uuid.uuid4().hex}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)
            descriptor = os.open(path, flags, 0o666)
        try:
            try:
                left = memoryview(content)
                while left:
                    left = left[os.write(descriptor, left) :]
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(path)
            raise
        if not self._swept:
            self._swept = True
            self._sweep(folder, path)
        return path

    def _into_place(self, move: Callable[[str, str], None], part: str, path: str) -> None:
        try:
            move(part, path)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            move(part, path)

    def _lock(self, name: str) -> BaseFileLock:
        from filelock import FileLock

        folder = f"{self._root}/{_LOCKS}"
        if not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)
        number = crc32(name.encode("utf-8", "surrogateescape")) % _LOCK_COUNT
        # A new object each time: threads exclude each other like processes.
        return FileLock(f"{folder}/{number:02x}", timeout=_LOCK_SECONDS, poll_interval=0.005)

    def _sweep(self, folder: str, part: str) -> None:
        try:
            # By the clock of whatever keeps the folder: by another one, a part that has just been written may look old.
            limit = os.stat(part).st_mtime - _PART_SECONDS
            for file in os.scandir(folder):
                if file.stat().st_mtime < limit:
                    os.unlink(file.path)
        except OSError as error:
            # Somebody else sweeps, or may not: what is left disturbs nobody.
            _log.debug("old files in %s were not removed: %s", folder, error)


def _content(path: str) -> bytes | None:
    # os.open, and not open(): this is done a thousand times in a plan.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        content = os.read(descriptor, 65536)
        if len(content) == 65536:
            parts = [content]
            while part := os.read(descriptor, 1 << 20):
                parts.append(part)
            content = b"".join(parts)
        return content
    except IsADirectoryError:
        return None
    finally:
        os.close(descriptor)


def _sync_folder(folder: str) -> None:
    """What was renamed into ``folder`` is there after a power failure too."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        _log.debug("folder %s cannot be synchronized: %s", folder, error)
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot; the file itself is on the disk.
        _log.debug("folder %s cannot be synchronized: %s", folder, error)
    finally:
        os.close(descriptor)
