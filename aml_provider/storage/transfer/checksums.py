"""Checksums as the stores keep them: MD5 of a content, or MD5 of the MD5s of its parts."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .errors import TransferError

_TAG = re.compile(r"etag:([0-9a-f]{32})(?:-(\d+))?:\d+")
_HEX = re.compile(r"md5:([0-9a-f]{32}):\d+")
_BASE64 = re.compile(r"md5:([A-Za-z0-9+/]{22}==):\d+")


@dataclass(frozen=True)
class Checksum:
    """A store's checksum of a file.

    :param md5: hexadecimal. Of the content; or, with ``parts``, of the parts' MD5s one behind the other.
    :param parts: how many parts it was made of; 0: of the content as a whole.
    :param part_bytes: how big each part but the last is; 0: not known.
    """

    md5: str
    parts: int = 0
    part_bytes: int = 0


def md5(data: Any) -> bytes:
    """MD5 of a part: against change, not a secret."""
    return hashlib.md5(data, usedforsecurity=False).digest()


def of_parts(digests: Iterable[bytes], part_bytes: int) -> Checksum:
    """The checksum of a content whose parts have these MD5s."""
    found = list(digests)
    return Checksum(md5(b"".join(found)).hex(), len(found), part_bytes)


def of_identity(identity: str | None) -> Checksum | None:
    """The checksum in what a listing says of an object; ``None`` where that is only a mark of its version."""
    if identity is None:
        return None
    if found := _TAG.fullmatch(identity):
        return Checksum(found[1], int(found[2] or 0))
    if found := _HEX.fullmatch(identity):
        return Checksum(found[1])
    if found := _BASE64.fullmatch(identity):
        return Checksum(base64.b64decode(found[1]).hex())
    return None


def computed(read: Callable[[int, int], Any], size: int, shape: Checksum, piece: int = 8 << 20) -> Checksum:
    """The checksum of a content, made in the way that ``shape`` was made.

    :param read: gives the bytes from one place to another.
    """
    step = shape.part_bytes if shape.parts else size
    digests = []
    for start in range(0, size, step) if size else (0,):
        whole = hashlib.md5(usedforsecurity=False)
        end = min(start + step, size)
        for at in range(start, end, piece):
            whole.update(read(at, min(at + piece, end)))
        digests.append(whole.digest())
    if shape.parts:
        return of_parts(digests, shape.part_bytes)
    return Checksum(digests[0].hex())


class WholeHash:
    """MD5 of a content whose parts come side by side: each waits for the one before it."""

    def __init__(self) -> None:
        self._hash = hashlib.md5(usedforsecurity=False)
        self._next = 0
        self._stopped = False
        self._turn = threading.Condition()

    def feed(self, number: int, data: Any) -> None:
        """Take part ``number``, counted from 0, when all before it have come."""
        with self._turn:
            while self._next != number and not self._stopped:
                self._turn.wait()
            if self._stopped:
                raise TransferError("stopped", again=True)
        # Nobody else's turn comes before this is done.
        self._hash.update(data)
        with self._turn:
            self._next += 1
            self._turn.notify_all()

    def stop(self) -> None:
        """Let nobody wait any longer: a part will never come."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()

    def hexdigest(self) -> str:
        """Of everything that has come."""
        return self._hash.hexdigest()
