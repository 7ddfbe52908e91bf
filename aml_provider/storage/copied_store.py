"""Small named blobs in a bucket, of which this machine keeps copies: what has not changed is not fetched again."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from blake3 import blake3

from .folder_store import FolderStore
from .record_base import Entry, RecordStore

if TYPE_CHECKING:
    from .object_store import ObjectStore

_log = logging.getLogger(__name__)

# A listing gives a thousand tags in the time of a few questions.
_LISTED_FROM = 32
# When there are so many more blobs than are wanted, a listing of all takes longer.
_OTHERS = 20
# One plan asks in waves. What is written meanwhile is seen by whoever claims the step.
_FRESH_SECONDS = 10.0


class CopiedStore(RecordStore):
    """A bucket's blobs.

    Many that are read at once are compared with copies by the tags that one listing gives, and only those whose tag has
    changed are fetched. Single ones are always read from the bucket itself.

    :param copies: where the copies are, each behind its tag and its own checksum. It may be deleted at any time.
    """

    def __init__(self, store: ObjectStore, copies: FolderStore) -> None:
        self._store = store
        self._copies = copies
        self._listed: dict[str, tuple[float, dict[str, str | None] | None]] = {}

    def __str__(self) -> str:
        return str(self._store)

    @property
    def exclusive(self) -> bool:
        """Whether the bucket minds conditions."""
        return self._store.exclusive

    def read(self, name: str) -> bytes | None:
        """The blob's content; ``None`` when there is none."""
        return self._store.read(name)

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """The contents of many blobs, in the order of ``names``."""
        above = {name.partition("/")[0] for name in names}
        tags = self._tags(f"{above.pop()}/", len(names)) if len(names) >= _LISTED_FROM and len(above) == 1 else None
        if tags is None:
            return self._store.read_many(names)
        found: dict[str, bytes | None] = {}
        for name in names:
            found[name] = self._copy(name, tags[name]) if name in tags else None
        missing = [name for name in dict.fromkeys(names) if found[name] is None and name in tags]
        for name, content in zip(missing, self._store.read_many(missing), strict=True):
            found[name] = content
            self._keep(name, tags[name], content)
        return [found[name] for name in names]

    def create(self, name: str, content: bytes, *, durable: bool = True) -> bool:
        """Write a blob that is not there yet; ``False``, and nothing is changed, when it is."""
        self._listed.clear()
        return self._store.create(name, content, durable=durable)

    def replace(self, name: str, content: bytes, *, durable: bool = True) -> None:
        """Write a blob whether or not it is there."""
        self._listed.clear()
        self._store.replace(name, content, durable=durable)

    def swap(self, name: str, old: bytes, new: bytes | None, *, durable: bool = True) -> bool:
        """Write ``new``, or delete for ``None``, if the content is exactly ``old``; whether that was done."""
        self._listed.clear()
        return self._store.swap(name, old, new, durable=durable)

    def delete(self, name: str) -> bool:
        """Remove a blob; ``False`` when there was none."""
        self._listed.clear()
        return self._store.delete(name)

    def entries(self, prefix: str = "") -> list[Entry]:
        """Every blob whose name begins with ``prefix``, sorted by name."""
        return self._store.entries(prefix)

    # --- inside ---------------------------------------------------------------------------------------------

    def _tags(self, prefix: str, wanted: int) -> dict[str, str | None] | None:
        now = time.monotonic()
        since, tags = self._listed.get(prefix, (-1.0, None))
        if since < 0 or now - since > _FRESH_SECONDS:
            tags = self._store.tags(prefix, most=1000 + wanted * _OTHERS)
            self._listed[prefix] = now, tags
        return tags

    def _copy(self, name: str, tag: str | None) -> bytes | None:
        if tag is None:
            return None
        try:
            kept = self._copies.read(name)
        except OSError as error:
            _log.debug("the copy of %s cannot be read: %s", name, error)
            return None
        if kept is None:
            return None
        head, _, content = kept.partition(b"\n")
        return content if head == _head(tag, content) else None

    def _keep(self, name: str, tag: str | None, content: bytes | None) -> None:
        try:
            if tag is not None and content is not None:
                self._copies.replace(name, _head(tag, content) + b"\n" + content, durable=False)
        except OSError as error:
            # It is fetched again the next time.
            _log.debug("the copy of %s cannot be kept: %s", name, error)


def _head(tag: str, content: bytes) -> bytes:
    return f"{tag} {blake3(content).hexdigest()}".encode("utf-8", "backslashreplace").replace(b"\n", b" ")
