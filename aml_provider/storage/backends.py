"""The kinds of stores that a datastore's URL can name, and how each is opened."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any
from urllib.parse import unquote, urlsplit

from aml_provider.spec.errors import NotSupportedError, PipelineError
from aml_provider.workspace.model import DatastoreConfig

from .backend_base import Backend
from .connections import Credentials, credentials_of
from .faults import DatastoreError, Origin, Reason, told
from .folder_backend import FolderBackend
from .sql import DIALECTS, DISTRIBUTION, dialect_of

_AZURE_HOSTS = (".dfs.core.", ".blob.core.")


@dataclass(frozen=True)
class Kind:
    """One kind of store.

    :param name: as its users call it.
    :param extra: which extra of this distribution brings its client library; empty: none is needed.
    :param module: the client library.
    :param objects: whether it keeps objects, of which two writers are kept apart.
    """

    name: str
    schemes: tuple[str, ...]
    extra: str
    module: str
    open: Callable[[DatastoreConfig, Origin, Credentials | None], Backend]
    objects: bool = False


def kind_of(config: DatastoreConfig, name: str) -> Kind:
    """The kind of store that a datastore's URL names.

    :raises NotSupportedError: there is no such kind.
    """
    for kind in KINDS:
        if config.scheme in kind.schemes:
            return kind
    if dialect_of(config) is not None:
        raise NotSupportedError(
            f"datastore {name!r} ({config.url}) is a database, which has tables and no files; read it with "
            "Dataset.Tabular.from_sql_query, or transfer a table or a query to files first."
        )
    known = [scheme for kind in KINDS for scheme in kind.schemes]
    known += [scheme for dialect in DIALECTS for scheme in dialect.schemes]
    close = get_close_matches(config.scheme, known, n=1)
    hint = f" Did you mean {close[0]}://?" if close else ""
    if config.scheme == "adl":
        hint = (
            " Azure has shut Data Lake Storage Gen1 down; Gen2 is abfs://container@account.dfs.core.windows.net/path."
        )
    raise NotSupportedError(
        f"datastore {name!r} has the URL {config.url!r}, and {config.scheme}:// is no kind of store that works here."
        f"{hint} What works: {', '.join(dict.fromkeys(known))}."
    )


def keeps_records(config: DatastoreConfig) -> bool:
    """Whether it is a bucket, in which small blobs can be kept. Opens nothing."""
    return any(kind.objects and config.scheme in kind.schemes for kind in KINDS)


def checked(config: DatastoreConfig, name: str) -> DatastoreConfig:
    """``config``, when its URL can be used as it is written.

    :raises NotSupportedError: there is no such kind of store.
    :raises PipelineError: it is a relative folder.
    """
    kind_of(config, name)
    root = config.local_root
    if root is not None and not root.is_absolute():
        raise PipelineError(
            f"datastore {name!r} has the relative folder {config.url!r}; take it from a loaded workspace, which "
            "knows what it is relative to."
        )
    return config


def opened(config: DatastoreConfig, name: str) -> Backend:
    """The store behind a datastore. Nothing is asked of it yet, but of Airflow for its connection.

    :raises NotSupportedError: there is no such kind of store.
    :raises DatastoreError: its client library is missing, or its connection cannot be used.
    """
    kind = kind_of(config, name)
    origin = Origin(name, config.url, config.conn_id)
    _have_library(kind, origin)
    found = None
    # A folder needs no credentials, whatever its connection is for.
    if kind.name != "folder" and (found := credentials_of(config, name)) is not None:
        origin = replace(origin, secrets=found.secrets)
    with told(origin, "opening it"):
        return kind.open(config, origin, found)


# --- opening each kind --------------------------------------------------------------------------------------------


def _folder(config: DatastoreConfig, origin: Origin, found: Credentials | None) -> Backend:
    root = config.local_root
    assert root is not None
    return FolderBackend(origin, root)


def _s3(config: DatastoreConfig, origin: Origin, found: Credentials | None) -> Backend:
    from . import s3
    from .object_backend import ObjectBackend

    _fitting(found, s3.CONNECTION_TYPES)
    wanted = s3.options(found)
    bucket, prefix = _bucket(config, "bucket")
    origin = replace(origin, container=f"bucket {bucket!r}", address=wanted.get("endpoint_url", "Amazon S3"))
    client = _client("s3", wanted, s3.filesystem)
    return ObjectBackend(origin, client, s3.S3Objects(client, bucket), bucket, prefix, lambda: client)


def _azure(config: DatastoreConfig, origin: Origin, found: Credentials | None) -> Backend:
    from . import azure
    from .object_backend import ObjectBackend

    _fitting(found, azure.CONNECTION_TYPES)
    container, prefix = _bucket(config, "container")
    container, _, host = container.partition("@")
    account = host.partition(".")[0] or None
    if not host and any(word in container for word in _AZURE_HOSTS):
        raise DatastoreError(
            f"its url names the host {container!r} and no container; write abfs://container@{container}/path.",
            Reason.NO_CONTAINER,
        )
    wanted = azure.options(found, account)
    address = (
        wanted.get("endpoint_url") or f"storage account {wanted.get('account_name', 'of the connection string')!r}"
    )
    origin = replace(origin, container=f"container {container!r}", address=address)
    client = _client("azure", wanted, azure.client)
    objects = azure.AzureObjects(client, container)
    return ObjectBackend(origin, client, objects, container, prefix, lambda: azure.filesystem(wanted))


def _gcs(config: DatastoreConfig, origin: Origin, found: Credentials | None) -> Backend:
    from . import gcs
    from .object_backend import ObjectBackend

    _fitting(found, gcs.CONNECTION_TYPES)
    wanted = gcs.options(found)
    bucket, prefix = _bucket(config, "bucket")
    address = wanted.get("endpoint_url", "Google Cloud Storage")
    origin = replace(origin, container=f"bucket {bucket!r}", address=address)
    client = _client("gcs", wanted, gcs.filesystem)
    return ObjectBackend(origin, client, gcs.GcsObjects(client, bucket), bucket, prefix, lambda: client)


def _sftp(config: DatastoreConfig, origin: Origin, found: Credentials | None) -> Backend:
    from . import sftp

    _fitting(found, sftp.CONNECTION_TYPES)
    parts = urlsplit(config.url)
    wanted = sftp.options(found, parts.hostname or "", parts.port, unquote(parts.username) if parts.username else None)
    origin = replace(origin, address=f"host {wanted['host']}:{wanted.get('port', 22)}")
    with told(origin, "connecting to it"):
        client = _client("sftp", wanted, sftp.filesystem)
    return sftp.SftpBackend(origin, client, parts.path or "/")


def _web(config: DatastoreConfig, origin: Origin, found: Credentials | None) -> Backend:
    from . import web

    _fitting(found, web.CONNECTION_TYPES)
    origin = replace(origin, address=f"host {urlsplit(config.url).netloc}")
    return web.WebBackend(origin, _client("web", web.options(found), web.filesystem), config.url)


KINDS = (
    Kind("folder", ("file",), "", "", _folder),
    Kind("S3", ("s3", "s3a"), "s3", "s3fs", _s3, objects=True),
    Kind("Azure Blob Storage", ("abfs", "abfss", "az", "wasb", "wasbs"), "azure", "adlfs", _azure, objects=True),
    Kind("Google Cloud Storage", ("gs", "gcs"), "gcs", "gcsfs", _gcs, objects=True),
    Kind("SFTP", ("sftp", "ssh"), "sftp", "sshfs", _sftp),
    Kind("web", ("http", "https"), "", "aiohttp", _web),
)


def _have_library(kind: Kind, origin: Origin) -> None:
    if kind.module and importlib.util.find_spec(kind.module) is None:
        what = f"'{DISTRIBUTION}[{kind.extra}]'" if kind.extra else kind.module
        raise DatastoreError(
            f"{origin} needs the package {kind.module}, which is not installed here; run: pip install {what}",
            Reason.BACKEND,
        )


def _fitting(found: Credentials | None, types: tuple[str, ...]) -> None:
    # A connection without a type says only what its fields say.
    if found is not None and found.conn_type and found.conn_type not in types:
        raise DatastoreError(
            f"Airflow connection {found.conn_id!r} has the type {found.conn_type!r}, which does not fit; "
            f"make it one of {', '.join(sorted(set(types)))}.",
            Reason.CONNECTION,
        )


def _bucket(config: DatastoreConfig, what: str) -> tuple[str, str]:
    """The bucket and the prefix in a URL. Not taken apart as a URL: a key may hold ``?`` and ``#``."""
    bucket, _, prefix = config.url.partition("://")[2].partition("/")
    if not bucket:
        raise DatastoreError(f"its url names no {what}; write {config.scheme}://{what}/folder.", Reason.NO_CONTAINER)
    return bucket, "/".join(part for part in prefix.split("/") if part)


# --- clients that are shared --------------------------------------------------------------------------------------

_lock = threading.Lock()
# A client takes a tenth of a second to make, and holds connections that are worth keeping. None outlives a fork.
_clients: dict[tuple[int, str, str], Any] = {}


def _client(kind: str, wanted: dict[str, Any], make: Callable[[dict[str, Any]], Any]) -> Any:
    # Not the options themselves, which hold secrets.
    text = json.dumps(wanted, sort_keys=True, default=str)
    key = (os.getpid(), kind, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())
    with _lock:
        if key in _clients:
            return _clients[key]
    # Not under the lock: a host that is down takes its time.
    made = make(wanted)
    with _lock:
        return _clients.setdefault(key, made)


def forget(backend: Backend) -> None:
    """Use no more what a datastore was opened with: its connection is broken, or its credentials are old."""
    with _lock:
        for key in [key for key, client in _clients.items() if client is backend.client]:
            del _clients[key]
