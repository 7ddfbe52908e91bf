"""A folder of this machine as an end of a transfer."""

from __future__ import annotations

import itertools
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from aml_provider.storage.paths import PART_PREFIX, kept_by_runs

from .ends import Bytes, End, Entry, Folder, Landing, Part, Refused
from .errors import ChangedError, CorruptError
from .local_copy import copy_content, read_apart, read_at, write_at

# Two changes within a clock's tick leave the same mark.
_SETTLED_SECONDS = 2.0
_APART_BYTES = 1 << 20
# A smaller file is read as a whole before it is written.
_SMALL_BYTES = 1 << 20
# A part this old was left by a process that is gone.
_LEFT_SECONDS = 24 * 3600
_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class FolderEnd(End):
    """Files in a folder. Links inside of it are followed, those that lead out of it are refused."""

    keeps_folders = True
    near = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        root = self._backend.local_root
        assert root is not None
        self._root = str(root)
        self._base = os.path.join(self._root, self.place) if self.place else self._root
        self._made: set[str] = set()
        self._lock = threading.Lock()
        self._left: list[str] = []
        self._own = secrets.token_hex(8)
        self._numbers = itertools.count()

    def full(self, path: str) -> str:
        """A path of this machine."""
        return f"{self._base}/{path}" if path else self._base

    def shared(self, other: End) -> bool:
        return isinstance(other, FolderEnd)

    # --- reading --------------------------------------------------------------------------------------------

    def look(self, path: str) -> Entry | Folder | Refused | None:
        full = self.full(path)
        try:
            status = os.stat(full)
        except (FileNotFoundError, NotADirectoryError):
            return Refused(path, "is a link that leads nowhere") if os.path.islink(full) else None
        if stat.S_ISDIR(status.st_mode):
            return Folder(path)
        if os.path.islink(full) and not _inside(os.path.realpath(full), os.path.realpath(self._root)):
            return Refused(path, "is a link that leads out of the datastore")
        return _entry(path, os.path.realpath(full), status)

    def walk(self) -> Iterator[Entry | Folder | Refused]:
        top = os.path.realpath(self._base)
        self._left = []
        # Folders with the real places of those above them, by which a link back up is seen.
        waiting: list[tuple[str, str, tuple[str, ...]]] = [("", top, (top,))]
        while waiting:
            path, full, above = waiting.pop()
            with os.scandir(full) as entries:
                for entry in entries:
                    if entry.name.startswith(PART_PREFIX):
                        self._left.append(entry.path)
                        continue
                    if entry.name in kept_by_runs(self.place or path):
                        continue
                    inner = f"{path}/{entry.name}" if path else entry.name
                    if entry.is_symlink():
                        found = _linked(inner, entry.path, top, above)
                        if isinstance(found, str):
                            yield Folder(inner)
                            waiting.append((inner, found, (*above, found)))
                        else:
                            yield found
                    elif entry.is_dir(follow_symlinks=False):
                        yield Folder(inner)
                        waiting.append((inner, entry.path, above))
                    else:
                        yield _entry(inner, entry.path, entry.stat(follow_symlinks=False))

    def read(self, entry: Entry, start: int, end: int) -> Bytes:
        full, stamp = entry.inner
        descriptor = self.opened(entry)
        try:
            data = (read_at if end - start < _APART_BYTES else read_apart)(descriptor, start, end)
            # After the reading: what was read before a change is what the entry says.
            if len(data) != end - start or _stamp(os.fstat(descriptor)) != stamp:
                raise ChangedError(f"{full} was changed while it was read")
        finally:
            os.close(descriptor)
        return data

    def settled(self, entry: Entry) -> bool:
        _, (_, _, _, modified, changed) = entry.inner
        return bool(time.time() - max(modified, changed) / 1e9 > _SETTLED_SECONDS)

    def opened(self, entry: Entry) -> int:
        """The entry's file, open for reading.

        :raises ChangedError: it is another one by now, or gone.
        """
        full, stamp = entry.inner
        descriptor = _open(full)
        if _stamp(os.fstat(descriptor)) != stamp:
            os.close(descriptor)
            raise ChangedError(f"{full} was changed while it was read")
        return descriptor

    # --- writing --------------------------------------------------------------------------------------------

    def put(self, path: str, data: Bytes, md5: bytes, note: Callable[[str], None]) -> None:
        self._write(path, 0o666, lambda target: write_at(target, 0, data, verify=self.verify), note)

    def copy_within(self, entry: Entry, source: End, path: str, moved: Callable[[int], None]) -> str | None:
        assert isinstance(source, FolderEnd)
        if (entry.size or 0) < _SMALL_BYTES:
            self._copy_small(entry, path)
            moved(entry.size or 0)
        else:
            self._copy_big(entry, source, path, moved)
        return ""  # Nobody notes it: what is on this machine is looked at again.

    def _copy_small(self, entry: Entry, path: str) -> None:
        """With as few questions to the system as that takes: of small files there are many."""
        full, stamp = entry.inner
        size = stamp[2]
        descriptor = _open(full)
        try:
            # One more than it should have: some files that the kernel makes up say that they are empty.
            data = os.read(descriptor, size + 1)
            if len(data) < size:
                data = read_at(descriptor, 0, size + 1)
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if _stamp(status) != stamp or len(data) != size:
            raise ChangedError(f"{full} was changed while it was read")
        self._write(path, _mode(status), lambda target: write_at(target, 0, data, verify=self.verify))

    def _copy_big(self, entry: Entry, source: FolderEnd, path: str, moved: Callable[[int], None]) -> None:
        descriptor = source.opened(entry)
        try:
            before = os.fstat(descriptor)

            def copy(target: int) -> None:
                problem: CorruptError | None = None
                try:
                    copy_content(descriptor, target, before.st_size, moved, verify=self.verify)
                except CorruptError as error:
                    problem = error
                # First of all: what has changed meanwhile differs, too.
                if _stamp(os.fstat(descriptor)) != entry.inner[1]:
                    raise ChangedError(f"{entry.inner[0]} was changed while it was read")
                if problem is not None:
                    raise problem

            self._write(path, _mode(before), copy)
        finally:
            os.close(descriptor)

    def begin(self, path: str, size: int | None, part_bytes: int) -> Landing:
        folder = self._folder(path)
        name = self._part()
        os.close(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        return _FolderLanding(self, path, {"name": name, "boot": _boot()})

    def resumed(self, path: str, token: dict[str, Any]) -> Landing | None:
        # What a machine had not yet written out when its power failed is not there, whatever the file's size says.
        if token.get("boot") != _boot() or not str(token.get("name")).startswith(PART_PREFIX):
            return None
        landing = _FolderLanding(self, path, token)
        return landing if os.path.isfile(landing.part) and not os.path.islink(landing.part) else None

    def remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.full(path))

    def make_folder(self, path: str) -> None:
        self._folder(f"{path}/x")

    def landed(self, entry: Entry) -> str:
        _, (_, inode, size, mtime, _) = entry.inner
        return f"{_boot()}:{inode}:{size}:{mtime}"

    def sweep(self) -> None:
        limit = time.time() - _LEFT_SECONDS
        for path in self._left:
            with suppress(FileNotFoundError):
                if os.lstat(path).st_mtime < limit:
                    os.unlink(path)

    # --- inside ---------------------------------------------------------------------------------------------

    def _folder(self, path: str) -> str:
        """The folder that a file goes to, made if need be.

        :raises OSError: it cannot be made, or a link there leads elsewhere.
        """
        inner = path.rpartition("/")[0]
        folder = self.full(inner)
        if inner in self._made:
            return folder
        os.makedirs(folder, exist_ok=True)
        if not _inside(os.path.realpath(folder), os.path.realpath(self._base)):
            raise PermissionError(1, "a link there leads out of the destination", folder)
        with self._lock:
            self._made.add(inner)
        return folder

    def _write(
        self, path: str, mode: int, fill: Callable[[int], None], note: Callable[[str], None] | None = None
    ) -> None:
        """A file of this content, whole or not at all."""
        part = f"{self._folder(path)}/{self._part()}"
        target = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            try:
                fill(target)
                if note is not None:
                    note(_mark(os.fstat(target)))
            finally:
                os.close(target)
            os.replace(part, self.full(path))
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(part)
            raise

    def _part(self) -> str:
        """A name that no other file has."""
        return f"{PART_PREFIX}{self._own}-{next(self._numbers)}"


class _FolderLanding(Landing):
    readable = True

    def __init__(self, end: FolderEnd, path: str, token: dict[str, Any]) -> None:
        self.token = token
        self._end = end
        self._final = end.full(path)
        self.part = f"{os.path.dirname(self._final)}/{token['name']}"

    def write(self, number: int, offset: int, data: Bytes, md5: bytes) -> str:
        target = os.open(self.part, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            write_at(target, offset, data, verify=self._end.verify)
        finally:
            os.close(target)
        return ""

    def publish(self, parts: Sequence[Part], whole: str | None, note: Callable[[str], None]) -> None:
        note(_mark(os.stat(self.part)))
        os.replace(self.part, self._final)

    def abandon(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.part)

    def read_back(self, start: int, end: int) -> Bytes:
        descriptor = os.open(self.part, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return read_at(descriptor, start, end)
        finally:
            os.close(descriptor)


def _entry(path: str, full: str, status: os.stat_result) -> Entry | Refused:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something unknown")
        return Refused(path, f"is {kind}, and only files can be moved")
    stamp = _stamp(status)
    return Entry(path, status.st_size, ":".join(map(str, stamp)), None, (full, stamp))


def _stamp(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _linked(path: str, full: str, top: str, above: tuple[str, ...]) -> Entry | Refused | str:
    """What a link leads to; text: a folder."""
    real = os.path.realpath(full)
    if not _inside(real, top):
        return Refused(path, "is a link that leads out of the folder")
    try:
        status = os.stat(real)
    except OSError:
        return Refused(path, "is a link that leads nowhere")
    if not stat.S_ISDIR(status.st_mode):
        return _entry(path, real, status)
    if any(_inside(folder, real) for folder in (*above, os.path.dirname(full))):
        return Refused(path, "is a link to a folder above it, so that copying it would never end")
    return real


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _open(full: str) -> int:
    try:
        return os.open(full, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise ChangedError(f"{full} was removed while the transfer went on") from error


def _mode(status: os.stat_result) -> int:
    return stat.S_IMODE(status.st_mode) & 0o777


def _mark(status: os.stat_result) -> str:
    return f"{_boot()}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"


def _boot() -> str:
    """Which start of this machine it is."""
    global _BOOT
    if _BOOT is None:
        try:
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                _BOOT = file.read(8)
        except OSError:
            _BOOT = "unknown"
    return _BOOT


_BOOT: str | None = None
