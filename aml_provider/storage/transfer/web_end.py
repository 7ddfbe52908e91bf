"""Files of a web server as the source of a transfer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from aml_provider.storage.faults import DatastoreError, Reason

from .ends import Bytes, End, Entry, Folder, Landing, Refused
from .errors import ChangedError

_PLAIN = {"Accept-Encoding": "identity"}


class WebEnd(End):
    """Files below a URL, read from their beginning: many servers cannot give a part."""

    seekable = False
    writable = False
    whole_bytes = 0

    def look(self, path: str) -> Entry | Folder | Refused | None:
        items = self.store._items(self.path(path))
        if not items:
            return None
        item = items[0]
        return Entry(path, item.size, item.identity or f"{item.size}:{item.modified}")

    def walk(self) -> Iterator[Entry | Folder | Refused]:
        raise DatastoreError(
            f"{self.origin} is a web server, which does not tell what files it has; name one file.", Reason.FORBIDDEN
        )

    def settled(self, entry: Entry) -> bool:
        return entry.mark.startswith("etag:")

    def read(self, entry: Entry, start: int, end: int) -> Bytes:
        raise NotImplementedError("a web server's files are streamed")

    def stream(self, entry: Entry, part_bytes: int) -> Iterator[Bytes]:
        place = self.path(entry.path)
        doing = f"reading {place!r}"

        def open_it(backend: Any) -> Any:
            return backend.filesystem.open(backend.full(place), "rb", block_size=0, headers=_PLAIN)

        file = self._do(doing, open_it)
        total = 0
        try:
            while data := self._do(doing, lambda _: _filled(file, part_bytes)):
                total += len(data)
                yield data
                if len(data) < part_bytes:
                    break
        finally:
            file.close()
        if entry.size is not None and total != entry.size:
            raise ChangedError(f"{place!r} ended after {total} of {entry.size} bytes")

    def put(self, path: str, data: Bytes, md5: bytes, note: Callable[[str], None]) -> None:
        raise NotImplementedError("a web server is no destination")

    def begin(self, path: str, size: int | None, part_bytes: int) -> Landing:
        raise NotImplementedError("a web server is no destination")

    def remove(self, path: str) -> None:
        raise NotImplementedError("a web server is no destination")


def _filled(file: Any, count: int) -> bytes:
    found = []
    while count > 0 and (data := file.read(count)):
        found.append(data)
        count -= len(data)
    return b"".join(found)
