"""A bucket of an object store: objects with conditional writes, listed in pages. The same for every kind of store."""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: How many requests to one store are under way at once.
AT_ONCE = 32
# S3, Azure and Google agree on it.
_LONGEST = 1024


async def together(work: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
    """The results of all; the first exception ends the others, and none of them is left running."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


class NoBucketError(FileNotFoundError):
    """A bucket that is not there, where a store's client library does not say so."""


@dataclass(frozen=True)
class ObjectInfo:
    """One object of a listing.

    :param modified: seconds since the epoch, by the store's clock.
    :param identity: what changes with the content: a checksum where there is one, else a mark of this very writing.
    :param is_folder: it stands for a folder, and holds nothing.
    """

    key: str
    size: int
    modified: float
    identity: str | None
    is_folder: bool = False


class Objects(ABC):
    """One bucket. The coroutines run in fsspec's event loop: see :meth:`run`.

    A bucket that is not there, or may not be used, raises what its client library raises.
    """

    #: Whether conditional writes are minded; ``None`` until somebody has tried.
    exclusive: bool | None = None
    #: Whether the length of a key is counted in characters, not in bytes.
    counts_characters = False

    def run(self, work: Callable[..., Awaitable[R]], *arguments: Any) -> R:
        """Run a coroutine function in fsspec's event loop, from any thread but that loop's own."""
        from fsspec.asyn import get_loop, sync

        found: R = sync(get_loop(), work, *arguments)
        return found

    async def each(self, work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
        """Do the same with many, some at once; the first exception ends it."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(item: T) -> R:
            async with limit:
                return await work(item)

        return await together([one(item) for item in items])

    def refusal(self, key: str) -> str:
        """Why no object can be called so, as the end of a sentence; empty when one can."""
        try:
            size = len(key.encode())
        except UnicodeEncodeError:
            return "is no valid UTF-8, which the store cannot keep"
        size, unit = (len(key), "characters") if self.counts_characters else (size, "bytes")
        return (
            f"is too long: its key would have {size} {unit}, and the store takes {_LONGEST}" if size > _LONGEST else ""
        )

    async def make(self) -> bool:
        """Make the container, where there is none; ``False``: that is done elsewhere."""
        return False

    @abstractmethod
    def pages(self, prefix: str, most: int | None = None) -> AsyncIterator[list[ObjectInfo]]:
        """The objects whose key begins so, in pages as the store gives them.

        :param most: how many are wanted; only the first page is then of use.
        """

    @abstractmethod
    async def get(self, key: str) -> tuple[bytes, str] | None:
        """Content and tag of an object, ``None`` when there is none."""

    @abstractmethod
    async def put(
        self, key: str, content: bytes, *, absent: bool = False, tag: str | None = None, writer: str = ""
    ) -> bool:
        """Write a small object as a whole.

        :param absent: only if there is none.
        :param tag: only if there is one with this tag.
        :param writer: kept with the object: see :meth:`writer`.
        :return: ``False`` when the condition was not met; nothing is changed then.
        """

    @abstractmethod
    async def writer(self, key: str) -> str | None:
        """The word that the object's writer left with it; ``None`` when there is no object."""

    @abstractmethod
    async def delete(self, key: str, *, tag: str | None = None) -> bool:
        """Remove an object.

        :param tag: only if it has this tag.
        :return: ``False`` when there was none, or the condition was not met.
        """

    @abstractmethod
    async def download(self, key: str, target: Path) -> None:
        """Copy an object to a file, all of it from one version of the object.

        :raises FileNotFoundError: there is none.
        """

    @abstractmethod
    async def upload(self, source: Path, key: str) -> None:
        """Write a file as one object, which is there when it is complete."""

    async def write_if(self, key: str, content: bytes, *, absent: bool = False, tag: str | None = None) -> bool:
        """:meth:`put` under a condition, told apart from one's own writing whose answer was lost.

        Client libraries ask again when a connection breaks, and are then told that the condition does not hold.
        """
        mine = uuid.uuid4().hex
        if await self.put(key, content, absent=absent, tag=tag, writer=mine):
            return True
        return await self.writer(key) == mine
