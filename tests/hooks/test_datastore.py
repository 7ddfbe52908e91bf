"""The connection type for datastores: Airflow finds it, shows its form, and its test button tells the truth."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers_manager import ProvidersManager

from aml_provider.get_provider_info import get_provider_info
from aml_provider.hooks.datastore import DatastoreHook
from aml_provider.spec.errors import AmlError
from aml_provider.storage.connections import CONNECTION_TYPE
from tests.stores import REMOTE_KINDS, Place, connection, free_port, place, set_connection

pytestmark = pytest.mark.filterwarnings("ignore:ProvidersManager:DeprecationWarning")


@pytest.fixture(params=REMOTE_KINDS)
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with place(request.param, tmp_path, monkeypatch) as made:
        yield made


def described(kind: str, url: str, **changes: Any) -> dict[str, Any]:
    """A connection of our own type with the same credentials as one of Airflow's own."""
    extra = {"url": url, **changes.pop("extra", {})}
    return connection(kind, conn_type=CONNECTION_TYPE, extra=extra, **changes)


# --- what Airflow knows ---------------------------------------------------------------------------------------------


def test_airflow_finds_the_type_and_its_test_button() -> None:
    found = ProvidersManager().hooks[CONNECTION_TYPE]
    assert found is not None
    assert found.hook_class_name == "aml_provider.hooks.datastore.DatastoreHook"
    assert found.package_name == "airflow-provider-aml"
    assert found.connection_id_attribute_name == "datastore_conn_id"
    assert found.hook_name == DatastoreHook.hook_name
    assert found.connection_testable


def test_the_form_has_a_field_for_everything_a_connection_may_say() -> None:
    manager = ProvidersManager()
    fields = {
        info.field_name: info
        for info in manager.connection_form_widgets.values()
        if info.hook_class_name == "aml_provider.hooks.datastore.DatastoreHook"
    }
    assert {"url", "endpoint_url", "sas_token", "private_key", "host_key", "keyfile_dict", "anonymous"} <= set(fields)
    hidden = {name for name, info in fields.items() if info.is_sensitive}
    assert hidden == {
        "session_token",
        "sas_token",
        "connection_string",
        "keyfile_dict",
        "private_key",
        "private_key_passphrase",
    }
    behaviour = manager.field_behaviours[CONNECTION_TYPE]
    assert behaviour["hidden_fields"] == ["schema"]
    assert set(behaviour["relabeling"]) == {"host", "login", "password"}


def test_the_form_and_the_class_say_the_same() -> None:
    (declared,) = get_provider_info()["connection-types"]
    assert declared["connection-type"] == DatastoreHook.conn_type == CONNECTION_TYPE
    assert declared["hook-name"] == DatastoreHook.hook_name


def test_the_form_is_shown_without_importing_a_store() -> None:
    code = (
        "import sys, aml_provider.get_provider_info as found; found.get_provider_info()\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not {"airflow", "fsspec", "pydantic", "s3fs", "azure"} & set(done.stdout.split())


# --- the test button ------------------------------------------------------------------------------------------------


def test_a_good_connection(where: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch, "mine", described(where.kind, where.url))
    assert DatastoreHook("mine").test_connection() == (True, f"{where.url} answers and can be listed.")
    # As Airflow itself asks it, by the type alone.
    from airflow.sdk import Connection

    assert Connection.get("mine").test_connection() == (True, f"{where.url} answers and can be listed.")


def test_a_connection_opens_its_datastore(where: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch, "mine", described(where.kind, where.url))
    where.write("a.csv", b"1")
    store = DatastoreHook("mine").get_conn()
    assert store.files() == ["a.csv"]
    assert store.read("a.csv") == b"1"


BAD = {
    "s3": [
        ({"extra": {"url": "s3://no-such-bucket/x"}}, "bucket 'no-such-bucket' does not exist"),
        ({"extra": {"endpoint_url": "http://127.0.0.1:1"}}, "http://127.0.0.1:1 did not answer"),
    ],
    "azure": [
        ({"password": "d3Jvbmc="}, "does not take the credentials of this connection (AuthorizationFailure)"),
        ({"extra": {"url": "abfs://no-such-container/x"}}, "container 'no-such-container' does not exist"),
    ],
    "sftp": [
        ({"login": "nobody-there"}, "does not take the credentials of this connection (PermissionDenied)"),
        ({"extra": {"host_key": None}}, "shows a host key that is not the known one"),
        ({"extra": {"url": "sftp://127.0.0.1:5920/no/such/folder"}}, "there is nothing, while looking at its root"),
        ({"extra": {"url": "sftp://127.0.0.1:5920/root"}}, "forbids looking at its root"),
    ],
}


@pytest.mark.stores
@pytest.mark.parametrize(("kind", "number"), [(kind, n) for kind, cases in BAD.items() for n in range(len(cases))])
def test_a_bad_connection_says_what_is_wrong(
    kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, says = BAD[kind][number]
    with place(kind, tmp_path, monkeypatch) as where:
        extra = {"url": where.url, **changes.get("extra", {})}
        given = {name: value for name, value in changes.items() if name != "extra"}
        set_connection(monkeypatch, "x7f3", connection(kind, conn_type=CONNECTION_TYPE, **given, extra=extra))
        works, message = DatastoreHook("x7f3").test_connection()
    assert not works
    assert says in message
    # Airflow tests under a name of its own making, which its user has never seen.
    assert "x7f3" not in message
    assert message.startswith("The datastore (")


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({}, "This connection has no datastore URL; fill it in, like s3://bucket/folder."),
        ({"url": "hdfs://host/x"}, "hdfs:// is no kind of store that works here"),
        ({"url": "https://u:pa55word@host/x"}, "its datastore URL holds a password"),
        ({"url": "relative/folder"}, "relative folder 'relative/folder'"),
    ],
)
def test_a_connection_that_is_not_filled_in_right(
    extra: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_connection(monkeypatch, "mine", {"conn_type": CONNECTION_TYPE, "extra": extra})
    works, message = DatastoreHook("mine").test_connection()
    assert not works
    assert says in message
    assert "pa55word" not in message
    assert message[0].isupper()


def test_a_folder_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch, "mine", {"conn_type": CONNECTION_TYPE, "extra": {"url": str(tmp_path)}})
    assert DatastoreHook("mine").test_connection() == (True, f"{tmp_path} answers and can be listed.")
    (tmp_path / "file").touch()
    set_connection(monkeypatch, "mine", {"conn_type": CONNECTION_TYPE, "extra": {"url": str(tmp_path / "file")}})
    works, message = DatastoreHook("mine").test_connection()
    assert not works
    assert "Not a directory" in message


def test_a_connection_that_does_not_exist() -> None:
    assert "AIRFLOW_CONN_NOT_THERE" not in os.environ
    works, message = DatastoreHook("not_there").test_connection()
    assert not works
    assert "does not exist" in message
    with pytest.raises(AmlError, match="'not_there'"):
        DatastoreHook("not_there").get_conn()


def test_a_host_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}/files"
    set_connection(monkeypatch, "mine", {"conn_type": CONNECTION_TYPE, "extra": {"url": url}})
    works, message = DatastoreHook("mine").test_connection()
    assert not works
    assert "did not answer" in message
