"""A folder in an S3 bucket as an end of a transfer."""

from __future__ import annotations

import base64
import errno
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aml_provider.storage.backend_base import Item
from aml_provider.storage.objects import ObjectInfo
from aml_provider.storage.s3 import S3Objects

from .checksums import Checksum, of_identity, of_parts
from .ends import Bytes, End, Entry, Folder, Landing, Part, Refused
from .errors import ChangedError, CorruptError

# As Store.put does it: the tag of a big object depends on the size of its parts, and the same content is to have one
# tag, whoever has written it.
_PART = 16 << 20
_MOST_PARTS = 9_000
_PIECE = 1 << 20
# How often what breaks off is asked for again.
_TRIES = 5
_CHANGED = ("PreconditionFailed", "412")
_GONE = ("NoSuchKey", "404")
_DAMAGED = ("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch")
# Bigger objects are copied by the store in parts.
_COPY_BYTES = 1 << 30


class S3End(End):
    """Objects below a prefix."""

    has_checksums = True
    whole_bytes = 2 * _PART - 1

    def part_bytes(self, size: int | None) -> int:
        return max(_PART, -(-(size or 0) // _MOST_PARTS))

    def shared(self, other: End) -> bool:
        return isinstance(other, S3End) and other._backend.client is self._backend.client

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return str(self._objects._bucket)

    def key(self, path: str) -> str:
        """The key of an object."""
        key: str = self._backend.key(self.path(path))  # type: ignore[attr-defined]
        return key

    # --- reading --------------------------------------------------------------------------------------------

    def look(self, path: str) -> Entry | Folder | Refused | None:
        key = self.key(path)
        found = self._ask(f"looking at {self.path(path)!r}", _first, key) if path else None
        if found is not None and found.key == key and not found.is_folder:
            return _entry(path, found)
        below = self._ask(f"looking at {self.path(path)!r}", _first, f"{key}/" if key else "")
        return Folder(path) if below is not None else None

    def walk(self) -> Iterator[Entry | Folder | Refused]:
        return (_of_item(path, item) for path, item in self.listed())

    def read(self, entry: Entry, start: int, end: int) -> Bytes:
        if start == end:
            return b""
        key = self.key(entry.path)
        arguments = {"Range": f"bytes={start}-{end - 1}"}
        if entry.mark:
            arguments["IfMatch"] = f'"{entry.mark}"'
        data: bytearray | None = self._ask(f"reading {self.path(entry.path)!r}", _content, key, end - start, arguments)
        if data is None:
            raise ChangedError(f"{self.path(entry.path)!r} was changed or removed while it was read")
        return data

    def exact(self, entry: Entry) -> Checksum | None:
        found = entry.checksum
        if found is None or not found.parts or found.part_bytes:
            return found
        seen = self._call("looking at", entry.path, "head_object", PartNumber=1)
        return Checksum(found.md5, found.parts, int(seen["ContentLength"]))

    def is_plain(self, entry: Entry) -> bool:
        """Whether the object's tag is made of MD5s: with a key of the owner's, it is not."""
        seen = self._call("looking at", entry.path, "head_object")
        return _is_plain(seen)

    # --- writing --------------------------------------------------------------------------------------------

    def put(self, path: str, data: Bytes, md5: bytes, note: Callable[[str], None]) -> None:
        answer = self._call("writing", path, "put_object", Body=_Body(data), **self._checked(md5))
        note(self._tag(answer, md5.hex()))

    def begin(self, path: str, size: int | None, part_bytes: int) -> Landing:
        answer = self._call("writing", path, "create_multipart_upload")
        return _S3Landing(self, path, {"upload": answer["UploadId"]}, part_bytes)

    def resumed(self, path: str, token: dict[str, Any]) -> Landing | None:
        landing = _S3Landing(self, path, token, int(token.get("part_bytes", 0)))
        return landing if landing.held() is not None else None

    def remove(self, path: str) -> None:
        self._call("removing", path, "delete_object")

    def copy_within(self, entry: Entry, source: End, path: str, moved: Callable[[int], None]) -> str | None:
        assert isinstance(source, S3End)
        size = entry.size or 0
        origin = {"Bucket": source.bucket, "Key": source.key(entry.path)}
        condition = {"CopySourceIfMatch": f'"{entry.mark}"'} if entry.mark else {}
        in_parts = entry.checksum is not None and entry.checksum.parts > 0
        try:
            # What was written in parts is copied in the same parts: so the copy has its tag.
            if size <= _COPY_BYTES and not in_parts:
                answer = self._call("writing", path, "copy_object", CopySource=origin, **condition)
                moved(size)
                return _mark(answer["CopyObjectResult"]["ETag"])
            return self._copied_in_parts(path, origin, size, self._part_of(source, entry, size), condition, moved)
        except OSError as error:
            if _code(error) in (*_CHANGED, *_GONE):
                raise ChangedError(f"{source.path(entry.path)!r} was changed or removed while it was copied") from error
            raise

    # --- inside ---------------------------------------------------------------------------------------------

    @property
    def _objects(self) -> S3Objects:
        objects = self._backend.objects
        assert isinstance(objects, S3Objects)
        return objects

    def _ask(self, doing: str, work: Any, *arguments: Any) -> Any:
        return self._do(doing, lambda backend: backend.objects.run(work, backend.objects, *arguments))

    def _call(self, doing: str, path: str, method: str, **arguments: Any) -> Any:
        try:
            return self._ask(f"{doing} {self.path(path)!r}", _called, method, {"Key": self.key(path), **arguments})
        except OSError as error:
            if _code(error) in _DAMAGED:
                raise CorruptError("the store has received something else than was sent") from error
            raise

    def _checked(self, md5: bytes) -> dict[str, str]:
        # The store refuses what arrives with another one.
        return {"ContentMD5": base64.b64encode(md5).decode()} if self.verify else {}

    def _tag(self, answer: Any, expected: str) -> str:
        """The tag of what was written, when it is that of what was sent."""
        tag = _mark(answer["ETag"])
        if self.verify and _is_plain(answer) and tag != expected:
            raise CorruptError(f"the store has received something else than was sent (checksum {tag}, not {expected})")
        return tag

    def _part_of(self, source: S3End, entry: Entry, size: int) -> int:
        """The size of the parts that the source was written in, so that the copy has its tag."""
        checksum = source.exact(entry)
        known = checksum.part_bytes if checksum is not None else 0
        return known if known and size <= known * 10_000 else max(_COPY_BYTES, -(-size // _MOST_PARTS))

    def _copied_in_parts(
        self, path: str, origin: Any, size: int, part: int, condition: Any, moved: Callable[[int], None]
    ) -> str:
        upload = self._call("writing", path, "create_multipart_upload")["UploadId"]
        parts = []
        try:
            for number, start in enumerate(range(0, size, part), 1):
                end = min(start + part, size)
                answer = self._call(
                    "writing",
                    path,
                    "upload_part_copy",
                    UploadId=upload,
                    PartNumber=number,
                    CopySource=origin,
                    CopySourceRange=f"bytes={start}-{end - 1}",
                    **condition,
                )
                parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
                moved(end - start)
            answer = self._call(
                "writing", path, "complete_multipart_upload", UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            self._call("giving up", path, "abort_multipart_upload", UploadId=upload)
            raise
        return _mark(answer["ETag"])


class _S3Landing(Landing):
    def __init__(self, end: S3End, path: str, token: dict[str, Any], part_bytes: int) -> None:
        self._end = end
        self._path = path
        self._upload = token["upload"]
        self._part_bytes = part_bytes
        self.token = {**token, "part_bytes": part_bytes}

    def write(self, number: int, offset: int, data: Bytes, md5: bytes) -> str:
        answer = self._end._call(
            "writing",
            self._path,
            "upload_part",
            UploadId=self._upload,
            PartNumber=number + 1,
            Body=_Body(data),
            **self._end._checked(md5),
        )
        self._end._tag(answer, md5.hex())
        return str(answer["ETag"])

    def publish(self, parts: Sequence[Part], whole: str | None, note: Callable[[str], None]) -> None:
        named = [{"PartNumber": part.number + 1, "ETag": part.receipt} for part in parts]
        expected = of_parts((part.md5 for part in parts), self._part_bytes)
        made = f"{expected.md5}-{expected.parts}"
        try:
            answer = self._end._call(
                "writing",
                self._path,
                "complete_multipart_upload",
                UploadId=self._upload,
                MultipartUpload={"Parts": named},
            )
            tag = _mark(answer["ETag"])
        except OSError:
            # It takes a store long, and the answer may get lost: what counts is what is there.
            there = self._end.look(self._path)
            if not isinstance(there, Entry) or there.mark != made:
                raise
            tag = made
        own = all(part.receipt.strip('"') == part.md5.hex() for part in parts)
        if self._end.verify and own and tag != made:
            self._end.remove(self._path)
            raise CorruptError(f"the store has put together something else than was sent (checksum {tag}, not {made})")
        note(tag)

    def abandon(self) -> None:
        try:
            self._end._call("giving up", self._path, "abort_multipart_upload", UploadId=self._upload)
        except FileNotFoundError:
            return

    def held(self) -> dict[int, str] | None:
        found: dict[int, str] = {}
        marker = 0
        while True:
            try:
                page = self._end._call(
                    "looking at", self._path, "list_parts", UploadId=self._upload, PartNumberMarker=marker
                )
            except FileNotFoundError:
                return None
            for part in page.get("Parts", ()):
                found[part["PartNumber"] - 1] = part["ETag"]
            if not page.get("IsTruncated"):
                return found
            marker = int(page["NextPartNumberMarker"])


async def _first(objects: S3Objects, prefix: str) -> ObjectInfo | None:
    async for page in objects.pages(prefix, 1):
        for info in page:
            return info
    return None


async def _called(objects: S3Objects, method: str, arguments: dict[str, Any]) -> Any:
    return await objects._call(method, **arguments)


async def _content(objects: S3Objects, key: str, size: int, arguments: dict[str, str]) -> bytearray | None:
    """A part of an object, in memory once; ``None``: it is not what it was."""
    from s3fs.core import S3_RETRYABLE_ERRORS

    for attempt in range(1, _TRIES + 1):
        try:
            answer = await objects._call("get_object", Key=key, **arguments)
            return await _filled(answer["Body"], size)
        except S3_RETRYABLE_ERRORS:
            # The connection broke off in the middle.
            if attempt == _TRIES:
                raise
        except OSError as error:
            if _code(error) in (*_CHANGED, *_GONE, "InvalidRange") or error.errno == errno.EINVAL:
                return None
            raise
    raise AssertionError("unreachable")


async def _filled(body: Any, size: int) -> bytearray | None:
    data, at = bytearray(size), 0
    async with body:
        while piece := await body.read(_PIECE):
            if at + len(piece) > size:
                return None
            data[at : at + len(piece)] = piece
            at += len(piece)
    return data if at == size else None


class _Body(io.RawIOBase):
    """Bytes that are sent piece by piece: given as a whole, the client library would copy them first."""

    def __init__(self, data: Bytes) -> None:
        self._data = memoryview(data)
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size is None or size < 0 else self._at + size
        found = bytes(self._data[self._at : end])
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def _entry(path: str, info: ObjectInfo) -> Entry:
    return _made(path, info.size, info.identity)


def _of_item(path: str, item: Item) -> Entry:
    return _made(path, item.size, item.identity)


def _made(path: str, size: int | None, identity: str | None) -> Entry:
    mark = identity.removeprefix("etag:").rpartition(":")[0] if identity else ""
    return Entry(path, size, mark, of_identity(identity))


def _mark(tag: str) -> str:
    return tag.strip('"')


def _is_plain(answer: Any) -> bool:
    """Whether a tag is the MD5 of what was sent."""
    encrypted = str(answer.get("ServerSideEncryption") or "")
    return not answer.get("SSECustomerAlgorithm") and "kms" not in encrypted


def _code(error: BaseException) -> str:
    """S3's own code of an error, whoever has translated it."""
    here: BaseException | None = error
    while here is not None:
        response = getattr(here, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        here = here.__cause__
    return ""
