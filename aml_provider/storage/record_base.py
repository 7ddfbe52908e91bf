"""What a store of small named blobs can do, wherever it is."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

# Names that begin with a dot belong to the store itself: files that are being written, locks, probes.
_LEGAL_NAME = re.compile(r"[^./\\\0][^/\\\0]*(?:/[^./\\\0][^/\\\0]*)*")


@dataclass(frozen=True)
class Entry:
    """One blob of a listing.

    :param size: in bytes.
    :param modified: seconds since the epoch, by the clock of whatever keeps the store.
    """

    name: str
    size: int
    modified: float


class RecordStore(ABC):
    """Small named blobs: each is there as a whole or not at all, whoever is killed at whatever moment.

    A name is a relative path with forward slashes; none of its parts begins with a dot. ``durable=False`` spares the
    wait for the disk where losing the blob in a power failure does no harm.

    A store that cannot be reached or written answers with an :class:`OSError`.
    """

    @property
    @abstractmethod
    def exclusive(self) -> bool:
        """Whether of several competitors exactly one wins :meth:`create` and :meth:`swap`."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The blob's content; ``None`` when there is none."""

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """The contents of many blobs, in the order of ``names``."""
        return [self.read(name) for name in names]

    @abstractmethod
    def create(self, name: str, content: bytes, *, durable: bool = True) -> bool:
        """Write a blob that is not there yet; ``False``, and nothing is changed, when it is."""

    @abstractmethod
    def replace(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """Write a blob whether or not it is there."""

    @abstractmethod
    def swap(self, name: str, old: bytes, new: bytes | None, *, durable: bool = True) -> bool:
        """Write ``new`` if the content is exactly ``old``.

        :param new: ``None`` deletes the blob.
        :return: whether it was done.
        """

    @abstractmethod
    def delete(self, name: str) -> bool:
        """Remove a blob; ``False`` when there was none."""

    @abstractmethod
    def entries(self, prefix: str = "") -> list[Entry]:
        """Every blob whose name begins with ``prefix``, sorted by name."""

    def names(self, prefix: str = "") -> list[str]:
        """The names that begin with ``prefix``, sorted."""
        return [entry.name for entry in self.entries(prefix)]


def is_name(text: str) -> bool:
    """Whether a blob may be called so."""
    return _LEGAL_NAME.fullmatch(text) is not None


def checked_name(name: str) -> str:
    """``name``, when a blob may be called so.

    :raises ValueError: it may not.
    """
    if not is_name(name):
        raise ValueError(f"{name!r} is no name for a blob: it is a relative path, and no part of it begins with a dot.")
    return name
