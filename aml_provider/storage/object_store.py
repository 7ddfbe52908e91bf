"""Small named blobs as objects of a bucket."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence

from .faults import DatastoreError, Origin, Reason, fault, told
from .objects import Objects
from .record_base import Entry, RecordStore, checked_name

_log = logging.getLogger(__name__)
# A name that no blob has: its parts do not begin with a dot.
_PROBE = ".probe"
# How often a blob is read again of which something is just being written.
_TRIES = 10


class ObjectStore(RecordStore):
    """Blobs as objects whose keys begin with ``prefix``.

    Every change is one conditional request, which the store itself decides.

    :param origin: the datastore, for messages.
    """

    def __init__(self, objects: Objects, prefix: str, origin: Origin) -> None:
        self._objects = objects
        self._prefix = prefix
        self._origin = origin

    def __str__(self) -> str:
        return f"{self._prefix!r} of {self._origin}"

    @property
    def exclusive(self) -> bool:
        """Whether the store minds conditions; tried once, with an object made for it.

        A store that takes a condition and does not mind it cannot be known in another way.
        """
        if self._objects.exclusive is None:
            with told(self._origin, "trying conditional writes"):
                self._objects.exclusive = self._objects.run(self._probe)
            if not self._objects.exclusive:
                _log.warning(
                    "%s does not keep two writers apart (it minds no conditional writes), so steps that two runs "
                    "compute at the same time are computed twice.",
                    self._origin,
                )
        return self._objects.exclusive

    def read(self, name: str) -> bytes | None:
        """The blob's content; ``None`` when there is none."""
        return self.read_many([name])[0]

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """The contents of many blobs, in the order of ``names``; many requests are under way at once."""
        keys = [self._key(name) for name in names]
        with told(self._origin, _about("reading", names)):
            found = self._objects.run(self._objects.each, self._objects.get, keys)
        return [None if blob is None else blob[0] for blob in found]

    def create(self, name: str, content: bytes, *, durable: bool = True) -> bool:
        """Write a blob that is not there yet; ``False``, and nothing is changed, when it is."""
        key = self._key(name)
        with told(self._origin, f"writing {name!r}"):
            return self._objects.run(self._create, key, content)

    def replace(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """Write a blob whether or not it is there."""
        key = self._key(name)
        with told(self._origin, f"writing {name!r}"):
            self._objects.run(self._objects.put, key, content)

    def swap(self, name: str, old: bytes, new: bytes | None, *, durable: bool = True) -> bool:
        """Write ``new``, or delete for ``None``, if the content is exactly ``old``; whether that was done."""
        key = self._key(name)
        with told(self._origin, f"writing {name!r}"):
            return self._objects.run(self._swap, key, old, new)

    def delete(self, name: str) -> bool:
        """Remove a blob; ``False`` when there was none."""
        key = self._key(name)
        with told(self._origin, f"removing {name!r}"):
            return self._objects.run(self._objects.delete, key)

    def entries(self, prefix: str = "") -> list[Entry]:
        """Every blob whose name begins with ``prefix``, sorted by name."""
        with told(self._origin, f"listing {prefix!r}"):
            return sorted(self._objects.run(self._entries, prefix), key=lambda entry: entry.name)

    def tags(self, prefix: str, most: int) -> dict[str, str | None] | None:
        """What changes with the content of every blob whose name begins with ``prefix``.

        :param most: with more blobs than that, the answer is ``None``.
        """
        with told(self._origin, f"listing {prefix!r}"):
            return self._objects.run(self._tags, prefix, most)

    # --- inside ---------------------------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        return self._prefix + checked_name(name)

    async def _create(self, key: str, content: bytes) -> bool:
        return await self._objects.write_if(key, content, absent=True)

    async def _swap(self, key: str, old: bytes, new: bytes | None) -> bool:
        for _ in range(_TRIES):
            found = await self._objects.get(key)
            if found is None or found[0] != old:
                return False
            if new is None:
                done = await self._objects.delete(key, tag=found[1])
            else:
                done = await self._objects.write_if(key, new, tag=found[1])
            if done:
                return True
            # Somebody was quicker, but perhaps with what was there before.
        raise DatastoreError(f"{key!r} goes on changing; try again later.", Reason.CHANGED)

    async def _entries(self, prefix: str) -> list[Entry]:
        found = []
        async for page in self._objects.pages(self._prefix + prefix):
            for info in page:
                name = info.key[len(self._prefix) :]
                if not info.is_folder and not any(part.startswith(".") for part in name.split("/")):
                    found.append(Entry(name, info.size, info.modified))
        return found

    async def _tags(self, prefix: str, most: int) -> dict[str, str | None] | None:
        found: dict[str, str | None] = {}
        async for page in self._objects.pages(self._prefix + prefix):
            found.update((info.key[len(self._prefix) :], info.identity) for info in page if not info.is_folder)
            if len(found) > most:
                return None
        return found

    async def _probe(self) -> bool:
        key = f"{self._prefix}{_PROBE}-{uuid.uuid4().hex}"
        try:
            return await self._minded(key)
        except Exception as error:
            # A store that knows no such condition may refuse it in its own words.
            if fault(self._origin, "", error).reason is not Reason.OTHER:
                raise
            return False
        finally:
            await self._objects.delete(key)

    async def _minded(self, key: str) -> bool:
        """Whether every condition that this class stands on is minded, the ones that do not hold above all.

        An answer may be lost, and the client's second try meets what its first has done: that is no refusal.
        """
        store = self._objects
        if not await store.write_if(key, b"1", absent=True) or await store.write_if(key, b"2", absent=True):
            return False
        first = await store.get(key)
        if first is None or first[0] != b"1":
            return False
        if not await store.write_if(key, b"3", tag=first[1]) or await store.write_if(key, b"4", tag=first[1]):
            return False
        if await store.delete(key, tag=first[1]):
            return False
        last = await store.get(key)
        if last is None or last[0] != b"3":
            return False
        return await store.delete(key, tag=last[1]) or await store.get(key) is None


def _about(doing: str, names: Sequence[str]) -> str:
    return f"{doing} {names[0]!r}" if len(names) == 1 else f"{doing} {len(names)} records"
