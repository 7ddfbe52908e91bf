"""Addresses of single objects that carry their permission in them, for who has no credentials: signed by the worker.

Signing asks nothing of the store, but for Azure with an identity in the place of an account's key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from aml_provider.spec.errors import NotSupportedError

from .azure import AzureObjects
from .backend_base import Backend
from .datastores import Store
from .gcs import GcsObjects
from .object_backend import ObjectBackend
from .objects import Objects
from .paths import normalized
from .s3 import S3Objects

Method = Literal["GET", "PUT"]
# Clocks differ a little.
_SKEW = timedelta(minutes=5)
#: The stores' own limit.
LONGEST_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class SignedRequest:
    """What to ask of the store, and the headers that have to go with it."""

    url: str
    headers: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """For a program in another place."""
        return {"url": self.url, "headers": self.headers}


def signs(store: Store) -> bool:
    """Whether objects of the store can be given to others by a signed address; nothing is asked of the store."""
    return store.url.partition("://")[0] in ("s3", "s3a", "abfs", "abfss", "az", "wasb", "wasbs", "gs", "gcs")


def signed(store: Store, paths: Sequence[str], method: Method, seconds: int) -> list[SignedRequest]:
    """An address for each of the paths.

    :param seconds: how long they are good for; at most :data:`LONGEST_SECONDS`, and not longer than the credentials
        that they are signed with.
    :raises NotSupportedError: the store, or its credentials, cannot sign.
    """

    def work(backend: Backend) -> list[SignedRequest]:
        if not isinstance(backend, ObjectBackend):
            raise NotSupportedError(f"{backend.origin} signs no addresses; use an object store.")
        keys = [backend.key(normalized(path, store.name)) for path in paths]
        return backend.objects.run(_signed, backend.objects, keys, method, min(seconds, LONGEST_SECONDS))

    return store._do("signing addresses", work)


async def _signed(objects: Objects, keys: list[str], method: Method, seconds: int) -> list[SignedRequest]:
    if isinstance(objects, S3Objects):
        return await _s3(objects, keys, method, seconds)
    if isinstance(objects, AzureObjects):
        return await _azure(objects, keys, method, seconds)
    if isinstance(objects, GcsObjects):
        import asyncio

        return await asyncio.to_thread(_gcs, objects, keys, method, seconds)
    raise NotSupportedError(
        "this kind of store signs no addresses; use S3, Azure Blob Storage or Google Cloud Storage."
    )


async def _s3(objects: S3Objects, keys: list[str], method: Method, seconds: int) -> list[SignedRequest]:
    await objects._fs.set_session()
    client = await objects._fs.get_s3(objects._bucket)
    operation = "put_object" if method == "PUT" else "get_object"
    found = []
    for key in keys:
        parameters = {"Bucket": objects._bucket, "Key": key}
        url = await client.generate_presigned_url(ClientMethod=operation, Params=parameters, ExpiresIn=seconds)
        found.append(SignedRequest(str(url), {}))
    return found


async def _azure(objects: AzureObjects, keys: list[str], method: Method, seconds: int) -> list[SignedRequest]:
    from azure.storage.blob import BlobSasPermissions, generate_blob_sas

    service = objects._client.service
    now = datetime.now(timezone.utc)
    start, expiry = now - _SKEW, now + timedelta(seconds=seconds)
    with_key = {"account_key": getattr(service.credential, "account_key", None)}
    if with_key["account_key"] is None:
        if not hasattr(service.credential, "get_token"):
            raise NotSupportedError(
                "a shared access signature cannot sign addresses of single objects; "
                "give its connection the account's key, or an identity."
            )
        with_key = {"user_delegation_key": await service.get_user_delegation_key(start, expiry)}
    permission = BlobSasPermissions(read=True) if method == "GET" else BlobSasPermissions(create=True, write=True)
    headers = {"x-ms-blob-type": "BlockBlob"} if method == "PUT" else {}
    found = []
    for key in keys:
        blob = objects._container.get_blob_client(key)
        token = generate_blob_sas(
            blob.account_name, blob.container_name, key, permission=permission, start=start, expiry=expiry, **with_key
        )
        found.append(SignedRequest(f"{blob.url.partition('?')[0]}?{token}", headers))
    return found


def _gcs(objects: GcsObjects, keys: list[str], method: Method, seconds: int) -> list[SignedRequest]:
    headers = {"Content-Type": "application/octet-stream"} if method == "PUT" else {}
    more: dict[str, Any] = {"method": method, **({"content_type": headers["Content-Type"]} if headers else {})}
    return [
        SignedRequest(str(objects._fs.sign(f"{objects._bucket}/{key}", expiration=seconds, **more)), headers)
        for key in keys
    ]
