"""A folder of any other store that fsspec reads and writes, as an end of a transfer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aml_provider.storage.backend_base import Item

from .checksums import md5 as md5_of
from .checksums import of_identity
from .ends import Bytes, End, Entry, Folder, Landing, Part, Refused
from .errors import ChangedError, CorruptError


class FsspecEnd(End):
    """Files below a path. A big file is written from its beginning to its end, and begun anew when that fails."""

    has_checksums = True
    wants_whole = True

    def shared(self, other: End) -> bool:
        client = self._backend.client
        return isinstance(other, FsspecEnd) and client is not None and other._backend.client is client

    def look(self, path: str) -> Entry | Folder | Refused | None:
        place, doing = self.path(path), f"looking at {self.path(path)!r}"
        if place and self._do(doing, lambda backend: backend.is_file(place)):
            items = self.store._items(place)
            return next((_entry(path, item) for item in items if item.path == place), None)
        return Folder(path) if self._do(doing, lambda backend: backend.exists(place)) else None

    def walk(self) -> Iterator[Entry | Folder | Refused]:
        return (_entry(path, item) for path, item in self.listed())

    def read(self, entry: Entry, start: int, end: int) -> Bytes:
        if start == end:
            return b""
        place = self.path(entry.path)
        doing = f"reading {place!r}"
        data: bytes = self._do(doing, lambda b: b.filesystem.cat_file(b.full(place), start=start, end=end))
        if len(data) != end - start:
            raise ChangedError(f"{place!r} was changed while it was read")
        return data

    def settled(self, entry: Entry) -> bool:
        # A size and a time are no mark to rely on.
        return ":" in entry.mark and entry.checksum is not None

    def confirm(self, entry: Entry) -> None:
        now = self.look(entry.path)
        if not isinstance(now, Entry) or (now.mark, now.size) != (entry.mark, entry.size):
            raise ChangedError(f"{self.path(entry.path)!r} was changed while it was read")

    def put(self, path: str, data: Bytes, md5: bytes, note: Callable[[str], None]) -> None:
        place = self.path(path)
        self._do(f"writing {place!r}", lambda b: b.objects.run(b.objects.put, b.key(place), bytes(data)))
        self._check(path, [Part(0, md5, "")], md5.hex(), len(data) or 1, note)

    def begin(self, path: str, size: int | None, part_bytes: int) -> Landing:
        return _FsspecLanding(self, path, part_bytes)

    def remove(self, path: str) -> None:
        place = self.path(path)
        self._do(f"removing {place!r}", lambda backend: backend.remove(place))

    def copy_within(self, entry: Entry, source: End, path: str, moved: Callable[[int], None]) -> str | None:
        origin, place = source.path(entry.path), self.path(path)
        self._do(f"writing {place!r}", lambda b: b.filesystem.cp_file(source._backend.full(origin), b.full(place)))
        there = self.look(path)
        if not isinstance(there, Entry) or there.size != entry.size:
            raise CorruptError("the store's copy has another size")
        moved(entry.size or 0)
        return there.mark

    def _check(
        self, path: str, parts: Sequence[Part], whole: str | None, part_bytes: int, note: Callable[[str], None]
    ) -> None:
        """Compare what has arrived: by the store's checksum, and where it says none by reading it back."""
        there = self.look(path)
        if not isinstance(there, Entry):
            raise CorruptError("the store does not have what was written to it")
        if self.verify:
            known = there.checksum
            if known is not None and not known.parts and whole is not None:
                same = known.md5 == whole
            else:
                arrived = self.stream(there, part_bytes) if there.size else iter((b"",))
                same = [md5_of(data) for data in arrived] == [part.md5 for part in parts]
            if not same:
                self.remove(path)
                raise CorruptError("the store has received something else than was sent")
        note(there.mark)


class _FsspecLanding(Landing):
    ordered = True

    def __init__(self, end: FsspecEnd, path: str, part_bytes: int) -> None:
        self.token: dict[str, Any] = {}
        self._end = end
        self._path = path
        self._part_bytes = part_bytes
        self._doing = f"writing {end.path(path)!r}"
        place = end.path(path)
        self._file = end._do(self._doing, lambda b: b.filesystem.open(b.full(place), "wb", block_size=part_bytes))

    def write(self, number: int, offset: int, data: Bytes, md5: bytes) -> str:
        self._end._do(self._doing, lambda _: self._file.write(data))
        return ""

    def publish(self, parts: Sequence[Part], whole: str | None, note: Callable[[str], None]) -> None:
        self._end._do(self._doing, lambda _: self._file.close())
        self._end._check(self._path, parts, whole, self._part_bytes, note)

    def abandon(self) -> None:
        self._end._do(self._doing, lambda _: self._file.discard())


def _entry(path: str, item: Item) -> Entry:
    mark = item.identity or f"{item.size}:{item.modified}"
    return Entry(path, item.size, mark, of_identity(item.identity))
