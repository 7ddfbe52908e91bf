"""Credentials come from Airflow's connections, wherever Airflow keeps them, and are seen by nobody else."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aml_provider.storage.connections import Credentials, credentials
from aml_provider.storage.faults import DatastoreError, Reason
from tests.stores import Place, place, set_connection

SECRET = "a-secret-of-the-test"


def read(monkeypatch: pytest.MonkeyPatch, value: dict[str, Any] | str) -> Credentials:
    set_connection(monkeypatch, "my_store", value)
    return credentials("my_store", "blobs")


def test_a_connection_in_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(
        monkeypatch,
        {"conn_type": "aws", "login": "id", "password": SECRET, "extra": {"endpoint_url": "http://x", "n": 3}},
    )
    assert (found.conn_type, found.login, found.password) == ("aws", "id", SECRET)
    assert (found.text("endpoint_url"), found.text("n"), found.get("none")) == ("http://x", "3", None)


def test_a_connection_in_the_environment_as_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, "aml-datastore://user:p%40ss%2Fword@host:2222/?endpoint_url=http%3A%2F%2Fx&anonymous=no")
    assert (found.conn_type, found.login, found.password) == ("aml_datastore", "user", "p@ss/word")
    assert (found.host, found.port) == ("host", 2222)
    assert found.text("endpoint_url") == "http://x"
    assert not found.flag("anonymous")


def test_a_connection_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_NOT_THERE", raising=False)
    with pytest.raises(DatastoreError, match="datastore 'blobs' uses the Airflow connection 'not_there'") as caught:
        credentials("not_there", "blobs")
    assert caught.value.reason is Reason.CONNECTION
    assert "AIRFLOW_CONN_NOT_THERE" in str(caught.value)


@pytest.mark.parametrize("text", ["{", "not a url", '{"conn_type": "aws", "port": "x"}', '{"nonsense": 1}'])
def test_a_variable_that_is_no_connection(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(DatastoreError, match="variable AIRFLOW_CONN_MY_STORE is no connection") as caught:
        read(monkeypatch, text)
    assert caught.value.reason is Reason.CONNECTION
    assert "nonsense" not in str(caught.value)


@pytest.mark.parametrize("extra", ["not json", '["a"]', "3"])
def test_an_extra_that_is_no_mapping(monkeypatch: pytest.MonkeyPatch, extra: str) -> None:
    with pytest.raises(DatastoreError, match="'my_store': its extra is no JSON object"):
        read(monkeypatch, {"conn_type": "aws", "extra": extra})


def test_an_address_without_its_scheme_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, {"conn_type": "aws", "extra": {"endpoint_url": "127.0.0.1:9000"}})
    with pytest.raises(DatastoreError, match="'my_store': endpoint_url is '127.0.0.1:9000'; write it with http://"):
        found.address("endpoint_url")


def test_fields_under_the_names_of_older_airflows() -> None:
    found = Credentials("c", "wasb", extra={"extra__wasb__sas_token": "new", "extra__other__tenant_id": "no"})
    assert (found.get("sas_token"), found.get("tenant_id")) == ("new", None)


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (True, True),
        ("true", True),
        ("1", True),
        ("yes", True),
        (False, False),
        ("False", False),
        ("0", False),
        ("no", False),
    ],
)
def test_switches_of_forms_and_uris(value: object, meant: bool) -> None:
    assert Credentials("c", "aws", extra={"anonymous": value}).flag("anonymous") is meant


def test_what_is_secret_is_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(
        monkeypatch,
        {
            "conn_type": "aml_datastore",
            "password": SECRET,
            "extra": {
                "sas_token": f"{SECRET}-1",
                "connection_string": f"{SECRET}-2",
                "keyfile_dict": {"private_key": f"{SECRET}-3", "project_id": "p"},
                "private_key": f"{SECRET}-4",
                "host_key": "public",
                "region_name": "eu",
            },
        },
    )
    assert SECRET not in repr(found) + str(found)
    assert set(found.secrets) == {SECRET, *(f"{SECRET}-{number}" for number in range(1, 5))}


def test_airflow_hides_them_in_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.log import redact

    read(monkeypatch, {"conn_type": "aml_datastore", "extra": {"connection_string": f"{SECRET}-of-the-log"}})
    assert SECRET not in str(redact(f"using {SECRET}-of-the-log now"))


def test_a_plain_program_needs_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from aml_provider.storage.connections import credentials\n"
        "print(credentials('my_store', 'blobs').login)\n"
        "try:\n    credentials('not_there', 'blobs')\n"
        "except OSError as error:\n    print(error)\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    environment |= {
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW_CONN_MY_STORE": json.dumps({"conn_type": "aws", "login": "id"}),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "id"
    assert second.startswith("datastore 'blobs' uses the Airflow connection 'not_there', which does not exist")
    assert not list(tmp_path.rglob("*.db"))


def test_a_secrets_backend(tmp_path: Path) -> None:
    (tmp_path / "connections.json").write_text(json.dumps({"kept": {"conn_type": "aws", "login": "from the file"}}))
    code = "from aml_provider.storage.connections import credentials; print(credentials('kept', 'blobs').login)"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    environment |= {
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(tmp_path / "connections.json")}),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout.splitlines() == ["from the file"], done.stderr


@pytest.mark.stores
@pytest.mark.parametrize("kind", ["s3", "azure", "sftp"])
def test_nothing_that_is_logged_or_raised_holds_a_secret(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with place(kind, tmp_path, monkeypatch) as where, caplog.at_level(logging.DEBUG):
        made: Place = where
        hidden = json.loads(os.environ[f"AIRFLOW_CONN_MY_{kind.upper()}"]).get("password") or "no password"
        made.write("a", b"1")
        (tmp_path / "b").write_text("2")
        made.store.put(tmp_path / "b", "b")
        assert made.store.files() == ["a", "b"]
        with pytest.raises(DatastoreError) as caught:
            made.store.read("none")
    if hidden not in ("testbed", "no password"):
        assert hidden not in caplog.text
        assert hidden not in repr(caught.value) + repr(caught.value.__cause__)
    assert "Authorization: Shared" not in caplog.text


def test_what_airflow_logs_is_not_mixed_with_what_a_program_prints(tmp_path: Path) -> None:
    program = (
        "import logging\n"
        "from aml_provider.storage.connections import credentials\n"
        "credentials('mine', 'blobs')\n"
        "logging.getLogger('some.client').warning('Incomplete download.')\n"
        "print('{}')\n"
    )
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW_CONN_MINE": '{"conn_type": "aws"}'}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "{}\n"
    assert "Incomplete download." in done.stderr
