"""A folder in a container of Azure Blob Storage as an end of a transfer."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aml_provider.storage.azure import AzureObjects
from aml_provider.storage.objects import ObjectInfo

from .checksums import of_identity
from .ends import PART_BYTES, Bytes, End, Entry, Folder, Landing, Part, Refused
from .errors import ChangedError, CorruptError

_MOST_BLOCKS = 45_000
_GONE = ("BlobNotFound", "ConditionNotMet", "InvalidRange")
# With some kinds of credentials the service may not read the source for a copy; it is then read and written by us.
_NO_COPY = ("CannotVerifyCopySource", "BlobNotFound", "CopyAcrossAccountsNotSupported")
_COPY_POLL_SECONDS = 0.5


class AzureEnd(End):
    """Blobs below a prefix. A blob's checksum is the one of its whole content, which is written beside it."""

    has_checksums = True
    wants_whole = True

    def part_bytes(self, size: int | None) -> int:
        return max(PART_BYTES, -(-(size or 0) // _MOST_BLOCKS))

    def shared(self, other: End) -> bool:
        return isinstance(other, AzureEnd) and other._backend.client is self._backend.client

    def key(self, path: str) -> str:
        """The name of a blob."""
        key: str = self._backend.key(self.path(path))  # type: ignore[attr-defined]
        return key

    # --- reading --------------------------------------------------------------------------------------------

    def look(self, path: str) -> Entry | Folder | Refused | None:
        key, doing = self.key(path), f"looking at {self.path(path)!r}"
        found = self._ask(doing, _first, key) if path else None
        if found is not None and found.key == key and not found.is_folder:
            return _entry(path, found.size, found.identity)
        if found is not None and found.key == key:
            return Folder(path)
        below = self._ask(doing, _first, f"{key}/" if key else "")
        return Folder(path) if below is not None else None

    def walk(self) -> Iterator[Entry | Folder | Refused]:
        return (_entry(path, item.size, item.identity) for path, item in self.listed())

    def read(self, entry: Entry, start: int, end: int) -> Bytes:
        if start == end:
            return b""
        doing, etag = f"reading {self.path(entry.path)!r}", entry.inner[0] if entry.inner else None
        found = self._ask(doing, _content, self.key(entry.path), start, end, etag)
        if found is None or len(found[0]) != end - start:
            raise ChangedError(f"{self.path(entry.path)!r} was changed or removed while it was read")
        data: bytes
        data, tag = found
        if not entry.inner:
            # The listing says no tag where it says a checksum; the first read does.
            entry.inner.append(tag)
        if entry.inner[0] != tag:
            raise ChangedError(f"{self.path(entry.path)!r} was changed while it was read")
        return data

    # --- writing --------------------------------------------------------------------------------------------

    def put(self, path: str, data: Bytes, md5: bytes, note: Callable[[str], None]) -> None:
        self._ask(f"writing {self.path(path)!r}", _put, self.key(path), data, md5, self.verify)
        note(_mark(f"md5:{md5.hex()}:{len(data)}"))

    def begin(self, path: str, size: int | None, part_bytes: int) -> Landing:
        # Every try has names of its own for its blocks, so that two never mix.
        return _AzureLanding(self, path, {"blocks": secrets.token_hex(8)})

    def resumed(self, path: str, token: dict[str, Any]) -> Landing | None:
        landing = _AzureLanding(self, path, token)
        return landing if landing.held() else None

    def remove(self, path: str) -> None:
        self._ask(f"removing {self.path(path)!r}", _delete, self.key(path))

    def copy_within(self, entry: Entry, source: End, path: str, moved: Callable[[int], None]) -> str | None:
        assert isinstance(source, AzureEnd)
        doing = f"writing {self.path(path)!r}"
        container = source._objects._container
        mark: str | None = self._ask(doing, _copied, self.key(path), container, source.key(entry.path))
        if mark is not None and mark.startswith("md5:") and entry.mark.startswith("md5:") and mark != entry.mark:
            raise ChangedError(f"{source.path(entry.path)!r} was changed while it was copied")
        moved(entry.size or 0 if mark is not None else 0)
        return mark

    # --- inside ---------------------------------------------------------------------------------------------

    @property
    def _objects(self) -> AzureObjects:
        objects = self._backend.objects
        assert isinstance(objects, AzureObjects)
        return objects

    def _ask(self, doing: str, work: Any, *arguments: Any) -> Any:
        return self._do(doing, lambda backend: backend.objects.run(work, backend.objects, *arguments))


class _AzureLanding(Landing):
    def __init__(self, end: AzureEnd, path: str, token: dict[str, Any]) -> None:
        self.token = token
        self._end = end
        self._path = path

    def _id(self, number: int) -> str:
        return base64.b64encode(f"{self.token['blocks']}-{number:06d}".encode()).decode()

    def write(self, number: int, offset: int, data: Bytes, md5: bytes) -> str:
        block = self._id(number)
        doing = f"writing {self._end.path(self._path)!r}"
        self._end._ask(doing, _staged, self._end.key(self._path), block, data, md5, self._end.verify)
        return block

    def publish(self, parts: Sequence[Part], whole: str | None, note: Callable[[str], None]) -> None:
        doing = f"writing {self._end.path(self._path)!r}"
        blocks = [part.receipt for part in parts]
        etag = self._end._ask(doing, _committed, self._end.key(self._path), blocks, whole)
        note(_mark(f"md5:{whole}:" if whole else f"etag:{etag}:"))

    def abandon(self) -> None:
        """Nothing to do: the service forgets blocks that nobody has committed within a week."""

    def held(self) -> dict[int, str] | None:
        there = self._end._ask(f"looking at {self._end.path(self._path)!r}", _uncommitted, self._end.key(self._path))
        start = f"{self.token['blocks']}-"
        found = {}
        for block in there:
            name = base64.b64decode(block).decode("ascii", "replace")
            if name.startswith(start):
                found[int(name.removeprefix(start))] = block
        return found or None


# --- in fsspec's event loop ---------------------------------------------------------------------------------------


async def _first(objects: AzureObjects, prefix: str) -> ObjectInfo | None:
    async for page in objects.pages(prefix, 1):
        for info in page:
            return info
    return None


async def _content(objects: AzureObjects, key: str, start: int, end: int, etag: str | None) -> tuple[bytes, str] | None:
    from azure.core import MatchConditions
    from azure.core.exceptions import HttpResponseError

    condition: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
    try:
        stream = await objects._container.download_blob(key, offset=start, length=end - start, **condition)
        return await stream.readall(), str(stream.properties.etag)
    except HttpResponseError as error:
        if _code(error) in _GONE:
            return None
        raise


async def _put(objects: AzureObjects, key: str, data: Bytes, md5: bytes, verify: bool) -> None:
    from azure.storage.blob import ContentSettings

    # With the checksum of the request the service refuses what arrives with another one; it keeps the other.
    kept = ContentSettings(content_md5=bytearray(md5))
    with _damage_noticed():
        await objects._container.upload_blob(
            key, bytes(data), overwrite=True, content_settings=kept, validate_content=verify, max_concurrency=1
        )


async def _staged(objects: AzureObjects, key: str, block: str, data: Bytes, md5: bytes, verify: bool) -> None:
    headers = {"headers": {"Content-MD5": base64.b64encode(md5).decode()}} if verify else {}
    with _damage_noticed():
        await objects._container.get_blob_client(key).stage_block(block, bytes(data), **headers)


@contextmanager
def _damage_noticed() -> Iterator[None]:
    """Around a request whose content the service compares with a checksum."""
    from azure.core.exceptions import HttpResponseError

    try:
        yield
    except HttpResponseError as error:
        # The code alone is not enough: the emulator has one for many mistakes.
        if error.status_code == 400 and "md5" in f"{_code(error)} {error.message}".lower():
            raise CorruptError("the service has received something else than was sent") from error
        raise


async def _committed(objects: AzureObjects, key: str, blocks: list[str], whole: str | None) -> str:
    from azure.storage.blob import BlobBlock, ContentSettings

    kept = ContentSettings(content_md5=bytearray(bytes.fromhex(whole))) if whole else None
    answer = await objects._container.get_blob_client(key).commit_block_list(
        [BlobBlock(block_id=block) for block in blocks], content_settings=kept
    )
    return str(answer["etag"]).strip('"')


async def _uncommitted(objects: AzureObjects, key: str) -> list[str]:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        _, waiting = await objects._container.get_blob_client(key).get_block_list("uncommitted")
    except ResourceNotFoundError as error:
        if _code(error) == "BlobNotFound":
            return []
        raise
    return [block.id for block in waiting]


async def _delete(objects: AzureObjects, key: str) -> None:
    await objects.delete(key)


async def _copied(objects: AzureObjects, key: str, container: Any, source: str) -> str | None:
    """Have the service copy a blob; the mark of the copy, ``None``: it does not."""
    from azure.core.exceptions import HttpResponseError

    target = objects._container.get_blob_client(key)
    try:
        await target.start_copy_from_url(container.get_blob_client(source).url)
        seen = await target.get_blob_properties()
        while seen.copy.status == "pending":
            await asyncio.sleep(_COPY_POLL_SECONDS)
            seen = await target.get_blob_properties()
    except HttpResponseError as error:
        if _code(error) in _NO_COPY:
            return None
        raise
    if seen.copy.status != "success":
        return None
    md5 = seen.content_settings.content_md5
    tag = str(seen.etag).strip('"')
    return _mark(f"md5:{bytes(md5).hex()}:" if md5 else f"etag:{tag}:")


def _entry(path: str, size: int | None, identity: str | None) -> Entry:
    return Entry(path, size, _mark(identity or ""), of_identity(identity), [])


def _mark(identity: str) -> str:
    return identity.replace('"', "").rpartition(":")[0]


def _code(error: BaseException) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")
