"""Digests of the files that this machine has read before, so that an unchanged file is not read again.

A digest is used only when device, inode, size, mtime and ctime of the file are what they were. A user cannot set the
ctime, so a file that was rewritten and given its old mtime is noticed. What can still go unnoticed is a change within
the clock's resolution; therefore the digest of a file that had just changed when it was read is not kept (git calls
such files racy). Two things are beyond this: a program that goes on writing through a memory map whose page has not
been written back, and a file server whose clock is more than two seconds behind ours.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType

from blake3 import blake3

from .digest_rows import DigestRows
from .hashing import STAMP_BYTES, FileStamp, Hashed

_MARGIN_NS = 2_000_000_000
_ENTRY_BYTES = STAMP_BYTES + 32
_LENGTH = struct.Struct("<H")
# In memory, an entry takes some 200 bytes.
_MAX_HELD = 500_000
_MAX_PENDING = 50_000


class DigestCache:
    """The digests that this machine knows; several processes and threads may use it at once.

    It never fails: without a usable file, nothing is known and nothing is kept, which the log says once.

    :param folder: where its file is; one folder may serve many machines, each has its own file there.
    """

    def __init__(self, folder: Path) -> None:
        host = blake3(os.uname().nodename.encode("utf-8", "surrogateescape")).hexdigest()[:12]
        self.file = folder / f"digests-{host}.db"
        self._rows = DigestRows(self.file)
        self._lock = threading.RLock()
        self._known: dict[bytes, dict[bytes, bytes]] = {}
        self._pending: dict[bytes, dict[bytes, bytes]] = {}
        self._listed: dict[bytes, Collection[bytes]] = {}
        self._held = 0
        self._waiting = 0

    def __enter__(self) -> DigestCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def prepare(self, folders: Collection[bytes]) -> None:
        """Get ready what is known of many folders, which is faster than one after the other."""
        with self._lock:
            unknown = [folder for folder in folders if folder not in self._known]
            if len(unknown) > 1 and self._held <= _MAX_HELD:
                for folder, body in self._rows.read_many(unknown).items():
                    self._hold(folder, body)

    def lookup(self, folder: bytes, files: Mapping[bytes, FileStamp]) -> dict[bytes, str]:
        """The digests of those files of a folder that are known and have not changed.

        :param folder: absolute path.
        :param files: what each file's stat says now.
        """
        found = {}
        with self._lock:
            known = self._known.get(folder)
            if known is None:
                known = self._load(folder)
            for name, stamp in files.items():
                entry = known.get(name)
                if entry is not None and entry.startswith(stamp.packed()):
                    found[name] = entry[STAMP_BYTES:].hex()
        return found

    def remember(self, folder: bytes, name: bytes, hashed: Hashed) -> None:
        """Keep a digest, unless the file was so new that a later change might leave the same stamp."""
        stamp = hashed.stamp
        if hashed.started_ns - max(stamp.mtime_ns, stamp.ctime_ns) <= _MARGIN_NS:
            return
        entry = stamp.packed() + bytes.fromhex(hashed.digest)
        with self._lock:
            self._known.setdefault(folder, {})[name] = entry
            self._pending.setdefault(folder, {})[name] = entry
            self._held += 1
            self._waiting += 1
            if self._waiting >= _MAX_PENDING:
                self.flush()

    def listed(self, folder: bytes, files: Mapping[bytes, FileStamp]) -> dict[bytes, str]:
        """:meth:`lookup` of all files of the folder: what is known of others in it can go with the next change.

        :param files: does not change any more.
        """
        with self._lock:
            self._listed[folder] = files
            return self.lookup(folder, files)

    def flush(self) -> None:
        """Write what is new; other processes know it from then on."""
        with self._lock:
            self._rows.update(self._pending.keys(), self._merged)
            self._pending, self._listed, self._waiting = {}, {}, 0
            if self._held > _MAX_HELD:
                self._known, self._held = {}, 0

    def close(self) -> None:
        """Write what is new and let go of the file."""
        with self._lock:
            self.flush()
            self._rows.close()

    def _load(self, folder: bytes) -> dict[bytes, bytes]:
        if self._held > _MAX_HELD:
            self.flush()
        return self._hold(folder, self._rows.read(folder))

    def _hold(self, folder: bytes, body: bytes) -> dict[bytes, bytes]:
        known = self._known[folder] = _entries(body)
        self._held += len(known)
        return known

    def _merged(self, folder: bytes, body: bytes) -> bytes:
        entries = _entries(body)
        names = self._listed.get(folder)
        if names is not None:
            entries = {name: entry for name, entry in entries.items() if name in names}
        entries.update(self._pending[folder])
        return b"".join(
            _LENGTH.pack(len(name)) + name + entry for name, entry in entries.items() if len(name) <= 0xFFFF
        )


def _entries(body: bytes) -> dict[bytes, bytes]:
    entries = {}
    at = 0
    while at < len(body):
        start = at + _LENGTH.size
        end = start + _LENGTH.unpack_from(body, at)[0]
        at = end + _ENTRY_BYTES
        entries[body[start:end]] = body[end:at]
    return entries
