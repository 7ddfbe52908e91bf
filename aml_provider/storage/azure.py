"""Azure Blob Storage and Data Lake Storage Gen2: the client library that adlfs stands on, and adlfs."""

from __future__ import annotations

import asyncio
import hashlib
import os
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from .backend_base import quiet
from .connections import CONNECTION_TYPE, Credentials
from .faults import DatastoreError, Reason
from .objects import ObjectInfo, Objects

#: Airflow's connection types that say how to get there.
CONNECTION_TYPES = ("wasb", "adls", "azure_data_lake", "azure", CONNECTION_TYPE)

_PARTS_AT_ONCE = 4
# Bigger files go in parts of this size, and the service then keeps no checksum but the one that it is told.
_PART = 8 << 20
_PIECE = 8 << 20
_WRITER = "amlwriter"
_HOST = ".blob.core.windows.net"


def options(credentials: Credentials | None, account: str | None) -> dict[str, Any]:
    """What adlfs is given.

    :param account: the storage account, where the datastore's URL names it.
    :raises DatastoreError: nothing says which account it is.
    """
    found: dict[str, Any] = {}
    if credentials is not None:
        found = _of(credentials)
    found["account_name"] = account or found.get("account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    for name in ("connection_string", "account_key", "sas_token", "tenant_id", "client_id", "client_secret"):
        # The variables that adlfs reads too; a connection that has any of them stands for itself.
        if credentials is None and (value := os.environ.get(f"AZURE_STORAGE_{name.upper()}")):
            found[name] = value
    found = {name: value for name, value in found.items() if value}
    if not found.get("account_name") and not found.get("connection_string"):
        raise DatastoreError(
            "nothing says which storage account it is in; write abfs://container@account.dfs.core.windows.net/path, or "
            "put the account's name into the connection as login.",
            Reason.CONNECTION,
        )
    return found


class AzureClient:
    """The library's own client; its connections are closed when the last user is gone."""

    def __init__(self, service: Any, credential: Any) -> None:
        from fsspec.asyn import get_loop

        self.service = service
        weakref.finalize(self, _close, get_loop(), [service, credential])


def client(found: dict[str, Any]) -> AzureClient:
    """The client for :func:`options`."""
    from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

    quiet("azure")
    # The library's own patience with a host that is down is more than a minute.
    patience = ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=3, random_jitter_range=1)
    settings: dict[str, Any] = {"retry_policy": patience, "connection_timeout": 10, "read_timeout": 60}
    # Whole files of 64 MiB in memory, as the library has it, are too much when many are moved at once.
    settings |= {"max_single_put_size": _PART, "max_block_size": _PART, "max_single_get_size": _PART}
    if text := found.get("connection_string"):
        try:
            return AzureClient(BlobServiceClient.from_connection_string(text, **settings), None)
        except ValueError as error:
            raise DatastoreError(
                "its connection string is none; copy it from the storage account's access keys.", Reason.CREDENTIALS
            ) from error
    url = found.get("endpoint_url") or f"https://{found['account_name']}{_HOST}"
    credential = _credential(found)
    return AzureClient(BlobServiceClient(url, credential, **settings), credential)


def filesystem(found: dict[str, Any]) -> Any:
    """The file system that adlfs makes for :func:`options`."""
    from adlfs import AzureBlobFileSystem

    wanted = {name: value for name, value in found.items() if name != "authority"}
    if url := wanted.pop("endpoint_url", None):
        secret = f"AccountKey={wanted['account_key']};" if wanted.get("account_key") else ""
        signed = f"SharedAccessSignature={wanted['sas_token']};" if wanted.get("sas_token") else ""
        wanted = {
            "connection_string": f"DefaultEndpointsProtocol={url.partition(':')[0]};"
            f"AccountName={wanted['account_name']};{secret}{signed}BlobEndpoint={url};"
        }
    return AzureBlobFileSystem(**wanted, skip_instance_cache=True, use_listings_cache=False)


class AzureObjects(Objects):
    """A container."""

    counts_characters = True

    def __init__(self, client: AzureClient, container: str) -> None:
        self._client = client
        self._container = client.service.get_container_client(container)

    def refusal(self, key: str) -> str:
        if "\\" in key:
            return "holds a backslash, of which Azure makes a slash"
        # A carriage return would come back from a listing, which is XML, as a line feed.
        if any(character < " " and character not in "\t\n" for character in key):
            return "holds a control character, of which Azure lists none"
        if any(part.endswith(".") for part in key.split("/")):
            return "has a part that ends with a dot, which Azure drops"
        return super().refusal(key)

    async def make(self) -> bool:
        from azure.core.exceptions import ResourceExistsError

        try:
            await self._container.create_container()
        except ResourceExistsError as error:
            # One that is being deleted keeps its name for a while.
            if _code(error) != "ContainerAlreadyExists":
                raise
        return True

    async def pages(self, prefix: str, most: int | None = None) -> AsyncIterator[list[ObjectInfo]]:
        listed = self._container.list_blobs(
            name_starts_with=prefix or None, include=["metadata"], results_per_page=most or 5000
        )
        async for page in listed.by_page():
            yield [_info(blob) async for blob in page]

    async def get(self, key: str) -> tuple[bytes, str] | None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            stream = await self._container.download_blob(key)
            return await stream.readall(), stream.properties.etag
        except ResourceNotFoundError as error:
            if _code(error) == "BlobNotFound":
                return None
            raise

    async def put(
        self, key: str, content: bytes, *, absent: bool = False, tag: str | None = None, writer: str = ""
    ) -> bool:
        from azure.core.exceptions import HttpResponseError

        condition = {} if tag is None else _matching(tag)
        metadata = {_WRITER: writer} if writer else None
        try:
            await self._container.upload_blob(key, content, overwrite=not absent, metadata=metadata, **condition)
        except HttpResponseError as error:
            if (absent or tag is not None) and _code(error) in _UNMET:
                return False
            raise
        return True

    async def writer(self, key: str) -> str | None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            seen = await self._container.get_blob_client(key).get_blob_properties()
        except ResourceNotFoundError:
            return None
        return str((seen.metadata or {}).get(_WRITER, ""))

    async def delete(self, key: str, *, tag: str | None = None) -> bool:
        from azure.core.exceptions import HttpResponseError

        try:
            await self._container.delete_blob(key, **({} if tag is None else _matching(tag)))
        except HttpResponseError as error:
            if _code(error) in _UNMET:
                return False
            raise
        return True

    async def download(self, key: str, target: Path) -> None:
        # The library asks for all parts with the tag of the first.
        stream = await self._container.download_blob(key, max_concurrency=_PARTS_AT_ONCE)
        with open(target, "wb") as file:
            await stream.readinto(file)

    async def upload(self, source: Path, key: str) -> None:
        from azure.storage.blob import ContentSettings

        settings = None
        if os.path.getsize(source) > _PART:
            settings = ContentSettings(content_md5=bytearray(_md5(source)))
        with open(source, "rb") as file:
            await self._container.upload_blob(
                key, file, overwrite=True, content_settings=settings, max_concurrency=_PARTS_AT_ONCE
            )


# A condition that does not hold; a blob that is not there holds none.
_UNMET = ("ConditionNotMet", "BlobAlreadyExists", "BlobNotFound", "TargetConditionNotMet")


def _of(c: Credentials) -> dict[str, Any]:
    """What a connection says; its fields mean what they mean to Airflow's own hooks."""
    endpoint = c.address("endpoint_url") or (c.host if "://" in c.host else "")
    host = c.host if c.host and not endpoint else endpoint.partition("://")[2].partition("/")[0]
    found: dict[str, Any] = {
        "connection_string": c.text("connection_string"),
        "sas_token": c.text("sas_token"),
        "tenant_id": c.text("tenant_id", "tenantId"),
        "authority": c.text("authority"),
        "anon": c.flag("anonymous", "anon"),
    }
    # A host is the account, or the account's host name.
    account = c.text("account_name") or (host.partition(".")[0] if host and ":" not in host else "")
    if c.conn_type in ("adls", "azure_data_lake", "azure") or found["tenant_id"]:
        # A service principal.
        found |= {"client_id": c.login or c.text("client_id"), "client_secret": c.password or c.text("client_secret")}
        found["account_key"] = c.text("account_key", "shared_access_key")
        found["account_name"] = account
    else:
        found["account_key"] = c.password or c.text("account_key", "shared_access_key")
        found["account_name"] = c.text("account_name") or c.login or account
    if endpoint and _HOST not in endpoint and ".dfs.core." not in endpoint:
        # A store of one's own; Azure's hosts follow from the account.
        found["endpoint_url"] = endpoint.rstrip("/")
    return found


def _credential(found: dict[str, Any]) -> Any:
    if key := found.get("account_key"):
        return {"account_name": found["account_name"], "account_key": key}
    if token := found.get("sas_token"):
        from azure.core.credentials import AzureSasCredential

        return AzureSasCredential(token.lstrip("?"))
    if found.get("anon"):
        return None
    from azure.identity.aio import ClientSecretCredential, DefaultAzureCredential

    if found.get("client_secret"):
        # Azure's other clouds have hosts of their own to log in at.
        where = {"authority": found["authority"].partition("://")[2]} if "://" in found.get("authority", "") else {}
        return ClientSecretCredential(
            found.get("tenant_id", ""), found.get("client_id", ""), found["client_secret"], **where
        )
    return DefaultAzureCredential(
        **({"managed_identity_client_id": found["client_id"]} if found.get("client_id") else {})
    )


def _info(blob: Any) -> ObjectInfo:
    metadata = blob.metadata or {}
    folder = str(metadata.get("hdi_isfolder", "")).lower() == "true" or (blob.name.endswith("/") and not blob.size)
    md5 = blob.content_settings.content_md5
    # Only of a block blob the service takes the checksum away when the content changes.
    if md5 and getattr(blob.blob_type, "value", blob.blob_type) == "BlockBlob":
        mark = f"md5:{bytes(md5).hex()}"
    else:
        mark = f"etag:{blob.etag}" if blob.etag else ""
    identity = f"{mark}:{blob.size}" if mark else None
    return ObjectInfo(blob.name, blob.size, blob.last_modified.timestamp(), identity, folder)


def _matching(tag: str) -> dict[str, Any]:
    from azure.core import MatchConditions

    return {"etag": tag, "match_condition": MatchConditions.IfNotModified}


def _code(error: Any) -> str:
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or "")


def _md5(source: Path) -> bytes:
    # A checksum against change, not a secret.
    digest = hashlib.md5(usedforsecurity=False)
    with open(source, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.digest()


def _close(loop: Any, held: list[Any]) -> None:
    async def close() -> None:
        for one in held:
            if hasattr(one, "close"):
                await one.close()

    if loop.is_running():
        # Not waited for: this may be the loop's own thread.
        asyncio.run_coroutine_threadsafe(close(), loop)
