"""Whatever is wrong with a datastore is said in one sentence that names it, its cause kept and no secret shown."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest

from aml_provider.spec.errors import AmlError, NotSupportedError
from aml_provider.storage import Store, azure, gcs, s3, sftp, store_for, web
from aml_provider.storage.connections import Credentials
from aml_provider.storage.faults import DatastoreError, NothingThereError, Origin, Reason, fault
from aml_provider.workspace.model import DatastoreConfig
from tests.stores import (
    OBJECT_KINDS,
    REMOTE_KINDS,
    S3_BUCKET,
    Place,
    addresses,
    client,
    connection,
    free_port,
    place,
    port_of,
    set_connection,
    strict_s3,
    wire,
)

SECRET = "c2VjcmV0LW9mLXRoZS10ZXN0"


@pytest.fixture(autouse=True)
def no_cloud_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine that runs the tests may have credentials of somebody."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.fixture(params=REMOTE_KINDS)
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with place(request.param, tmp_path, monkeypatch) as made:
        yield made


# --- what is wrong with a URL or an installation ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("hdfs://host/x", "hdfs:// is no kind of store that works here"),
        ("abfz://c/x", r"Did you mean abfs://\?"),
        ("adl://x/y", "Azure has shut Data Lake Storage Gen1 down"),
    ],
)
def test_an_unknown_kind_of_store(url: str, says: str) -> None:
    with pytest.raises(NotSupportedError, match=says) as caught:
        store_for(DatastoreConfig(url=url), "blobs")
    assert f"'blobs' has the URL {url!r}" in str(caught.value)
    assert "What works: file, s3" in str(caught.value)


def test_a_missing_client_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(DatastoreError, match=r"pip install 'airflow-provider-aml\[gcs\]'$") as caught:
        store_for(DatastoreConfig(url="gs://bucket/x"), "blobs").files()
    assert caught.value.reason is Reason.BACKEND
    assert "datastore 'blobs' (gs://bucket/x) needs the package gcsfs" in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "sftp://user:pa55word@host/x",
        "https://user:pa55word@host/x",
        "https://account.blob.core.windows.net/c?sv=2024&sig=pa55word",
        "abfs://c@a.dfs.core.windows.net/x?sig=pa55word",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="put it into an Airflow connection") as caught:
        DatastoreConfig(url=url)
    assert "pa55word" not in str(caught.value)


# --- what is wrong when a store is asked ----------------------------------------------------------------------------


class Wrong(NamedTuple):
    """Something an operator gets wrong."""

    url: str
    connection: Callable[[], dict[str, Any] | None]
    reason: Reason
    says: str
    asked: Callable[[Store], object] = Store.files


def s3_to(port: int) -> dict[str, Any]:
    return connection("s3", extra={"endpoint_url": f"http://127.0.0.1:{port}"})


def here(path: str = "") -> str:
    return f"sftp://127.0.0.1:5920{path}"


def read_a(store: Store) -> object:
    return store.read("a")


CONNECTED = "'my_store'"
WRONG = {
    "S3 bucket missing": Wrong(
        "s3://no-such-bucket/x", lambda: connection("s3"), Reason.NO_CONTAINER, "bucket 'no-such-bucket' does not exist"
    ),
    "S3 bucket missing, one file asked": Wrong(
        "s3://no-such-bucket/x", lambda: connection("s3"), Reason.NO_CONTAINER, "bucket 'no-such-bucket'", read_a
    ),
    "S3 bucket's name cannot be": Wrong(
        "s3://No_Bucket!/x", lambda: connection("s3"), Reason.NO_CONTAINER, "bucket 'No_Bucket!' does not exist"
    ),
    "S3 bucket not named": Wrong("s3:///x", lambda: connection("s3"), Reason.NO_CONTAINER, "names no bucket"),
    "S3 path missing": Wrong(
        f"s3://{S3_BUCKET}/x", lambda: connection("s3"), Reason.MISSING, "there is nothing at 'a'", read_a
    ),
    "S3 host down": Wrong(
        f"s3://{S3_BUCKET}/x", lambda: s3_to(free_port()), Reason.UNREACHABLE, "http://127.0.0.1:.* did not answer"
    ),
    "S3 no credentials": Wrong(
        f"s3://{S3_BUCKET}/x", lambda: None, Reason.CREDENTIALS, "this machine has no credentials.*conn_id"
    ),
    "S3 profile missing": Wrong(
        f"s3://{S3_BUCKET}/x",
        lambda: {"conn_type": "aws", "extra": {"profile_name": "none"}},
        Reason.CREDENTIALS,
        f"{CONNECTED} .ProfileNotFound.",
    ),
    "S3 role": Wrong(
        f"s3://{S3_BUCKET}/x",
        lambda: connection("s3", extra={"role_arn": "arn:aws:iam::1:role/x"}),
        Reason.CONNECTION,
        "assumes the role",
    ),
    "connection of another type": Wrong(
        f"s3://{S3_BUCKET}/x", lambda: connection("sftp"), Reason.CONNECTION, "has the type 'sftp', which does not fit"
    ),
    "extra is no mapping": Wrong(
        f"s3://{S3_BUCKET}/x",
        lambda: connection("s3", extra={"config_kwargs": "s3v4"}),
        Reason.CONNECTION,
        "'config_kwargs' in its extra must be a JSON object",
    ),
    "Azure wrong key": Wrong(
        f"abfs://{S3_BUCKET}/x",
        lambda: connection("azure", password=SECRET),
        Reason.CREDENTIALS,
        f"does not take the credentials of Airflow connection {CONNECTED}",
    ),
    "Azure key that is none": Wrong(
        f"abfs://{S3_BUCKET}/x",
        lambda: connection("azure", password="secret: not base64"),
        Reason.CREDENTIALS,
        f"does not take the credentials of Airflow connection {CONNECTED}",
    ),
    "Azure token that is none": Wrong(
        f"abfs://{S3_BUCKET}/x",
        lambda: connection("azure", password="", extra={"sas_token": f"sv=2024-01-01&sig={SECRET}"}),
        Reason.CREDENTIALS,
        f"does not take the credentials of Airflow connection {CONNECTED}",
    ),
    "Azure connection string that is none": Wrong(
        f"abfs://{S3_BUCKET}/x",
        lambda: {"conn_type": "wasb", "extra": {"connection_string": f"AccountKey {SECRET}"}},
        Reason.CREDENTIALS,
        "its connection string is none",
    ),
    "Azure container missing": Wrong(
        "abfs://no-such-container/x",
        lambda: connection("azure"),
        Reason.NO_CONTAINER,
        "container 'no-such-container' does not exist",
    ),
    "Azure container not named": Wrong(
        "abfs://account.dfs.core.windows.net/x",
        lambda: connection("azure"),
        Reason.NO_CONTAINER,
        "write abfs://container@account.dfs.core.windows.net/path",
    ),
    "Azure path missing": Wrong(
        f"abfs://{S3_BUCKET}/x", lambda: connection("azure"), Reason.MISSING, "there is nothing at 'a'", read_a
    ),
    "Azure account not named": Wrong(
        f"abfs://{S3_BUCKET}/x", lambda: {"conn_type": "wasb"}, Reason.CONNECTION, "which storage account it is in"
    ),
    "SFTP wrong key": Wrong(
        here(),
        lambda: connection("sftp", extra={"key_file": None}, password=SECRET),
        Reason.CREDENTIALS,
        f"does not take the credentials of Airflow connection {CONNECTED}",
    ),
    "SFTP key that is none": Wrong(
        here(),
        lambda: connection("sftp", extra={"key_file": None, "private_key": SECRET}),
        Reason.CREDENTIALS,
        f"does not take the credentials of Airflow connection {CONNECTED}",
    ),
    "SFTP key file missing": Wrong(
        here(),
        lambda: connection("sftp", extra={"key_file": "/no/such/file"}),
        Reason.CREDENTIALS,
        "there is no private key file '/no/such/file'",
    ),
    "SFTP host key changed": Wrong(
        here(),
        lambda: connection("sftp", extra={"host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43}),
        Reason.HOST_KEY,
        "host 127.0.0.1:5920 shows a host key that is not the known one",
    ),
    "SFTP host key unknown": Wrong(
        here(),
        lambda: connection("sftp", conn_type="aml_datastore", extra={"host_key": None}),
        Reason.HOST_KEY,
        "shows a host key that is not the known one",
    ),
    "SFTP host down": Wrong(
        "sftp://127.0.0.1:1/x",
        lambda: connection("sftp", port=1),
        Reason.UNREACHABLE,
        "host 127.0.0.1:1 did not answer",
    ),
    "SFTP host of somebody else": Wrong(
        "sftp://elsewhere/x", lambda: connection("sftp"), Reason.CONNECTION, "names the host 'elsewhere'"
    ),
    "SFTP root missing": Wrong(
        here("/no/such"), lambda: connection("sftp"), Reason.MISSING, "looking at its root", Store.check
    ),
    "SFTP path missing": Wrong(here("/no/such"), lambda: connection("sftp"), Reason.MISSING, "reading 'a'", read_a),
    "SFTP folder forbidden": Wrong(here("/root"), lambda: connection("sftp"), Reason.FORBIDDEN, "forbids listing"),
    "SFTP writing forbidden": Wrong(
        here("/usr"),
        lambda: connection("sftp"),
        Reason.FORBIDDEN,
        "forbids writing 'a'",
        lambda store: store.put(__file__, "a"),
    ),
    "HTTP host down": Wrong("http://127.0.0.1:1/x", lambda: None, Reason.UNREACHABLE, "did not answer", read_a),
}


@pytest.mark.stores
@pytest.mark.parametrize("what", WRONG)
def test_each_thing_that_can_be_wrong_has_its_sentence(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("s3", "azure"):
        client(kind).bucket(S3_BUCKET)
    wrong = WRONG[what]
    described = wrong.connection()
    if described is not None:
        set_connection(monkeypatch, "my_store", described)
    elif wrong.url.startswith("s3"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", addresses()["S3_ENDPOINT_URL"])
    config = DatastoreConfig(url=wrong.url, conn_id=None if described is None else "my_store")
    with pytest.raises(DatastoreError, match=wrong.says) as caught:
        wrong.asked(store_for(config, "blobs"))
    message = str(caught.value)
    assert caught.value.reason is wrong.reason
    assert isinstance(caught.value, AmlError)
    assert isinstance(caught.value, NothingThereError) == (wrong.reason is Reason.MISSING)
    # One sentence that says which datastore it is, and nothing that a program prints to its author.
    assert message.startswith(f"datastore 'blobs' ({wrong.url})")
    assert message.count("\n") == 0
    assert message.endswith(".")
    assert message.count("datastore 'blobs'") == 1
    hidden = [SECRET, "not base64", addresses()["AZURE_STORAGE_KEY"]]
    assert not [word for word in hidden if word in message]
    assert not [word for word in hidden if word in "".join(traceback.format_exception(caught.value))]


@pytest.mark.stores
def test_an_s3_that_knows_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with strict_s3() as url:
        set_connection(monkeypatch, "my_s3", connection("s3", password=SECRET, extra={"endpoint_url": url}))
        store = store_for(DatastoreConfig(url="s3://bucket/x", conn_id="my_s3"), "blobs")
        (tmp_path / "a").write_text("1")
        asked: list[Callable[[], object]] = [
            store.check,
            store.files,
            lambda: store.read("a"),
            lambda: store.put(tmp_path / "a", "a"),
            lambda: store.contents(["a"] * 20),
            lambda: store.records().read("a"),
            lambda: store.records().exclusive,
        ]
        for ask in asked:
            with pytest.raises(DatastoreError, match=r"connection 'my_s3' \(InvalidAccessKeyId\)") as caught:
                ask()
            assert caught.value.reason is Reason.CREDENTIALS
            assert not caught.value.transient
            assert caught.value.__cause__ is not None


def test_credentials_that_are_corrected_are_used(where: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    if where.kind == "s3":
        set_connection(monkeypatch, "my_s3", {"conn_type": "aws", "extra": {"profile_name": "none"}})
    elif where.kind == "gcs":
        set_connection(monkeypatch, "my_gcs", connection("gcs", extra={"is_anonymous": False, "key_path": "/no/key"}))
    else:
        wrong = {"azure": {"password": SECRET}, "sftp": {"login": "nobody-there"}}[where.kind]
        set_connection(monkeypatch, f"my_{where.kind}", connection(where.kind, **wrong))
    store = where.store
    with pytest.raises(DatastoreError) as caught:
        store.check()
    assert caught.value.reason is (Reason.CONNECTION if where.kind == "gcs" else Reason.CREDENTIALS)
    set_connection(monkeypatch, f"my_{where.kind}", connection(where.kind))
    where.write("a", b"1")
    assert store.files() == ["a"]


# --- networks ------------------------------------------------------------------------------------------------------


@pytest.fixture
def network(where: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The way to the store, which can be cut."""
    with wire(port_of(where.kind)) as made:
        port = made.port
        if where.kind == "sftp":
            where.url = where.url.replace(":5920", f":{port}")
            set_connection(monkeypatch, "my_sftp", connection("sftp", port=port))
        else:
            url = connection(where.kind)["extra"]["endpoint_url"].replace(str(port_of(where.kind)), str(port))
            set_connection(monkeypatch, f"my_{where.kind}", connection(where.kind, extra={"endpoint_url": url}))
        yield made


def test_a_connection_that_was_idle_and_is_broken_is_made_again(where: Place, network: Any) -> None:
    where.write("a", b"1")
    assert where.store.files() == ["a"]
    for _ in range(3):
        network.cut()
        assert where.store.files() == ["a"]
        network.cut()
        assert where.store.read("a") == b"1"


def test_a_network_cut_in_the_middle_of_a_download(where: Place, network: Any, tmp_path: Path) -> None:
    content = os.urandom(1 << 20) * 20
    where.write("big", content)
    assert where.store.is_file("big")
    network.cut_after(5 << 20)
    # A part or the whole is asked for once more.
    where.store.download_path("big", tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["big"]


@pytest.mark.parametrize("where", OBJECT_KINDS, indirect=True)
def test_an_object_replaced_while_it_is_read_is_no_mixture(where: Place, network: Any, tmp_path: Path) -> None:
    first, second = b"1" * (40 << 20), b"2" * (40 << 20)
    where.write("big", first)
    assert where.store.is_file("big")
    network.after(2 << 20, lambda: where.write("big", second))
    # Where the client library gives up, that is an error, and nothing is left.
    with contextlib.suppress(DatastoreError):
        where.store.download_path("big", tmp_path / "big")
    assert network.done.is_set()
    assert [file.read_bytes() for file in tmp_path.iterdir()] in ([], [first], [second])


# --- web servers ---------------------------------------------------------------------------------------------------


class Pages(BaseHTTPRequestHandler):
    """A web server's files, with what it says of them; and one that wants a password."""

    files: ClassVar[dict[str, tuple[bytes, dict[str, str]]]] = {}
    asked: ClassVar[list[tuple[str, str]]] = []

    def _answer(self, body: bool) -> None:
        self.asked.append((self.command, self.path))
        if self.path.startswith("/private/") and self.headers["Authorization"] != "Basic dTpwYTU1d29yZA==":
            self.send_error(401)
            return
        if self.path == "/files/broken":
            self.send_error(500)
            return
        if self.path == "/files/no-head" and not body:
            self.send_error(405)
            return
        found = self.files.get(self.path)
        if found is None:
            self.send_error(404)
            return
        content, headers = found
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def do_GET(self) -> None:
        self._answer(True)

    def do_HEAD(self) -> None:
        self._answer(False)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Pages.asked.clear()
    Pages.files = {
        "/files/a.csv": (b"1,2", {"ETag": '"v1"'}),
        "/files/a%20b%23%3F%C3%BC.csv": (b"odd", {}),
        "/files/weak": (b"weak", {"ETag": 'W/"v1"'}),
        "/files/no-head": (b"get", {}),
        "/files/empty": (b"", {}),
        "/private/x": (b"private", {}),
    }
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_files_of_a_web_server(site: str, tmp_path: Path) -> None:
    store = store_for(DatastoreConfig(url=f"{site}/files/"), "pages")
    store.check()
    assert store.exists("a.csv")
    assert store.is_file("a b#?ü.csv")
    assert not store.exists("none.csv")
    assert store.read("a b#?ü.csv") == b"odd"
    assert store.is_file("no-head")
    assert store.read("empty") == b""
    assert store.files("a.csv") == ["a.csv"]
    assert store.files("none.csv") == []
    assert store.download_path("a.csv", tmp_path / "a.csv") == 1
    assert (tmp_path / "a.csv").read_bytes() == b"1,2"
    with store.filesystem.open(store.full("a b#?ü.csv"), "rb") as file:
        assert file.read() == b"odd"


def test_a_web_server_is_only_read_and_lists_nothing(site: str, tmp_path: Path) -> None:
    store = store_for(DatastoreConfig(url=f"{site}/files"), "pages")
    for ask in (store.files, lambda: store.glob("*.csv"), store.content, lambda: store.download(tmp_path / "t")):
        with pytest.raises(DatastoreError, match=r"'pages' .*web server, which does not tell what files it has"):
            ask()
    (tmp_path / "x").write_text("1")
    for change in (lambda: store.put(tmp_path / "x", "x"), lambda: store.remove("a.csv")):
        with pytest.raises(DatastoreError, match=r"'pages' .*web server, which can only be read"):
            change()


def test_a_web_files_identity_is_a_strong_tag_or_its_bytes(site: str) -> None:
    store = store_for(DatastoreConfig(url=f"{site}/files"), "pages")
    tagged = store.content("a.csv")
    assert tagged is not None
    assert ("GET", "/files/a.csv") not in Pages.asked
    Pages.files["/files/a.csv"] = (b"3,4", {"ETag": '"v2"'})
    assert store.content("a.csv") != tagged
    # A weak tag does not promise the same bytes.
    weak = store.content("weak")
    Pages.files["/files/weak"] = (b"WEAK", {"ETag": 'W/"v1"'})
    assert store.content("weak") != weak


def test_a_web_server_that_wants_a_password(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DatastoreConfig(url=f"{site}/private", conn_id="my_web")
    set_connection(monkeypatch, "my_web", {"conn_type": "http", "login": "u", "password": "wrong-one"})
    with pytest.raises(DatastoreError, match="connection 'my_web'") as caught:
        store_for(config, "pages").read("x")
    assert caught.value.reason is Reason.CREDENTIALS
    set_connection(monkeypatch, "my_web", {"conn_type": "http", "login": "u", "password": "pa55word"})
    assert store_for(config, "pages").read("x") == b"private"
    with pytest.raises(DatastoreError, match="no credentials that the store takes") as caught:
        store_for(DatastoreConfig(url=f"{site}/private"), "pages").exists("x")
    assert caught.value.reason is Reason.CREDENTIALS


def test_a_web_server_in_trouble(site: str) -> None:
    with pytest.raises(DatastoreError, match="did not answer .*HTTP 500") as caught:
        store_for(DatastoreConfig(url=f"{site}/files"), "pages").exists("broken")
    assert caught.value.transient


# --- what each connection means to its library ---------------------------------------------------------------------


def made(conn_type: str, **fields: Any) -> Credentials:
    return Credentials("c", conn_type, **fields)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (made("aws", login="id", password="key"), {"key": "id", "secret": "key"}),
        (
            made("aws", extra={"aws_access_key_id": "id", "aws_secret_access_key": "key", "aws_session_token": "t"}),
            {"key": "id", "secret": "key", "token": "t"},
        ),
        (made("aws", extra={"region_name": "eu-west-1"}), {"client_kwargs": {"region_name": "eu-west-1"}}),
        (made("aws", extra={"endpoint_url": "http://x"}), {"endpoint_url": "http://x"}),
        (
            made("aws", extra={"service_config": {"s3": {"endpoint_url": "http://y"}}}),
            {"endpoint_url": "http://y"},
        ),
        (made("s3", host="http://z"), {"endpoint_url": "http://z"}),
        (made("aws", extra={"verify": "false"}), {"client_kwargs": {"verify": False}}),
        (made("aws", extra={"verify": "/ca.pem"}), {"client_kwargs": {"verify": "/ca.pem"}}),
        (
            made("aws", extra={"config_kwargs": '{"s3": {"addressing_style": "path"}}'}),
            {"config_kwargs": {"s3": {"addressing_style": "path"}}},
        ),
        (made("aml_datastore", extra={"anonymous": "true", "session_token": ""}), {"anon": True}),
        (made("aml_datastore", extra={"anonymous": False}), {}),
        (None, {}),
    ],
)
def test_s3_options(given: Credentials | None, meant: dict[str, Any]) -> None:
    assert s3.options(given) == meant


@pytest.mark.parametrize(
    ("given", "account", "meant"),
    [
        (made("wasb", login="acct", password="key"), None, {"account_name": "acct", "account_key": "key"}),
        (made("wasb", login="acct", password="key"), "other", {"account_name": "other", "account_key": "key"}),
        (
            made("wasb", host="acct.blob.core.windows.net", password="k"),
            None,
            {"account_name": "acct", "account_key": "k"},
        ),
        (
            made("wasb", host="https://acct.blob.core.windows.net/", password="k"),
            None,
            {"account_name": "acct", "account_key": "k"},
        ),
        (made("wasb", extra={"connection_string": "X=1"}), None, {"connection_string": "X=1"}),
        (
            made("wasb", login="acct", extra={"sas_token": "sig=1"}),
            None,
            {"account_name": "acct", "sas_token": "sig=1"},
        ),
        (
            made("adls", host="acct", login="id", password="s", extra={"tenant_id": "t"}),
            None,
            {"account_name": "acct", "client_id": "id", "client_secret": "s", "tenant_id": "t"},
        ),
        (
            made("aml_datastore", login="id", password="s", extra={"tenant_id": "t"}),
            "acct",
            {"account_name": "acct", "client_id": "id", "client_secret": "s", "tenant_id": "t"},
        ),
        (made("wasb", login="acct"), None, {"account_name": "acct"}),
        (
            made("wasb", login="dev", password="k", host="http://localhost:10000/dev"),
            None,
            {"account_name": "dev", "account_key": "k", "endpoint_url": "http://localhost:10000/dev"},
        ),
        (None, "acct", {"account_name": "acct"}),
    ],
)
def test_azure_options(given: Credentials | None, account: str | None, meant: dict[str, Any]) -> None:
    assert azure.options(given, account) == meant


def test_azure_without_a_connection_takes_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acct")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "key")
    assert azure.options(None, None) == {"account_name": "acct", "account_key": "key"}
    # A connection that says something is the whole truth.
    assert azure.options(made("wasb", login="mine", password="k"), None) == {"account_name": "mine", "account_key": "k"}


def test_google_options(tmp_path: Path) -> None:
    key = '{"type": "service_account", "private_key": "x"}'
    platform = "google_cloud_platform"
    assert gcs.options(made(platform, extra={"keyfile_dict": key, "project": "p"})) == {
        "token": {"type": "service_account", "private_key": "x"},
        "project": "p",
    }
    (tmp_path / "key").write_text(key)
    file = str(tmp_path / "key")
    assert gcs.options(made(platform, extra={f"extra__{platform}__key_path": file})) == {"token": file}
    for path, why in (("/no/key", "No such file"), (__file__, "is not JSON")):
        with pytest.raises(DatastoreError, match=rf"names the key file '{path}', which .*{why}"):
            gcs.options(made(platform, extra={"key_path": path}))
    assert gcs.options(made("aml_datastore", extra={"anonymous": "1"})) == {"token": "anon"}
    assert gcs.options(None) == {}


def test_sftp_options() -> None:
    def meant(given: Credentials | None, host: str = "h", port: int | None = None) -> dict[str, Any]:
        found = sftp.options(given, host, port, "u")
        assert (found.pop("host"), found.pop("username")) == ("h", "u")
        return found

    assert meant(None) == {"known_hosts": ()}
    assert meant(made("sftp", password="p"), port=22) == {
        "port": 22,
        "known_hosts": None,
        "password": "p",
        "client_keys": None,
    }
    assert meant(made("sftp", extra={"no_host_key_check": "false"})) == {"known_hosts": ()}
    assert meant(made("aml_datastore")) == {"known_hosts": ()}
    assert meant(made("aml_datastore", extra={"no_host_key_check": True})) == {"known_hosts": None}
    assert meant(made("ssh", host="h", extra={"host_key": "AAAA"}), "")["host_key"] == "ssh-rsa AAAA"
    with_key = meant(made("ssh", extra={"private_key": "K", "private_key_passphrase": "w", "host_key": "ssh-x A"}))
    assert (with_key["private_key"], with_key["passphrase"], with_key["host_key"]) == ("K", "w", "ssh-x A")


def test_web_options() -> None:
    assert web.options(None) == {}
    given = made("http", login="u", password="p", extra={"headers": {"Authorization": "Bearer x"}, "verify": "no"})
    assert web.options(given) == {"login": ("u", "p"), "headers": {"Authorization": "Bearer x"}, "ssl": False}


# --- sentences -----------------------------------------------------------------------------------------------------


def test_a_secret_in_what_a_library_says_is_hidden() -> None:
    origin = Origin("blobs", "s3://b/x", secrets=(SECRET,))
    told = fault(origin, "reading 'a'", RuntimeError(f"odd {SECRET} thing\nand a second line"))
    assert str(told) == "datastore 'blobs' (s3://b/x): RuntimeError: odd *** thing while reading 'a'."
    assert SECRET not in repr(origin)


def test_a_full_disk_is_said_of_the_one_that_is_full() -> None:
    full = OSError(28, "No space left on device")
    origin = Origin("blobs", "s3://b/x")
    assert re.search("the disk of '/data/a' is full", str(fault(origin, "reading 'a'", full, Path("/data/a"))))
    assert fault(origin, "writing 'a'", full).reason is Reason.FULL
