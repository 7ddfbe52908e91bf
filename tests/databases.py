"""Schemas in the test-bed's PostgreSQL."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from aml_provider.storage.sql import database_for
from aml_provider.storage.transfer import place_for
from aml_provider.workspace.model import DatastoreConfig
from tests.stores import addresses, set_connection

#: The server asks for none; this one is to be seen nowhere.
PASSWORD = "sesame-open-7"
CONNECTION = {"conn_type": "postgres", "login": "postgres", "password": PASSWORD}


class Warehouse:
    """A fresh schema; in statements and queries, ``MYSCHEMA`` stands for its name."""

    def __init__(self) -> None:
        self.schema = f"aml_{uuid.uuid4().hex[:10]}"
        url = addresses()["POSTGRES_URL"].replace("postgres@", "")
        self.config = DatastoreConfig(url=url, conn_id="warehouse")
        self._database = database_for(self.config, "warehouse")

    def run(self, statement: str) -> list[Any]:
        with self._database.connected("testing") as connection:
            statement = statement.replace("MYSCHEMA", self.schema)
            result = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
            rows = [tuple(row) for row in result] if result.returns_rows else []
            connection.commit()
            return rows

    def place(self, table: str = "", query: str | None = None) -> Any:
        path = f"{self.schema}.{table}" if table else ""
        return place_for(self.config, "warehouse", path, query and query.replace("MYSCHEMA", self.schema))

    def tables(self) -> list[str]:
        rows = self.run("SELECT table_name FROM information_schema.tables WHERE table_schema = 'MYSCHEMA' ORDER BY 1")
        return [name for (name,) in rows]


@contextlib.contextmanager
def made_warehouse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    """A fresh schema, and the connection ``warehouse`` to it."""
    set_connection(monkeypatch, "warehouse", CONNECTION)
    made = Warehouse()
    made.run("CREATE SCHEMA MYSCHEMA")
    yield made
    made.run("DROP SCHEMA MYSCHEMA CASCADE")
