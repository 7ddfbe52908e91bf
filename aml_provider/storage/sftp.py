"""Folders on another host, by SFTP through sshfs.

Not through fsspec's own: that one stands still for ever when threads share it, and trusts whatever host answers.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import posixpath
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .backend_base import Backend, Item, quiet
from .connections import CONNECTION_TYPE, Credentials
from .digest_cache import DigestCache
from .digests import Content
from .faults import DatastoreError, Origin, Reason
from .listing import read_content
from .paths import PART_PREFIX, no_file_name

#: Airflow's connection types that say how to get there.
CONNECTION_TYPES = ("sftp", "ssh", CONNECTION_TYPE)
_ALIVE_SECONDS = 15
_AT_ONCE = 8
T = TypeVar("T")


def options(credentials: Credentials | None, host: str, port: int | None, user: str | None) -> dict[str, Any]:
    """What sshfs is given.

    :param host: as the datastore's URL has it, empty when the connection says it.
    :raises DatastoreError: nothing says which host it is, or two things say different ones.
    """
    c = credentials
    if c is not None and c.host and host and c.host != host:
        raise DatastoreError(
            f"its url names the host {host!r}, and Airflow connection {c.conn_id!r} another one; credentials are not "
            "shown to a host that they are not for: correct one of them.",
            Reason.CONNECTION,
        )
    host = host or (c.host if c is not None else "")
    if not host:
        raise DatastoreError("nothing says which host it is on; write sftp://host/path.", Reason.CONNECTION)
    found: dict[str, Any] = {
        "host": host,
        "port": port or (c.port if c is not None else None),
        "username": user or (c.login if c is not None else None) or getpass.getuser(),
        "known_hosts": (),
    }
    if c is not None:
        found |= _login(c) | _host_key(c)
    return {name: value for name, value in found.items() if value is not None or name in ("known_hosts", "client_keys")}


def filesystem(found: dict[str, Any]) -> Any:
    """The file system for :func:`options`, connected."""
    import asyncssh
    from sshfs import SSHFileSystem

    quiet("asyncssh")
    wanted = dict(found)
    for file in wanted.get("client_keys") or ():
        if not os.path.isfile(file):
            raise DatastoreError(
                f"there is no private key file {file!r} on this machine; correct key_file in the connection's extra.",
                Reason.CREDENTIALS,
            )
    text, word = wanted.pop("private_key", None), wanted.pop("passphrase", None)
    if text is not None:
        wanted["client_keys"] = [asyncssh.import_private_key(text, word)]
    elif word is not None:
        wanted["passphrase"] = word
    if (key := wanted.pop("host_key", None)) is not None:
        wanted["known_hosts"] = asyncssh.import_known_hosts(f"* {key}\n")
    # A name that is not UTF-8 stays what it is, as in folders of this machine.
    names = {"path_encoding": "utf-8", "path_errors": "surrogateescape"}
    return SSHFileSystem(
        **wanted,
        keepalive_interval=_ALIVE_SECONDS,
        connect_timeout=_ALIVE_SECONDS,
        sftp_client_kwargs=names,
        skip_instance_cache=True,
    )


class SftpBackend(Backend):
    """Files below a folder of another host. Links are followed."""

    parallel = _AT_ONCE
    held = True

    def __init__(self, origin: Origin, filesystem: Any, root: str) -> None:
        super().__init__(origin, filesystem)
        self._fs = filesystem
        self._root = root.rstrip("/")
        self._made: set[str] = set()

    @property
    def filesystem(self) -> Any:
        return self._fs

    def full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root or "/"

    def check(self) -> None:
        self._run(lambda sftp: sftp.listdir(self.full("")))

    def exists(self, path: str) -> bool:
        return bool(self._run(lambda sftp: sftp.exists(self.full(path))))

    def is_file(self, path: str) -> bool:
        return bool(self._run(lambda sftp: sftp.isfile(self.full(path))))

    def items(self, path: str) -> Iterator[Item]:
        yield from self._run(lambda sftp: self._items(sftp, path))

    def contents(self, paths: Sequence[str], cache: DigestCache | None) -> list[Content | None]:
        return [read_content(self, path) for path in paths]

    def read(self, path: str) -> bytes:
        return self._run(lambda sftp: _read(sftp, self.full(path)))

    def get(self, path: str, target: Path) -> None:
        # What a link leads to is copied, not the link.
        self._run(lambda sftp: sftp.get(self.full(path), str(target), follow_symlinks=True))

    def refusal(self, path: str) -> str:
        # Servers answer such names with "failure", or not at all.
        return no_file_name(path, self.full(path))

    def put(self, source: Path, path: str) -> None:
        self._run(lambda sftp: self._put(sftp, source, self.full(path)))

    def remove(self, path: str) -> bool:
        return self._run(lambda sftp: _remove(sftp, self.full(path)))

    # --- inside ---------------------------------------------------------------------------------------------

    def _run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        from fsspec.asyn import sync

        async def inside() -> T:
            async with self._fs._pool.get() as sftp:
                return await work(sftp)

        found: T = sync(self._fs.loop, inside)
        return found

    async def _items(self, sftp: Any, path: str) -> list[Item]:
        from asyncssh import FILEXFER_TYPE_DIRECTORY, FILEXFER_TYPE_REGULAR, SFTPNoSuchFile, SFTPNoSuchPath

        full = self.full(path)
        try:
            top = await sftp.stat(full)
        except (SFTPNoSuchFile, SFTPNoSuchPath):
            return []
        if top.type == FILEXFER_TYPE_REGULAR:
            return [] if posixpath.basename(path).startswith(PART_PREFIX) else [_item(path, top)]
        found: list[Item] = []
        limit = asyncio.Semaphore(_AT_ONCE)

        async def folder(name: str, above: tuple[str, ...]) -> None:
            place = self.full(name)
            async with limit:
                # Where links lead, so that one that leads back up ends the way.
                here = await sftp.realpath(place)
                entries = [] if here in above else await sftp.readdir(place)
            below = []
            for entry in entries:
                if entry.filename in (".", "..") or entry.filename.startswith(PART_PREFIX):
                    continue
                inner, attributes = f"{name}/{entry.filename}" if name else entry.filename, entry.attrs
                if attributes.type not in (FILEXFER_TYPE_REGULAR, FILEXFER_TYPE_DIRECTORY):
                    async with limit:
                        try:
                            attributes = await sftp.stat(self.full(inner))
                        except (SFTPNoSuchFile, SFTPNoSuchPath):
                            continue
                if attributes.type == FILEXFER_TYPE_DIRECTORY:
                    below.append(folder(inner, (*above, here)))
                else:
                    found.append(_item(inner, attributes))
            await asyncio.gather(*below)

        await folder(path, ())
        return found

    async def _put(self, sftp: Any, source: Path, full: str) -> None:
        from asyncssh import SFTPFailure, SFTPOpUnsupported

        parent = posixpath.dirname(full)
        if parent not in self._made:
            await sftp.makedirs(parent, exist_ok=True)
            self._made.add(parent)
        part = f"{parent}/{PART_PREFIX}{uuid.uuid4().hex}"
        try:
            await sftp.put(str(source), part, follow_symlinks=True)
            try:
                await sftp.posix_rename(part, full)
            except SFTPOpUnsupported:
                # A server without OpenSSH's extension renames to what is not there only.
                try:
                    await sftp.rename(part, full)
                except SFTPFailure:
                    await sftp.remove(full)
                    await sftp.rename(part, full)
        except BaseException:
            # Somebody may have removed the folder meanwhile.
            self._made.discard(parent)
            if await sftp.exists(part):
                await sftp.remove(part)
            raise


def _item(path: str, attributes: Any) -> Item:
    return Item(path, attributes.size, attributes.mtime, None)


async def _read(sftp: Any, full: str) -> bytes:
    async with sftp.open(full, "rb") as file:
        content: bytes = await file.read()
        return content


async def _remove(sftp: Any, full: str) -> bool:
    from asyncssh import SFTPNoSuchFile, SFTPNoSuchPath

    try:
        await sftp.remove(full)
    except (SFTPNoSuchFile, SFTPNoSuchPath):
        return False
    return True


def _login(c: Credentials) -> dict[str, Any]:
    key, file = c.text("private_key"), c.text("key_file")
    word = c.text("private_key_passphrase", "passphrase")
    if key or file:
        how = {"private_key": key} if key else {"client_keys": [file]}
        return {**how, "passphrase": word, "password": c.password or None, "agent_path": None}
    if c.password:
        # Servers count the keys that are tried before a password.
        return {"password": c.password, "client_keys": None, "agent_path": None}
    return {}


def _host_key(c: Credentials) -> dict[str, Any]:
    if key := c.text("host_key"):
        # With or without the name of its kind, as Airflow's own hooks take it.
        return {"host_key": key if " " in key.strip() else f"ssh-rsa {key.strip()}"}
    # Airflow's own types mean "do not check" when they say nothing.
    if c.flag("no_host_key_check", default=c.conn_type != CONNECTION_TYPE):
        return {"known_hosts": None}
    return {}
