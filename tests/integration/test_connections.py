"""The test button of a connection in Airflow's UI, as the UI presses it: through the REST API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aml_provider.storage.connections import CONNECTION_TYPE
from tests.stores import S3_BUCKET, addresses, client, connection

from .server import Server

pytestmark = [pytest.mark.airflow, pytest.mark.stores]
WRONG = "d3JvbmcgYnV0IGJhc2U2NA=="


def described(kind: str) -> dict[str, Any]:
    """A connection of the type ``aml_datastore`` as its form sends it."""
    if kind == "sql":
        return {
            "conn_type": CONNECTION_TYPE,
            "login": "postgres",
            "extra": {"url": "postgresql://127.0.0.1:5930/postgres"},
        }
    url = {
        "s3": f"s3://{S3_BUCKET}/x",
        "azure": f"abfs://{S3_BUCKET}/x",
        "sftp": f"sftp://127.0.0.1:5920{addresses()['SFTP_DIR']}",
    }[kind]
    if kind in ("s3", "azure"):
        client(kind).bucket(S3_BUCKET)
    return connection(kind, conn_type=CONNECTION_TYPE, extra={"url": url})


def pressed(server: Server, values: dict[str, Any]) -> tuple[bool, str]:
    """What the button shows."""
    body = {**values, "connection_id": "tested", "extra": json.dumps(values["extra"])}
    found = server.api.post("connections/test", body)
    return found["status"], found["message"]


@pytest.mark.parametrize("kind", ["s3", "azure", "sftp", "sql"])
def test_a_good_connection(server: Server, kind: str) -> None:
    values = described(kind)
    works, message = pressed(server, values)
    assert (works, message) == (
        True,
        f"{values['extra']['url']} answers{'' if kind == 'sql' else ' and can be listed'}.",
    )


@pytest.mark.parametrize(
    ("kind", "changes", "says"),
    [
        ("s3", {"extra": {"endpoint_url": "http://127.0.0.1:1"}}, "http://127.0.0.1:1 did not answer"),
        ("azure", {"password": WRONG}, "does not take the credentials of this connection"),
        ("sftp", {"login": "nobody-there"}, "does not take the credentials of this connection"),
        ("sql", {"login": "nobody_there"}, "does not take the user and password of this connection"),
        ("sql", {"extra": {"url": "postgresql://127.0.0.1:5930/none"}}, "database 'none' does not exist"),
        ("s3", {"extra": {"url": None}}, "has no datastore URL; fill it in"),
        ("s3", {"extra": {"url": "ftp://host/x"}}, "ftp:// is no kind of store that works here"),
    ],
)
def test_a_bad_connection(server: Server, kind: str, changes: dict[str, Any], says: str) -> None:
    values = described(kind)
    extra = {**values["extra"], **changes.get("extra", {})}
    works, message = pressed(server, {**values, **changes, "extra": extra})
    assert not works
    assert says in message
    assert WRONG not in message
    assert "Traceback" not in message
