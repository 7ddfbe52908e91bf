"""A datastore's connection is kept in a real Airflow, and a task on a worker reads data with it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml_provider.storage.connections import CONNECTION_TYPE
from tests.stores import Place, connection, place

from .machine import eventually
from .server import Server

pytestmark = [pytest.mark.airflow, pytest.mark.stores]

DAG = """
from airflow.sdk import dag, task


@dag(dag_id="reads_a_store", schedule=None)
def reads_a_store():
    @task
    def look(dag_run=None):
        from aml_provider.hooks.datastore import DatastoreHook

        return DatastoreHook(dag_run.conf["conn_id"]).get_conn().files()

    look()


reads_a_store()
"""


@pytest.fixture(params=["s3", "azure", "sftp"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with place(request.param, tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture(scope="module")
def reader(server: Server) -> Server:
    """The server, with a hand-written DAG that looks into a datastore."""
    (server.dags / "reads_a_store.py").write_text(DAG)
    eventually(
        "Airflow knows the DAG",
        lambda: "reads_a_store" in {d["dag_id"] for d in server.api.get("dags", limit=100)["dags"]},
        seconds=120,
    )
    return server


def test_a_worker_reads_with_a_connection_of_airflows_database(reader: Server, where: Place) -> None:
    where.write("in/a.csv", b"1")
    conn_id = f"kept_{where.kind}_{time.monotonic_ns()}"
    sent = connection(where.kind, conn_type=CONNECTION_TYPE, extra={"url": where.url})
    reader.api.post("connections", {"connection_id": conn_id, **sent, "extra": json.dumps(sent["extra"])})
    seen = reader.api.get(f"connections/{conn_id}")
    assert seen["conn_type"] == CONNECTION_TYPE
    assert seen["password"] in (None, "***")

    run = reader.trigger("reads_a_store", conn_id=conn_id)
    assert run.wait() == "success", run.log("look")
    assert run.xcom("look") == ["in/a.csv"]
    if where.kind == "azure":  # the other stores of the test-bed have a key that is no secret word, or a file
        assert sent["password"] not in run.log("look")
