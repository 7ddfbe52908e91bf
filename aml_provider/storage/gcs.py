"""Google Cloud Storage, through gcsfs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

from .backend_base import quiet
from .connections import CONNECTION_TYPE, Credentials
from .faults import DatastoreError, Reason
from .objects import NoBucketError, ObjectInfo, Objects

#: Airflow's connection types that say how to get there.
CONNECTION_TYPES = ("google_cloud_platform", "gcpstorage", CONNECTION_TYPE)
# gcsfs sends what is longer in pieces, each a message without a description.
_ONE_MESSAGE_BYTES = 16 << 20
_WRITER = "aml-writer"


def options(credentials: Credentials | None) -> dict[str, Any]:
    """What gcsfs is given; nothing leaves the finding of credentials to Google's own chain.

    :raises DatastoreError: the connection's key is no JSON object, or its file is not there.
    """
    if credentials is None:
        return {}
    c = credentials
    # A service account's key, or the path of a file that holds one.
    token: Any = c.mapping("keyfile_dict") or _key_file(c)
    if c.flag("anonymous", "anon", "is_anonymous"):
        token = "anon"
    found = {
        "token": token,
        "project": c.text("project", "project_id"),
        "endpoint_url": c.address("endpoint_url") or (c.host if "://" in c.host else None),
    }
    return {name: value for name, value in found.items() if value}


def _key_file(credentials: Credentials) -> str | None:
    """The path of the key's file. gcsfs would take one that is not there for a token, and send it to Google."""
    path = credentials.text("key_path", "keyfile_path")
    if not path:
        return None
    try:
        if isinstance(json.loads(Path(path).read_bytes()), dict):
            return path
        why = "holds no JSON object"
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
    except ValueError:
        why = "is not JSON"
    raise DatastoreError(
        f"Airflow connection {credentials.conn_id!r} names the key file {path!r}, which {why}; correct key_path in its "
        "extra, or put the file there.",
        Reason.CONNECTION,
    )


def filesystem(found: dict[str, Any]) -> Any:
    """The file system for :func:`options`."""
    # gcsfs says at its import what it tries out; fsspec, what it keeps of each file that it reads.
    quiet("gcsfs")
    quiet("fsspec")
    # Not the one that gcsfs itself names since 2025: that asks a second service, by gRPC and with a permission of its
    # own, what kind of bucket it is, which makes no difference to objects.
    from gcsfs.core import GCSFileSystem

    return GCSFileSystem(**found, skip_instance_cache=True, use_listings_cache=False)


class GcsObjects(Objects):
    """A bucket. An object's tag is its generation, which no other writing of it ever has."""

    def __init__(self, filesystem: Any, bucket: str) -> None:
        self._fs = filesystem
        self._bucket = bucket

    def refusal(self, key: str) -> str:
        if "\n" in key or "\r" in key:
            return "holds a line break, which Google Cloud Storage knows in no name"
        return super().refusal(key)

    async def pages(self, prefix: str, most: int | None = None) -> AsyncIterator[list[ObjectInfo]]:
        wanted: dict[str, Any] = {"prefix": prefix or None, "maxResults": most}
        while True:
            try:
                page = await self._call("GET", "b/{}/o", self._bucket, json_out=True, **wanted)
            except FileNotFoundError as error:
                raise NoBucketError(self._bucket) from error
            yield [_info(entry) for entry in page.get("items", ())]
            if not page.get("nextPageToken"):
                return
            wanted["pageToken"] = page["nextPageToken"]

    async def get(self, key: str) -> tuple[bytes, str] | None:
        try:
            headers, content = await self._call("GET", "b/{}/o/{}", self._bucket, key, alt="media")
        except FileNotFoundError:
            return None
        # Of a store that does not tell it, no object can be changed under a condition: no generation is "none".
        return content, str(headers.get("x-goog-generation", "none"))

    async def put(
        self, key: str, content: bytes, *, absent: bool = False, tag: str | None = None, writer: str = ""
    ) -> bool:
        # With its checksum, so that what arrives damaged takes no good object's place.
        md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        described = json.dumps({"name": key, "metadata": {_WRITER: writer}, "md5Hash": md5}).encode()
        # No content can hold a word that is made up only now.
        edge = uuid.uuid4().hex.encode()
        body = b"".join(
            (
                b"--%b\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%b\r\n" % (edge, described),
                b"--%b\r\nContent-Type: application/octet-stream\r\n\r\n%b\r\n--%b--" % (edge, content, edge),
            )
        )
        try:
            await self._call(
                "POST",
                f"{self._fs._location}/upload/storage/v1/b/{{}}/o",
                self._bucket,
                uploadType="multipart",
                headers={"Content-Type": f'multipart/related; boundary="{edge.decode()}"'},
                data=body,
                ifGenerationMatch="0" if absent else tag,
            )
        except FileExistsError:
            return False
        except FileNotFoundError as error:
            if tag is not None:
                return False
            raise NoBucketError(self._bucket) from error
        return True

    async def writer(self, key: str) -> str | None:
        try:
            seen = await self._call("GET", "b/{}/o/{}", self._bucket, key, json_out=True)
        except FileNotFoundError:
            return None
        return str(seen.get("metadata", {}).get(_WRITER, ""))

    async def delete(self, key: str, *, tag: str | None = None) -> bool:
        try:
            await self._call("DELETE", "b/{}/o/{}", self._bucket, key, ifGenerationMatch=tag)
        except (FileNotFoundError, FileExistsError):
            return False
        return True

    async def download(self, key: str, target: Path) -> None:
        # One answer, so one version.
        await self._fs._get_file_request(f"{self._bucket}/{key}", str(target))

    async def upload(self, source: Path, key: str) -> None:
        # What fits into one message, gcsfs puts between edges that are always the same and end no line of it: a file
        # that holds such an edge, or has a carriage return at its end, would not arrive as it is.
        if source.stat().st_size <= _ONE_MESSAGE_BYTES:
            await self.put(key, await asyncio.to_thread(source.read_bytes))
        else:
            await self._fs._put_file(str(source), f"{self._bucket}/{key}", chunksize=_ONE_MESSAGE_BYTES)

    async def _call(self, method: str, path: str, *names: str, **arguments: Any) -> Any:
        try:
            return await self._fs._call(method, path, *names, **arguments)
        except OSError as error:
            if type(error) is OSError and str(error).startswith("Forbidden"):
                # gcsfs keeps nothing of the answer's status but this word.
                raise PermissionError(str(error)) from error
            raise


def _info(entry: dict[str, Any]) -> ObjectInfo:
    key, size = entry["name"], int(entry.get("size", 0))
    modified = datetime.fromisoformat(entry["updated"].replace("Z", "+00:00")).timestamp()
    # Not crc32c, which two contents share too easily.
    md5 = entry.get("md5Hash")
    identity = f"md5:{md5}:{size}" if md5 else f"generation:{entry['generation']}:{size}"
    return ObjectInfo(key, size, modified, identity, key.endswith("/") and not size)
