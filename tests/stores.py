"""The test-bed's stores: fresh roots in each, the connections to them, and hosts that do not do as they should."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import selectors
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aml_provider.storage import Store, store_for
from aml_provider.workspace.model import DatastoreConfig

HOME = Path(os.environ.get("TESTBED_HOME", "/var/tmp/testbed"))
#: Every kind of store that can be written to, for parametrized tests.
KINDS = (
    "local",
    pytest.param("s3", marks=pytest.mark.stores),
    pytest.param("azure", marks=pytest.mark.stores),
    # An emulator that the tests bring with them.
    "gcs",
    pytest.param("sftp", marks=pytest.mark.stores),
)
#: Those that keep objects.
OBJECT_KINDS = KINDS[1:4]
#: Those that are on another machine.
REMOTE_KINDS = KINDS[1:]
#: Names that some stores cannot have.
ODD = ("two\nlines", "back\\slash", "dot.", "x?versionId=3", "\x01", "\udcff")
# S3 itself takes a line feed in a name; the test-bed's does not.
REFUSED = {
    "local": (),
    "sftp": (),
    "s3": ("two\nlines", "x?versionId=3", "\udcff"),
    "azure": ("back\\slash", "dot.", "\x01", "\udcff"),
    "gcs": ("two\nlines", "\udcff"),
}
#: With AML_TRANSFERS=all every pair and every way of cutting a transfer off is tried; else some of each, in a minute.
EVERYTHING = os.environ.get("AML_TRANSFERS") == "all"
_SCHEMES = {"s3": "s3", "azure": "abfs", "gcs": "gs"}
S3_BUCKET = f"aml-tests-{uuid.uuid4().hex[:12]}"


def some(all_of_them: Sequence[Any], few: Sequence[Any]) -> Sequence[Any]:
    """Parameters of a test: the few, unless everything is to be tried."""
    return all_of_them if EVERYTHING else few


def addresses() -> dict[str, str]:
    """What the test-bed says about its stores."""
    lines = (HOME / "stores.env").read_text().splitlines()
    return {name: value.strip('"') for name, value in (line.split("=", 1) for line in lines if "=" in line)}


def host_key() -> str:
    """The public key of the test-bed's SFTP host."""
    return (HOME / "stores/ssh/host.pub").read_text().rsplit(" ", 1)[0]


def connection(kind: str, **changes: Any) -> dict[str, Any]:
    """An Airflow connection of Airflow's own type to one of the stores, as JSON has it.

    :param changes: fields that are another; those of ``extra`` are merged.
    """
    if kind == "gcs":
        extra = {"is_anonymous": True, "endpoint_url": _gcs(), "project": "tests"}
        return {"conn_type": "google_cloud_platform", **changes, "extra": {**extra, **changes.pop("extra", {})}}
    known = addresses()
    found: dict[str, dict[str, Any]] = {
        "s3": {
            "conn_type": "aws",
            "login": known["AWS_ACCESS_KEY_ID"],
            "password": known["AWS_SECRET_ACCESS_KEY"],
            "extra": {"endpoint_url": known["S3_ENDPOINT_URL"], "region_name": known["AWS_DEFAULT_REGION"]},
        },
        "azure": {
            "conn_type": "wasb",
            "login": known["AZURE_STORAGE_ACCOUNT"],
            "password": known["AZURE_STORAGE_KEY"],
            "extra": {"endpoint_url": f"http://127.0.0.1:5910/{known['AZURE_STORAGE_ACCOUNT']}"},
        },
        "sftp": {
            "conn_type": "sftp",
            "host": known["SFTP_HOST"],
            "port": int(known["SFTP_PORT"]),
            "login": known["SFTP_USER"],
            "extra": {"key_file": known["SFTP_KEY_FILE"], "host_key": host_key()},
        },
    }
    base = found[kind]
    extra = {**base["extra"], **changes.pop("extra", {})}
    return {**base, **changes, "extra": {name: value for name, value in extra.items() if value is not None}}


def set_connection(monkeypatch: pytest.MonkeyPatch, conn_id: str, value: dict[str, Any] | str) -> None:
    """Have Airflow know a connection, as an operator does it with an environment variable."""
    text = value if isinstance(value, str) else json.dumps(value)
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)


@dataclass
class Place:
    """A fresh root in a store.

    :param inside: its folder on this machine, where that can be seen.
    """

    kind: str
    url: str
    conn_id: str | None
    inside: Path | None = None
    _store: Store | None = field(default=None, repr=False)

    @property
    def config(self) -> DatastoreConfig:
        return DatastoreConfig(url=self.url, conn_id=self.conn_id)

    @property
    def store(self) -> Store:
        if self._store is None:
            self._store = store_for(self.config, "blobs")
        return self._store

    def write(self, path: str, content: bytes) -> None:
        """Put an object or a file there as another program would: by the store's own client."""
        if self.inside is not None:
            file = self.inside / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            if self.kind == "sftp":
                for made in (file, *(above for above in file.parents if self.inside in above.parents)):
                    shutil.chown(made, addresses()["SFTP_USER"])
            return
        bucket, key = self._key(path)
        client(self.kind).put(bucket, key, content)

    def read(self, path: str) -> bytes:
        """What another program sees there."""
        if self.inside is not None:
            return (self.inside / path).read_bytes()
        return client(self.kind).get(*self._key(path))

    def names(self) -> list[str]:
        """Everything that is there, as another program sees it."""
        if self.inside is not None:
            if not self.inside.exists():
                return []
            return sorted(p.relative_to(self.inside).as_posix() for p in self.inside.rglob("*") if not p.is_dir())
        bucket, prefix = self._key("")
        return sorted(key[len(prefix) :] for key in client(self.kind).keys(bucket, prefix))

    def key(self, path: str) -> str:
        """The key of an object."""
        return self._key(path)[1]

    def _key(self, path: str) -> tuple[str, str]:
        bucket, _, prefix = self.url.partition("://")[2].partition("/")
        return bucket, f"{prefix}/{path}"


@contextlib.contextmanager
def place(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A fresh root in a store of this kind, and the connection ``my_<kind>`` to it. Its name is not an easy one."""
    name = f"root of {uuid.uuid4().hex[:10]}"
    if kind == "local":
        yield Place(kind, str(tmp_path / name), None, tmp_path / name)
        return
    set_connection(monkeypatch, f"my_{kind}", connection(kind))
    if kind == "sftp":
        folder = Path(addresses()["SFTP_DIR"]) / name
        # As the user of the host would make it.
        folder.mkdir()
        shutil.chown(folder, addresses()["SFTP_USER"])
        yield Place(kind, f"sftp://127.0.0.1:5920{folder}", f"my_{kind}", folder)
        shutil.rmtree(folder)
        return
    client(kind).bucket(S3_BUCKET)
    yield Place(kind, f"{_SCHEMES[kind]}://{S3_BUCKET}/{name}", f"my_{kind}")
    client(kind).clear(S3_BUCKET, f"{name}/")


# --- what other programs use ----------------------------------------------------------------------------------


class S3Client:
    """Botocore itself."""

    def __init__(self) -> None:
        from botocore.session import Session

        known = addresses()
        self._client = Session().create_client(
            "s3",
            endpoint_url=known["S3_ENDPOINT_URL"],
            region_name=known["AWS_DEFAULT_REGION"],
            aws_access_key_id=known["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=known["AWS_SECRET_ACCESS_KEY"],
        )

    def bucket(self, bucket: str) -> None:
        self._client.create_bucket(Bucket=bucket)

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=bucket, Key=key, Body=content)

    def get(self, bucket: str, key: str) -> bytes:
        return bytes(self._client.get_object(Bucket=bucket, Key=key)["Body"].read())

    def keys(self, bucket: str, prefix: str) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def clear(self, bucket: str, prefix: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: self._client.delete_object(Bucket=bucket, Key=key), self.keys(bucket, prefix)))


class AzureClient:
    """The service's own library."""

    def __init__(self) -> None:
        from azure.storage.blob import BlobServiceClient

        self._client = BlobServiceClient.from_connection_string(addresses()["AZURE_STORAGE_CONNECTION_STRING"])

    def bucket(self, bucket: str) -> None:
        from azure.core.exceptions import ResourceExistsError

        with contextlib.suppress(ResourceExistsError):
            self._client.create_container(bucket)

    def put(self, bucket: str, key: str, content: bytes, **more: Any) -> None:
        self._client.get_blob_client(bucket, key).upload_blob(content, overwrite=True, **more)

    def get(self, bucket: str, key: str) -> bytes:
        return bytes(self._client.get_blob_client(bucket, key).download_blob().readall())

    def keys(self, bucket: str, prefix: str) -> list[str]:
        return [blob.name for blob in self._client.get_container_client(bucket).list_blobs(name_starts_with=prefix)]

    def clear(self, bucket: str, prefix: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._client.get_container_client(bucket).delete_blob, self.keys(bucket, prefix)))

    def drop(self, bucket: str) -> None:
        if self._client.get_container_client(bucket).exists():
            self._client.delete_container(bucket)


class GcsClient:
    """The service's own library."""

    def __init__(self) -> None:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        self._client = Client("tests", AnonymousCredentials(), client_options={"api_endpoint": _gcs()})

    def bucket(self, bucket: str) -> None:
        if self._client.lookup_bucket(bucket) is None:
            self._client.create_bucket(bucket)

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self._client.bucket(bucket).blob(key).upload_from_string(content)

    def get(self, bucket: str, key: str) -> bytes:
        return bytes(self._client.bucket(bucket).blob(key).download_as_bytes())

    def keys(self, bucket: str, prefix: str) -> list[str]:
        return [blob.name for blob in self._client.list_blobs(bucket, prefix=prefix)]

    def clear(self, bucket: str, prefix: str) -> None:
        for key in self.keys(bucket, prefix):
            self._client.bucket(bucket).delete_blob(key)


@functools.cache
def _gcs() -> str:
    """The URL of this process's emulator of Google Cloud Storage, which lives as long as it."""
    from tests.gcs_emulator import serving

    server = serving()
    atexit.register(server.__exit__, None, None, None)
    return server.__enter__()


_CLIENTS: dict[str, Callable[[], Any]] = {"s3": S3Client, "azure": AzureClient, "gcs": GcsClient}
_made: dict[str, Any] = {}


def client(kind: str) -> Any:
    """The client of another program."""
    if kind not in _made:
        _made[kind] = _CLIENTS[kind]()
    return _made[kind]


# --- hosts that do not do as they should --------------------------------------------------------------------------


def port_of(kind: str) -> int:
    """Where a store listens."""
    return {"s3": 5900, "azure": 5910, "sftp": 5920}.get(kind) or int(_gcs().rpartition(":")[2])


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def strict_s3() -> Iterator[str]:
    """An S3 of one's own, which minds credentials and permissions; it knows nobody. Yields its URL."""
    port = free_port()
    server = subprocess.Popen(
        [str(HOME / "stores/venv/bin/moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _listening(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


class Wire:
    """A way to a store that can be cut: a port that passes everything on.

    :param sent: changes what is sent to the store.
    :param at: the port; default: a free one.
    :ivar passed: how many bytes have come back through it.
    :ivar done: that what was to be done has been done.
    """

    def __init__(self, port: int, sent: Callable[[bytes], bytes] = bytes, at: int = 0) -> None:
        self._to = port
        self._sent = sent
        self._listening = socket.create_server(("127.0.0.1", at))
        self.port: int = self._listening.getsockname()[1]
        self.passed = 0
        self.done = threading.Event()
        self._work: tuple[int, Callable[[], object]] | None = None
        self._limit: int | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection that there is; new ones work."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def cut_after(self, more: int) -> None:
        """Break every connection once, after so many more bytes have come back."""
        self._limit = self.passed + more

    def after(self, more: int, work: Callable[[], object]) -> None:
        """Do something once, after so many more bytes have come back; what comes next waits for it."""
        self.done.clear()
        self._work = (self.passed + more, work)

    def close(self) -> None:
        """Pass nothing on any more."""
        # Whoever waits in accept would still take one.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def _due(self) -> bool:
        return self._work is not None and self.passed > self._work[0]

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listening.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self._to))
            with self._lock:
                self._pairs.append((here, there))
            threading.Thread(target=self._pass, args=(here, there), daemon=True).start()

    def _pass(self, here: socket.socket, there: socket.socket) -> None:
        with selectors.DefaultSelector() as ready, contextlib.suppress(OSError, ValueError):
            ready.register(here, selectors.EVENT_READ, there)
            ready.register(there, selectors.EVENT_READ, here)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    if not data:
                        here.close()
                        there.close()
                        return
                    if key.fileobj is there:
                        self.passed += len(data)
                        with self._lock:
                            work, self._work = (self._work, None) if self._due() else (None, self._work)
                        if work is not None:
                            work[1]()
                            self.done.set()
                        if self._limit is not None and self.passed > self._limit:
                            self._limit = None
                            self.cut()
                            return
                    else:
                        data = self._sent(data)
                    key.data.sendall(data)


@contextlib.contextmanager
def wire(port: int, sent: Callable[[bytes], bytes] = bytes, at: int = 0) -> Iterator[Wire]:
    """A :class:`Wire` to a port."""
    made = Wire(port, sent, at)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], contextlib.AbstractContextManager[Wire]]]:
    """``my_s3`` leads to an S3 that does not answer; the client is told to be impatient.

    Yields what brings it back, after so many connections have been closed.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(60)
    port = listening.getsockname()[1]
    extra = {"endpoint_url": f"http://127.0.0.1:{port}", "config_kwargs": {"retries": {"total_max_attempts": 1}}}
    set_connection(monkeypatch, "my_s3", connection("s3", extra=extra))

    def back(after: int) -> contextlib.AbstractContextManager[Wire]:
        for _ in range(after):
            listening.accept()[0].close()
        listening.close()
        return wire(5900, at=port)

    with contextlib.closing(listening):
        yield back


def _listening(port: int, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        # Nobody tells when a server listens.
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")
