"""Amazon S3, and stores that speak its protocol, through s3fs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from .connections import CONNECTION_TYPE, Credentials
from .faults import DatastoreError, Reason
from .objects import ObjectInfo, Objects, together

#: Airflow's connection types that say how to get there.
CONNECTION_TYPES = ("aws", "s3", CONNECTION_TYPE)

# Parts of a big file: this many bytes each, this many at once. The tag of a big object depends on the size of its
# parts, so whoever changes it changes the identity of data.
_PART = 16 << 20
_PARTS_AT_ONCE = 4
_MOST_PARTS = 9_000
# How often an object that is replaced while it is read, or a connection that breaks off, is read again.
_TRIES = 5
_TAG_GONE = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
_MISSING = ("NoSuchKey", "404")
_WRITER = "aml-writer"


def options(credentials: Credentials | None) -> dict[str, Any]:
    """What s3fs is given; nothing leaves the finding of credentials to boto's own chain.

    :raises DatastoreError: the connection asks for something that cannot be done.
    """
    if credentials is None:
        return {}
    c = credentials
    if c.get("role_arn"):
        raise DatastoreError(
            f"Airflow connection {c.conn_id!r} assumes the role in role_arn, which datastores cannot; "
            "give the workers that role, or name a profile that assumes it as profile_name.",
            Reason.CONNECTION,
        )
    client: dict[str, Any] = {}
    if region := c.text("region_name", "region"):
        client["region_name"] = region
    if (verify := c.get("verify")) is not None:
        client["verify"] = verify if str(verify).lower() not in ("true", "false") else c.flag("verify")
    found: dict[str, Any] = {
        "key": c.login or c.text("aws_access_key_id"),
        "secret": c.password or c.text("aws_secret_access_key"),
        "token": c.text("aws_session_token", "session_token"),
        "endpoint_url": c.address("endpoint_url") or _service_endpoint(c) or (c.host if "://" in c.host else None),
        "profile": c.text("profile_name", "profile"),
        "client_kwargs": client,
        "config_kwargs": c.mapping("config_kwargs"),
        "anon": c.flag("anonymous", "anon"),
    }
    return {name: value for name, value in found.items() if value}


def filesystem(found: dict[str, Any]) -> Any:
    """The file system for :func:`options`."""
    from s3fs import S3FileSystem

    # Stores that put a big object together say nothing for long; s3fs waits 15 s.
    config = {"max_pool_connections": 64, "read_timeout": 60, **found.get("config_kwargs", {})}
    if not found.get("anon"):
        # Botocore still signs addresses for others in an older way, which many stores and regions do not take.
        config.setdefault("signature_version", "s3v4")
    return S3FileSystem(**{**found, "config_kwargs": config}, skip_instance_cache=True, use_listings_cache=False)


class S3Objects(Objects):
    """A bucket."""

    def __init__(self, filesystem: Any, bucket: str) -> None:
        self._fs = filesystem
        self._bucket = bucket

    def refusal(self, key: str) -> str:
        if tuple(self._fs.split_path(f"{self._bucket}/{key}")[:2]) != (self._bucket, key):
            return "looks as if it held the number of a version"
        return super().refusal(key)

    async def pages(self, prefix: str, most: int | None = None) -> AsyncIterator[list[ObjectInfo]]:
        wanted: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        if most is not None:
            wanted["MaxKeys"] = most
        while True:
            page = await self._call("list_objects_v2", **wanted)
            yield [_info(entry) for entry in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    async def get(self, key: str) -> tuple[bytes, str] | None:
        try:
            content, answer = await self._read(key)
        except FileNotFoundError as error:
            if _code(error) in _MISSING:
                return None
            raise
        return content, answer["ETag"]

    async def put(
        self, key: str, content: bytes, *, absent: bool = False, tag: str | None = None, writer: str = ""
    ) -> bool:
        condition = {"IfNoneMatch": "*"} if absent else {} if tag is None else {"IfMatch": tag}
        try:
            await self._call("put_object", Key=key, Body=content, Metadata={_WRITER: writer}, **condition)
        except OSError as error:
            if condition and _code(error) in (*_TAG_GONE, *_MISSING):
                return False
            raise
        return True

    async def writer(self, key: str) -> str | None:
        try:
            seen = await self._call("head_object", Key=key)
        except FileNotFoundError:
            return None
        return str(seen.get("Metadata", {}).get(_WRITER, ""))

    async def delete(self, key: str, *, tag: str | None = None) -> bool:
        # Deleting what is not there is no error to S3.
        if tag is None and await self.writer(key) is None:
            return False
        try:
            await self._call("delete_object", Key=key, **({} if tag is None else {"IfMatch": tag}))
        except OSError as error:
            if _code(error) in (*_TAG_GONE, *_MISSING):
                return False
            raise
        return True

    async def download(self, key: str, target: Path) -> None:
        for attempt in range(_TRIES):
            try:
                return await self._download(key, target)
            except OSError as error:
                if _code(error) not in _TAG_GONE:
                    raise
                if attempt == _TRIES - 1:
                    raise DatastoreError(
                        f"object {key!r} in bucket {self._bucket!r} is replaced again and again while it is read; "
                        "try again when nobody writes it.",
                        Reason.CHANGED,
                    ) from error
        raise AssertionError("unreachable")

    async def upload(self, source: Path, key: str) -> None:
        full = f"{self._bucket}/{key}"
        part = max(_PART, -(-os.path.getsize(source) // _MOST_PARTS))
        await self._fs._put_file(str(source), full, chunksize=part, max_concurrency=_PARTS_AT_ONCE)

    # --- inside ---------------------------------------------------------------------------------------------

    async def _call(self, method: str, **arguments: Any) -> Any:
        return await self._fs._call_s3(method, **{"Bucket": self._bucket, **arguments})

    async def _read(self, key: str, **arguments: Any) -> tuple[bytes, Any]:
        """The whole of an answer and what came with it; one that breaks off in the middle is asked for again."""
        from s3fs.core import S3_RETRYABLE_ERRORS

        for attempt in range(_TRIES):
            answer = await self._call("get_object", Key=key, **arguments)
            try:
                async with answer["Body"] as body:
                    return await body.read(), answer
            except S3_RETRYABLE_ERRORS:
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    async def _download(self, key: str, target: Path) -> None:
        with open(target, "wb") as file:
            try:
                content, first = await self._read(key, Range=f"bytes=0-{_PART - 1}")
            except OSError as error:
                if _code(error) == "InvalidRange":  # an empty object has no first byte
                    return
                raise
            file.write(content)
            size = int(first["ContentRange"].rpartition("/")[2])
            step = _PART * _PARTS_AT_ONCE
            for start in range(len(content), size, step):
                # Not more of it in memory at once; the tag keeps parts of two versions apart.
                parts = [(at, min(at + _PART, size) - 1) for at in range(start, min(start + step, size), _PART)]
                reads = [self._read(key, IfMatch=first["ETag"], Range=f"bytes={at}-{end}") for at, end in parts]
                for content, _ in await together(reads):
                    file.write(content)


def _info(entry: dict[str, Any]) -> ObjectInfo:
    key, size = entry["Key"], entry["Size"]
    tag = str(entry.get("ETag", "")).strip('"')
    # A tag is the MD5 of the content, or one made of those of its parts.
    identity = f"etag:{tag}:{size}" if tag else None
    return ObjectInfo(key, size, entry["LastModified"].timestamp(), identity, key.endswith("/") and not size)


def _service_endpoint(credentials: Credentials) -> str | None:
    service = credentials.mapping("service_config").get("s3")
    return str(service["endpoint_url"]) if isinstance(service, dict) and service.get("endpoint_url") else None


def _code(error: BaseException) -> str:
    """S3's own code of an error that s3fs has translated."""
    response = getattr(error.__cause__, "response", None) or getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
