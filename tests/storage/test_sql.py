"""Databases as datastores: by URL and Airflow connection, and what is wrong with them in one sentence."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aml_provider.hooks.datastore import DatastoreHook
from aml_provider.sdk.datastore import Datastore
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.sql_data_reference import SqlDataReference
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.errors import NotSupportedError
from aml_provider.storage import store_for
from aml_provider.storage.faults import DatastoreError
from aml_provider.storage.sql import database_for
from aml_provider.workspace.model import DatastoreConfig
from tests.stores import addresses, set_connection

PASSWORD = "sesame-open-7"


def postgres() -> str:
    return addresses()["POSTGRES_URL"].replace("postgres@", "")


def connected(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> str:
    fields = {"conn_type": "postgres", "login": "postgres", "password": PASSWORD, **changes}
    set_connection(monkeypatch, "warehouse", fields)
    return "warehouse"


@pytest.mark.stores
def test_what_the_url_leaves_out_the_connection_says(monkeypatch: pytest.MonkeyPatch) -> None:
    connected(monkeypatch, host="127.0.0.1", port=5930, schema="postgres")
    database_for(DatastoreConfig(url="postgresql://", conn_id="warehouse"), "w").check()


@pytest.mark.stores
@pytest.mark.parametrize(
    ("url", "changes", "said"),
    [
        (None, {"login": "nobody"}, "does not take the user and password of Airflow connection 'warehouse'"),
        ("postgresql://127.0.0.1:5930/nowhere", {}, "database 'nowhere' does not exist"),
        ("postgresql://127.0.0.1:1/postgres", {}, "host 127.0.0.1:1 did not answer"),
        (None, {"extra": {"sslmode": "require"}}, "server does not support SSL, but SSL was required; switch it on"),
        ("postgresql://127.0.0.1:5930", {}, "its url names no database"),
        (None, {"conn_type": "aws"}, "has the type 'aws', which does not fit; make it one of postgres"),
    ],
)
def test_what_is_wrong_is_one_sentence_without_the_password(
    monkeypatch: pytest.MonkeyPatch, url: str | None, changes: dict[str, Any], said: str
) -> None:
    connected(monkeypatch, **changes)
    with pytest.raises(DatastoreError) as raised:
        database_for(DatastoreConfig(url=url or postgres(), conn_id="warehouse"), "w").check()
    assert said in str(raised.value)
    assert "datastore 'w'" in str(raised.value)
    assert PASSWORD not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_connection_that_is_not_there_is_said() -> None:
    with pytest.raises(DatastoreError, match="Airflow connection 'absent', which does not exist; create it"):
        database_for(DatastoreConfig(url="mysql://host/db", conn_id="absent"), "w").check()


@pytest.mark.parametrize(("url", "extra"), [("mssql://h/db", "mssql"), ("postgres://h/db", "postgres")])
def test_a_driver_that_is_missing_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, url: str, extra: str
) -> None:
    real = importlib.util.find_spec
    absent = ("pymssql", "psycopg")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in absent else real(name, *more))
    with pytest.raises(DatastoreError, match=rf"run: pip install 'airflow-provider-aml\[{extra}\]'"):
        database_for(DatastoreConfig(url=url), "w").check()


def test_mysql_is_addressed_with_what_both_say(monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(
        monkeypatch, "shop", {"conn_type": "mysql", "host": "other", "login": "a@b", "password": "p:/?", "port": 33}
    )
    database = database_for(DatastoreConfig(url="mysql://db.example/sh%20op?charset=utf8mb4", conn_id="shop"), "w")
    url = database._opened().url
    assert (url.drivername, url.username, url.password, url.host, url.port, url.database) == (
        "mysql+pymysql", "a@b", "p:/?", "db.example", 33, "sh op",
    )  # fmt: skip
    assert url.query == {"charset": "utf8mb4"}
    assert "p:/?" not in repr(database._opened())


def test_an_sqlite_file_is_beside_the_workspace_file_and_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "workspace.yaml").write_text("datastores: {w: {url: 'sqlite:///a b.db'}}\n")
    monkeypatch.chdir(tmp_path)
    config = Workspace.from_config().loaded.datastore("w")
    assert config.url == f"sqlite:///{tmp_path}/a b.db"
    with pytest.raises(DatastoreError, match="a b.db' does not exist or is none"):
        database_for(config, "w").check()
    assert not (tmp_path / "a b.db").exists()
    (tmp_path / "a b.db").touch()
    database_for(config, "w").check()


def test_files_are_not_looked_for_in_a_database() -> None:
    with pytest.raises(NotSupportedError, match="is a database, which has tables and no files"):
        store_for(DatastoreConfig(url="postgresql://h/db"), "w")


@pytest.mark.stores
def test_the_test_button_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"conn_type": "aml_datastore", "login": "postgres", "password": PASSWORD}
    set_connection(monkeypatch, "w", {**fields, "extra": {"url": postgres()}})
    assert DatastoreHook("w").test_connection() == (True, f"{postgres()} answers.")
    set_connection(monkeypatch, "w", {**fields, "login": "nobody", "extra": {"url": postgres()}})
    fine, said = DatastoreHook("w").test_connection()
    assert not fine
    assert "does not take the user and password of" in said


def test_registering_keeps_the_password_in_a_connection_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "workspace.yaml").write_text("name: lab\nstate: state\n")
    monkeypatch.chdir(tmp_path)
    ws = Workspace.from_config()
    made = Datastore.register_azure_postgre_sql(ws, "w", "127.0.0.1", "postgres", "postgres", PASSWORD, 5930)
    assert (type(made).__name__, made.user_id, made.user_password, made.port_number, made.enforce_ssl) == (
        "AzurePostgreSqlDatastore", "postgres", None, 5930, True,
    )  # fmt: skip
    config = Workspace.from_config().loaded.datastore("w")
    assert config.url == "postgresql://127.0.0.1:5930/postgres"
    kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file() and PASSWORD in path.read_text()]
    assert [path.name for path in kept] == ["connections.json"]
    assert json.loads(json.loads(kept[0].read_text())["aml_lab_w"]["extra"]) == {"sslmode": "require"}
    mine = Datastore.register_azure_my_sql(ws, "m", "shop", "orders", "u", PASSWORD)
    assert mine.server_name == "shop.mysql.database.azure.com"
    theirs = Datastore.register_azure_sql_database(ws, "s", "shop", "orders", username="u", password=PASSWORD)
    assert theirs.server_name == "shop.database.windows.net"
    with pytest.raises(NotSupportedError, match="service principal cannot sign in"):
        Datastore.register_azure_sql_database(ws, "t", "shop", "orders", "tenant", "client", "secret")
    with pytest.raises(UserErrorException, match="another datastore named 'w'"):
        Datastore.register_azure_postgre_sql(ws, "w", "127.0.0.1", "other", "postgres", PASSWORD, 5930)


@pytest.mark.stores
def test_a_registered_database_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "workspace.yaml").write_text("name: lab\nstate: state\n")
    monkeypatch.chdir(tmp_path)
    Datastore.register_azure_postgre_sql(
        Workspace.from_config(), "w", "127.0.0.1", "postgres", "postgres", PASSWORD, 5930, enforce_ssl=False
    )
    database_for(Workspace.from_config().loaded.datastore("w"), "w").check()


def test_a_stored_procedure_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "workspace.yaml").write_text("datastores: {w: {url: 'mssql://h/db'}}\n")
    monkeypatch.chdir(tmp_path)
    store = Datastore(Workspace.from_config(), "w")
    with pytest.raises(NotSupportedError, match="stored procedure 'refresh' cannot be called by a transfer"):
        SqlDataReference(store, sql_stored_procedure="refresh")


def test_declaring_a_database_imports_no_library_of_databases() -> None:
    code = (
        "import sys, aml_provider.sdk.datastore, aml_provider.storage.datastores as d\n"
        "from aml_provider.storage.sql import database_for\n"
        "from aml_provider.workspace.model import DatastoreConfig\n"
        "database_for(DatastoreConfig(url='postgresql://h/db'), 'w')\n"
        "print({'sqlalchemy', 'psycopg', 'pyarrow', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
