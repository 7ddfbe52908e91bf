"""A datastore in an object store: paths are keys below a prefix, and folders are what keys have in common."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .backend_base import Backend, Item
from .digest_cache import DigestCache
from .digests import Content
from .faults import DatastoreError, NothingThereError, Origin, Reason
from .listing import listed_content
from .objects import AT_ONCE, ObjectInfo, Objects
from .paths import PART_PREFIX

# Places that have a folder in common are looked at with one listing of it, if that takes not many more objects than
# there are places: a listing gives a thousand in the time of five questions.
_TOGETHER_FROM = 8
_OBJECTS_PER_PLACE = 10
_PAGE = 1000
# A listing of `data` gives `data`, `data/a`, and `data2` too. After this many others only the folder is listed.
_OTHERS = 500


class ObjectBackend(Backend):
    """Objects below ``prefix``.

    An object may have the name of a folder; it is then a file, and the others are files below it. Objects that only
    stand for a folder are no files.

    :param filesystem: makes fsspec's file system, for who wants that.
    """

    parallel = AT_ONCE

    def __init__(
        self,
        origin: Origin,
        client: Any,
        objects: Objects,
        bucket: str,
        prefix: str,
        filesystem: Callable[[], Any],
    ) -> None:
        super().__init__(origin, client)
        self.objects: Objects = objects
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._make = filesystem
        self._made: Any = None

    @property
    def filesystem(self) -> Any:
        if self._made is None:
            self._made = self._make()
        return self._made

    def full(self, path: str) -> str:
        return f"{self._bucket}/{self.key(path)}"

    def key(self, path: str) -> str:
        """The key of the object at a path."""
        return self._prefix + path

    def check(self) -> None:
        self.objects.run(self._first, self._prefix)

    def make_root(self) -> None:
        if not self.objects.run(self.objects.make):
            super().make_root()

    def exists(self, path: str) -> bool:
        return self.objects.run(self._exists, path)

    def is_file(self, path: str) -> bool:
        return bool(path) and self.objects.run(self._own, path) is not None

    def items(self, path: str) -> Iterator[Item]:
        yield from self.objects.run(self._items, path)

    def contents(self, paths: Sequence[str], cache: DigestCache | None) -> list[Content | None]:
        found = self.objects.run(self._found, list(dict.fromkeys(paths)))
        return [listed_content(self.origin, found[path], path) for path in paths]

    def read(self, path: str) -> bytes:
        found = self.objects.run(self.objects.get, self.key(path))
        if found is None:
            raise NothingThereError(f"{self.origin}: there is nothing at {path!r}.", Reason.MISSING)
        return found[0]

    def get(self, path: str, target: Path) -> None:
        self.objects.run(self.objects.download, self.key(path), target)

    def refusal(self, path: str) -> str:
        return self.objects.refusal(self.key(path))

    def put(self, source: Path, path: str) -> None:
        self.objects.run(self.objects.upload, source, self.key(path))

    def remove(self, path: str) -> bool:
        return self.objects.run(self.objects.delete, self.key(path))

    # --- inside ---------------------------------------------------------------------------------------------

    async def _first(self, prefix: str) -> ObjectInfo | None:
        async for page in self.objects.pages(prefix, 1):
            for info in page:
                return info
        return None

    async def _own(self, path: str) -> ObjectInfo | None:
        """The object that has this very name, which a listing gives before all longer ones."""
        found = await self._first(self.key(path))
        return found if found is not None and found.key == self.key(path) and not found.is_folder else None

    async def _exists(self, path: str) -> bool:
        if not path:
            # A bucket is there when it can be listed, whatever is in it.
            return await self._first(self._prefix) is not None or not self._prefix
        found = await self._first(self.key(path))
        if found is None or found.key == self.key(path):
            return found is not None
        return await self._first(self.key(path) + "/") is not None

    async def _items(self, path: str) -> list[Item]:
        """The files at or below a path, by one listing where it can be."""
        if not path:
            return [item async for page in self.objects.pages(self._prefix) for item in self._of(page)]
        key = self.key(path)
        found: list[Item] = []
        others = 0
        async for page in self.objects.pages(key):
            mine = [info for info in page if info.key == key or info.key.startswith(f"{key}/")]
            found += self._of(mine)
            others += len(page) - len(mine)
            if others > _OTHERS:
                own = [item for item in found if item.path == path]
                return own + [item async for page in self.objects.pages(f"{key}/") for item in self._of(page)]
        return found

    async def _found(self, paths: list[str]) -> dict[str, list[Item]]:
        """The files at or below each of many paths."""
        if len(paths) < _TOGETHER_FROM or "" in paths:
            return dict(zip(paths, await self.objects.each(self._items, paths), strict=True))
        folder = _common(paths)
        listed = await self._listed(folder, len(paths) * _OBJECTS_PER_PLACE)
        if listed is not None:
            return _shared_out(listed, paths)
        groups: dict[str, list[str]] = {}
        at = len(folder) + 1 if folder else 0
        alone = []
        for path in paths:
            name, slash, _ = path[at:].partition("/")
            if slash:
                groups.setdefault(name, []).append(path)
            else:
                alone.append(path)
        alone += [path for group in groups.values() if len(group) < _TOGETHER_FROM for path in group]
        found = dict(zip(alone, await self.objects.each(self._items, alone), strict=True))
        for group in groups.values():
            if len(group) >= _TOGETHER_FROM:
                found.update(await self._found(group))
        return found

    async def _listed(self, folder: str, most: int) -> list[Item] | None:
        """The files below a folder; ``None`` when there are more than ``most``."""
        found: list[Item] = []
        seen = 0
        async for page in self.objects.pages(self.key(folder) + "/" if folder else self._prefix):
            found += self._of(page)
            seen += len(page)
            if seen > max(most, _PAGE):
                return None
        return found

    def _of(self, page: Sequence[ObjectInfo]) -> list[Item]:
        found = []
        for info in page:
            path = info.key[len(self._prefix) :]
            if info.is_folder or not path:
                continue
            parts = path.split("/")
            if parts[-1].startswith(PART_PREFIX):
                continue
            if "" in parts or "." in parts or ".." in parts:
                raise DatastoreError(
                    f"{self.origin} holds the object {info.key!r}, and no file can be called so; rename or remove it.",
                    Reason.NAME,
                )
            found.append(Item(path, info.size, info.modified, info.identity))
        return found


def _common(paths: Sequence[str]) -> str:
    """The folder that all paths are in."""
    low, high = min(paths).split("/")[:-1], max(paths).split("/")[:-1]
    shared = 0
    while shared < min(len(low), len(high)) and low[shared] == high[shared]:
        shared += 1
    return "/".join(low[:shared])


def _shared_out(listed: list[Item], paths: Sequence[str]) -> dict[str, list[Item]]:
    listed.sort(key=lambda item: item.path)
    names = [item.path for item in listed]
    found: dict[str, list[Item]] = {}
    for path in paths:
        own = bisect_left(names, path)
        # In the order of text, "/" is followed by "0".
        first, end = bisect_left(names, f"{path}/"), bisect_left(names, f"{path}0")
        found[path] = [*listed[own : own + (names[own : own + 1] == [path])], *listed[first:end]]
    return found
