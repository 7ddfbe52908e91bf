"""What a datastore needs of the store behind it, whatever kind that is."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aml_provider.spec.errors import NotSupportedError

from .digest_cache import DigestCache
from .digests import Content
from .faults import Origin

if TYPE_CHECKING:
    from .objects import Objects


@dataclass(frozen=True)
class Item:
    """One file of a datastore, as a listing says.

    :param path: relative to the datastore's root.
    :param size: in bytes; ``None`` where the store does not say.
    :param modified: seconds since the epoch by the store's clock; ``None`` where it does not say.
    :param identity: what changes with the content, and only the store's own word counts; ``None`` where it has none.
    """

    path: str
    size: int | None
    modified: float | None
    identity: str | None


def quiet(library: str) -> None:
    """Keep a client library that tells each of its requests out of the log, unless somebody has asked for that."""
    logger = logging.getLogger(library)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.WARNING)


class Backend(ABC):
    """The root of one datastore in its store.

    Paths are relative to it, and normalized: see :func:`aml_provider.storage.paths.normalized`. What goes wrong is
    raised as the client library raises it; :mod:`aml_provider.storage.faults` makes a sentence of it.

    :param origin: the datastore, for messages.
    :param client: what it was opened with, and may share with others.
    """

    #: The root as a folder of this machine.
    local_root: Path | None = None
    #: How many files are worth moving at once.
    parallel = 16
    #: Whether one connection is held open, and may be broken when it is used again.
    held = False
    #: What the store keeps, where that is objects.
    objects: Objects | None = None

    def __init__(self, origin: Origin, client: Any = None) -> None:
        self.origin = origin
        self.client = client

    @property
    @abstractmethod
    def filesystem(self) -> Any:
        """The store as an fsspec file system; :meth:`full` says how paths are written there."""

    @abstractmethod
    def full(self, path: str) -> str:
        """A path as fsspec's file system wants it."""

    @abstractmethod
    def check(self) -> None:
        """Raise what is wrong when the root cannot be read."""

    def make_root(self) -> None:
        """Make what the root is, where there is nothing."""
        raise NotSupportedError(f"{self.origin} cannot be made here; make it with the store's own tools.")

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is a file or a folder."""

    @abstractmethod
    def is_file(self, path: str) -> bool:
        """Whether there is one file."""

    @abstractmethod
    def items(self, path: str) -> Iterator[Item]:
        """Every file at or below the path, in any order; none when there is nothing."""

    @abstractmethod
    def contents(self, paths: Sequence[str], cache: DigestCache | None) -> list[Content | None]:
        """Identity of what is at each path; ``None`` for nothing."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """A file's content."""

    @abstractmethod
    def get(self, path: str, target: Path) -> None:
        """Copy a file to ``target``, which may be left half written when that fails."""

    def refusal(self, path: str) -> str:
        """Why no file there can be called so, as the end of a sentence; empty when one can."""
        return ""

    @abstractmethod
    def put(self, source: Path, path: str) -> None:
        """Copy a file of this machine there: whole or not at all. Its name is one that is not refused."""

    @abstractmethod
    def remove(self, path: str) -> bool:
        """Remove a file; ``False`` when there was none."""
