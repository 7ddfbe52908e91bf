"""A folder on another host, reached by SFTP, as an end of a transfer."""

from __future__ import annotations

import asyncio
import posixpath
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aml_provider.storage.paths import PART_PREFIX, kept_by_runs

from .ends import Bytes, End, Entry, Folder, Landing, Part, R, Refused
from .errors import ChangedError, CorruptError

_AT_ONCE = 8
# The server's marks are whole seconds, by a clock of its own.
_SETTLED_SECONDS = 10.0
_LEFT_SECONDS = 24 * 3600


class SftpEnd(End):
    """Files below a folder of another host. The server has no checksums: what was written is read back."""

    keeps_folders = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._made: set[str] = set()
        self._left: list[tuple[str, float]] = []
        self._stray: set[str] = set()

    def full(self, path: str) -> str:
        """A path as the server knows it."""
        return str(self._backend.full(self.path(path)))

    def shared(self, other: End) -> bool:
        return isinstance(other, SftpEnd) and other._backend.client is self._backend.client

    # --- reading --------------------------------------------------------------------------------------------

    def look(self, path: str) -> Entry | Folder | Refused | None:
        return self._ask("looking at", path, lambda sftp: self._look(sftp, path))

    def walk(self) -> Iterator[Entry | Folder | Refused]:
        self._left = []
        yield from self._ask("listing", "", self._walk)

    def settled(self, entry: Entry) -> bool:
        return time.time() - float(entry.mark.partition(":")[2]) > _SETTLED_SECONDS

    def read(self, entry: Entry, start: int, end: int) -> Bytes:
        async def work(sftp: Any) -> bytes:
            from asyncssh import SFTPNoSuchFile

            try:
                async with sftp.open(entry.inner, "rb") as file:
                    data = await _read(file, start, end)
                    attributes = await file.stat()
            except SFTPNoSuchFile as error:
                raise ChangedError(f"{self.path(entry.path)!r} was removed while the transfer went on") from error
            if len(data) != end - start or _mark(attributes) != entry.mark:
                raise ChangedError(f"{self.path(entry.path)!r} was changed while it was read")
            return data

        return self._ask("reading", entry.path, work)

    # --- writing --------------------------------------------------------------------------------------------

    def put(self, path: str, data: Bytes, md5: bytes, note: Callable[[str], None]) -> None:
        async def work(sftp: Any) -> None:
            content = bytes(data)
            async with self._part(sftp, path) as part:
                async with sftp.open(part, "w+b") as file:
                    await file.write(content, 0)
                    if self.verify and await _read(file, 0, len(content)) != content:
                        raise CorruptError("what was written is not what was sent")
                    mark = _mark(await file.stat())
                note(mark)
                await _rename(sftp, part, self.full(path))

        self._ask("writing", path, work)

    def begin(self, path: str, size: int | None, part_bytes: int) -> Landing:
        name = f"{PART_PREFIX}{secrets.token_hex(8)}"

        async def work(sftp: Any) -> None:
            async with sftp.open(f"{await self._folder(sftp, path)}/{name}", "wb"):
                pass

        self._ask("writing", path, work)
        return _SftpLanding(self, path, {"name": name})

    def resumed(self, path: str, token: dict[str, Any]) -> Landing | None:
        if not str(token.get("name")).startswith(PART_PREFIX):
            return None
        landing = _SftpLanding(self, path, token)
        there = self._ask("looking at", path, lambda sftp: sftp.isfile(landing.part))
        return landing if there else None

    def remove(self, path: str) -> None:
        self._ask("removing", path, lambda sftp: _remove(sftp, self.full(path)))

    def make_folder(self, path: str) -> None:
        self._ask("making", path, lambda sftp: self._folder(sftp, f"{path}/x"))

    def sweep(self) -> None:
        limit = time.time() - _LEFT_SECONDS

        old = [full for full, modified in self._left if modified < limit]

        async def work(sftp: Any) -> None:
            for full in (*old, *self._stray):
                await _remove(sftp, full)

        if old or self._stray:
            self._ask("removing parts in", "", work)

    def copy_within(self, entry: Entry, source: End, path: str, moved: Callable[[int], None]) -> str | None:
        async def work(sftp: Any) -> str | None:
            if not sftp.supports_remote_copy:
                return None
            async with self._part(sftp, path) as part:
                await sftp.remote_copy(entry.inner, part)
                if _mark(await sftp.stat(entry.inner)) != entry.mark:
                    raise ChangedError(f"{source.path(entry.path)!r} was changed while it was copied")
                attributes = await sftp.stat(part)
                if attributes.size != entry.size:
                    raise CorruptError("the server's copy has another size")
                await _rename(sftp, part, self.full(path))
                moved(entry.size or 0)
                return _mark(attributes)

        return self._ask("writing", path, work)

    # --- inside ---------------------------------------------------------------------------------------------

    def _ask(self, doing: str, path: str, work: Callable[[Any], Awaitable[R]]) -> R:
        found: R = self._do(f"{doing} {self.path(path)!r}", lambda backend: backend._run(work))
        return found

    async def _look(self, sftp: Any, path: str) -> Entry | Folder | Refused | None:
        from asyncssh import FILEXFER_TYPE_DIRECTORY, SFTPNoSuchFile, SFTPNoSuchPath

        full = self.full(path)
        try:
            attributes = await sftp.stat(full)
        except (SFTPNoSuchFile, SFTPNoSuchPath):
            return Refused(path, "is a link that leads nowhere") if await sftp.islink(full) else None
        if attributes.type == FILEXFER_TYPE_DIRECTORY:
            return Folder(path)
        real = await sftp.realpath(full)
        if await sftp.islink(full) and not _inside(real, await sftp.realpath(self._backend.full(""))):
            return Refused(path, "is a link that leads out of the datastore")
        return _entry(path, real, attributes)

    async def _walk(self, sftp: Any) -> list[Entry | Folder | Refused]:
        from asyncssh import FILEXFER_TYPE_DIRECTORY, FILEXFER_TYPE_SYMLINK

        top = await sftp.realpath(self.full(""))
        found: list[Entry | Folder | Refused] = []
        limit = asyncio.Semaphore(_AT_ONCE)

        async def folder(path: str, full: str, above: tuple[str, ...]) -> None:
            async with limit:
                entries = await sftp.readdir(full)
            below = []
            for entry in entries:
                name = entry.filename
                if name in (".", "..") or name in kept_by_runs(self.place or path):
                    continue
                if name.startswith(PART_PREFIX):
                    self._left.append((f"{full}/{name}", float(entry.attrs.mtime or 0)))
                    continue
                inner, there = f"{path}/{name}" if path else name, f"{full}/{name}"
                if entry.attrs.type == FILEXFER_TYPE_SYMLINK:
                    async with limit:
                        linked = await _linked(sftp, inner, there, top, above)
                    if isinstance(linked, str):
                        found.append(Folder(inner))
                        below.append(folder(inner, linked, (*above, linked)))
                    else:
                        found.append(linked)
                elif entry.attrs.type == FILEXFER_TYPE_DIRECTORY:
                    found.append(Folder(inner))
                    below.append(folder(inner, there, above))
                else:
                    found.append(_entry(inner, there, entry.attrs))
            await asyncio.gather(*below)

        await folder("", top, (top,))
        return found

    async def _folder(self, sftp: Any, path: str) -> str:
        """The folder that a file goes to, made if need be."""
        inner = path.rpartition("/")[0]
        folder = self.full(inner)
        if inner not in self._made:
            await sftp.makedirs(folder, exist_ok=True)
            if not _inside(await sftp.realpath(folder), await sftp.realpath(self.full(""))):
                raise PermissionError(1, "a link there leads out of the destination", folder)
            self._made.add(inner)
        return folder

    @asynccontextmanager
    async def _part(self, sftp: Any, path: str) -> AsyncIterator[str]:
        """The name of a part, which is removed when the work on it fails."""
        from asyncssh import Error

        part = f"{await self._folder(sftp, path)}/{PART_PREFIX}{secrets.token_hex(8)}"
        try:
            yield part
        except BaseException:
            # Somebody may have removed the folder.
            self._made.clear()
            try:
                await sftp.remove(part)
            except (Error, OSError):
                # With a connection that is gone it stays until the end of this transfer, or of a later one.
                self._stray.add(part)
            raise


class _SftpLanding(Landing):
    def __init__(self, end: SftpEnd, path: str, token: dict[str, Any]) -> None:
        self.token = token
        self._end = end
        self._path = path
        self._final = end.full(path)
        self.part = f"{posixpath.dirname(self._final)}/{token['name']}"

    def write(self, number: int, offset: int, data: Bytes, md5: bytes) -> str:
        async def work(sftp: Any) -> None:
            content = bytes(data)
            async with sftp.open(self.part, "r+b") as file:
                await file.write(content, offset)
                if self._end.verify and await _read(file, offset, offset + len(content)) != content:
                    raise CorruptError("what was written is not what was sent")

        self._end._ask("writing", self._path, work)
        return ""

    def publish(self, parts: Sequence[Part], whole: str | None, note: Callable[[str], None]) -> None:
        async def work(sftp: Any) -> None:
            note(_mark(await sftp.stat(self.part)))
            await _rename(sftp, self.part, self._final)

        self._end._ask("writing", self._path, work)

    def abandon(self) -> None:
        self._end._ask("removing", self._path, lambda sftp: _remove(sftp, self.part))


async def _linked(sftp: Any, path: str, full: str, top: str, above: tuple[str, ...]) -> Entry | Refused | str:
    """What a link leads to; text: a folder."""
    from asyncssh import FILEXFER_TYPE_DIRECTORY, SFTPNoSuchFile, SFTPNoSuchPath

    real = await sftp.realpath(full)
    if not _inside(real, top):
        return Refused(path, "is a link that leads out of the folder")
    try:
        attributes = await sftp.stat(full)
    except (SFTPNoSuchFile, SFTPNoSuchPath):
        return Refused(path, "is a link that leads nowhere")
    if attributes.type != FILEXFER_TYPE_DIRECTORY:
        return _entry(path, real, attributes)
    if any(_inside(folder, real) for folder in (*above, posixpath.dirname(full))):
        return Refused(path, "is a link to a folder above it, so that copying it would never end")
    return str(real)


def _entry(path: str, full: str, attributes: Any) -> Entry | Refused:
    from asyncssh import FILEXFER_TYPE_REGULAR

    if attributes.type != FILEXFER_TYPE_REGULAR:
        return Refused(path, "is neither file nor folder, and only files can be moved")
    return Entry(path, attributes.size, _mark(attributes), None, full)


def _mark(attributes: Any) -> str:
    return f"{attributes.size}:{attributes.mtime}"


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


async def _read(file: Any, start: int, end: int) -> bytes:
    data: bytes = await file.read(end - start, start) if end > start else b""
    while len(data) < end - start and (more := await file.read(end - start - len(data), start + len(data))):
        data += more
    return data


async def _rename(sftp: Any, part: str, full: str) -> None:
    from asyncssh import SFTPFailure, SFTPNoSuchFile, SFTPOpUnsupported

    try:
        await sftp.posix_rename(part, full)
    except SFTPNoSuchFile:
        # Asked a second time, because the answer to the first was lost with the connection.
        if await sftp.exists(part) or not await sftp.exists(full):
            raise
    except SFTPOpUnsupported:
        # A server without OpenSSH's extension renames to what is not there only.
        try:
            await sftp.rename(part, full)
        except SFTPFailure:
            await sftp.remove(full)
            await sftp.rename(part, full)


async def _remove(sftp: Any, full: str) -> None:
    from asyncssh import SFTPNoSuchFile, SFTPNoSuchPath

    try:
        await sftp.remove(full)
    except (SFTPNoSuchFile, SFTPNoSuchPath):
        return
