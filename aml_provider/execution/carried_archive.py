"""Archives that travel through an object store in parts: what is packed into them, and unpacking them."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import Any

from aml_provider.execution.data import Mount
from aml_provider.storage.datastores import Store
from aml_provider.storage.paths import kept_by_runs


class DamagedError(Exception):
    """Not what the receipt says."""


def pack(archive: tarfile.TarFile, mount: Mount, inside: str) -> None:
    """Add what a step sees of a mount, as its own and on this path."""
    left_out = {f"{inside}/{name}" for name in kept_by_runs(mount.relative)}

    def shown(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if info.name in left_out or not (info.isfile() or info.isdir() or info.issym()):
            return None
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        if mount.read_only and info.isfile():
            info.mode &= ~0o222
        return info

    # Kept copies have several names, each of which is a file of its own there.
    archive.inodes = _Forgetful()  # type: ignore[attr-defined]
    archive.add(mount.source, inside, filter=shown)


def unpack(store: Store, paths: list[str], known: list[dict[str, Any]], target: Path) -> None:
    """Bring an archive to a folder that does not exist yet.

    :param paths: where its parts are; :param known: of each part that was written, the ``sha256``.
    :raises DamagedError: it is not what was written. What is in the folder is of no use then.
    """
    target.mkdir(parents=True)
    parts = _Parts(store, paths, known, target)
    try:
        with tarfile.open(fileobj=parts, mode="r|", bufsize=1 << 20) as archive:  # type: ignore[call-overload]
            archive.extractall(target, filter="tar")
        parts.finish()
    except tarfile.TarError as error:
        raise DamagedError(str(error)) from error


class _Forgetful(dict[Any, Any]):
    """Of files that have been seen, remembers none."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Leave it as it is."""


class _Parts:
    """The parts of an archive as one stream; at most one of them is on this machine's disk."""

    def __init__(self, store: Store, paths: list[str], known: list[dict[str, Any]], scratch: Path) -> None:
        self._store, self._paths, self._known = store, paths, known
        self._scratch = scratch.with_name(f"{scratch.name}.part")
        self._next = 0
        self._file: Any = None

    def read(self, size: int) -> bytes:
        """Up to so many bytes; none at the end."""
        while True:
            if self._file is None and not self._open():
                return b""
            found: bytes = self._file.read(size)
            if found:
                self._digest.update(found)
                return found
            self._close()

    def finish(self) -> None:
        """See that everything has been read, and is what was written."""
        while self.read(1 << 20):
            continue

    def _open(self) -> bool:
        if self._next == len(self._known):
            return False
        path = self._paths[self._next]
        if not self._store.download_path(path, self._scratch):
            raise DamagedError(f"{path} is gone")
        self._file, self._digest = self._scratch.open("rb"), hashlib.sha256()
        return True

    def _close(self) -> None:
        self._file.close()
        self._file = None
        self._scratch.unlink()
        if self._digest.hexdigest() != self._known[self._next]["sha256"]:
            raise DamagedError(f"{self._paths[self._next]} is not what was written there")
        self._next += 1
