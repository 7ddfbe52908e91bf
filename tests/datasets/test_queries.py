"""Datasets that are the answer of a database: in a program, in steps, and for reuse."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aml_provider.sdk.dataset_types import DataType
from aml_provider.sdk.datasets import Dataset
from aml_provider.sdk.datastore import Datastore
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.errors import NotSupportedError
from aml_provider.storage.faults import DatastoreError

AML = Path(sys.executable).with_name("aml")
PIPELINE = """
from azureml.core import Dataset, Datastore, Experiment, Workspace
from azureml.data.sql_data_reference import SqlDataReference
from azureml.data.data_reference import DataReference
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import DataTransferStep, PythonScriptStep

ws = Workspace.from_config()
warehouse = Datastore.get(ws, "warehouse")
sales = Dataset.Tabular.from_sql_query((warehouse, "SELECT * FROM sales ORDER BY id"))
show = PythonScriptStep("show.py", name="show", source_directory="src", compute_target="local",
                        inputs=[sales.filter(sales["price"] > 1).as_named_input("sales")])
move = DataTransferStep("move", SqlDataReference(warehouse, "cheap", sql_query="SELECT id FROM sales"),
                        DataReference(ws.get_default_datastore(), "out", "exports/ids.csv"), "local",
                        destination_reference_type="file")
Experiment(ws, "e").submit(Pipeline(ws, [show, move])).wait_for_completion()
"""
SHOW = """
from azureml.core import Run

frame = Run.get_context().input_datasets["sales"].to_pandas_dataframe()
print("ROWS", frame["id"].tolist(), frame["name"].isna().tolist())
"""


@pytest.fixture
def database(tmp_path: Path) -> sqlite3.Connection:
    """An SQLite database with a table ``sales``."""
    made = sqlite3.connect(tmp_path / "sales.db", isolation_level=None)
    made.execute("CREATE TABLE sales (id INTEGER, name TEXT, price REAL)")
    made.executemany("INSERT INTO sales VALUES (?, ?, ?)", [(1, "a", 1.0), (2, None, 2.5), (3, "", 4.0)])
    return made


@pytest.fixture
def warehouse(database: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The database as a datastore, next to one of files."""
    (tmp_path / "workspace.yaml").write_text(
        "name: lab\nstate: state\ndatastores:\n  warehouse: {url: 'sqlite:///sales.db'}\n  raw: {url: data}\n"
    )
    monkeypatch.chdir(tmp_path)
    return Datastore(Workspace.from_config(), "warehouse")


def test_a_program_reads_the_answer(warehouse: Any) -> None:
    table = Dataset.Tabular.from_sql_query(
        (warehouse, "SELECT id, name, price, 100 % 7 AS rest FROM sales ORDER BY id"),
        set_column_types={"id": DataType.to_string()},
    )
    frame = table.filter(table["price"] > 1).to_pandas_dataframe()
    assert frame["id"].tolist() == ["2", "3"]
    assert frame["rest"].tolist() == [2, 2]
    assert frame["name"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT * FROM nowhere", "there is no such table: no such table: nowhere"),
        ("SELEC 1", 'refuses answering the query: near "SELEC": syntax error'),
        ("DELETE FROM sales", "forbids answering the query"),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n", "took too long"),
    ],
)
def test_a_query_that_cannot_be_answered_is_one_sentence(warehouse: Any, query: str, said: str) -> None:
    with pytest.raises(DatastoreError, match=".*".join(map(_escaped, ["datastore 'warehouse'", said]))):
        Dataset.Tabular.from_sql_query((warehouse, query), query_timeout=1)


def test_a_datastore_of_files_cannot_be_queried(warehouse: Any) -> None:
    with pytest.raises(NotSupportedError, match="'raw'.*holds files and cannot be queried"):
        Dataset.Tabular.from_sql_query((Datastore(warehouse.workspace, "raw"), "SELECT 1"))


@pytest.mark.airflow
def test_steps_read_what_was_planned_and_are_reused_while_the_answer_is_the_same(
    warehouse: Any, database: sqlite3.Connection, tmp_path: Path
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/show.py").write_text(SHOW)
    (tmp_path / "pipeline.py").write_text(PIPELINE)

    def aml(*arguments: str) -> str:
        done = subprocess.run([AML, *arguments], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def verdict() -> str:
        (pipeline,) = json.loads(aml("plan", "pipeline.py", "--json"))
        return str(next(step["verdict"] for step in pipeline["steps"] if step["name"] == "show"))

    aml("run", "pipeline.py")
    logs = "".join(log.read_text() for log in (tmp_path / "state").rglob("std_log.txt"))
    assert "ROWS [2, 3] [True, False]" in logs
    assert (tmp_path / "state/datastores/workspaceblobstore/exports/ids.csv").read_text() == '"id"\n1\n2\n3\n'
    assert verdict() == "reuse"
    database.execute("INSERT INTO sales VALUES (4, 'new', 9)")
    assert verdict() == "run"


TABLES = """
from azureml.core import Datastore, Experiment, Workspace
from azureml.data.data_reference import DataReference
from azureml.data.sql_data_reference import SqlDataReference
from azureml.pipeline.core import Pipeline, StepSequence
from azureml.pipeline.steps import DataTransferStep, PythonScriptStep

ws = Workspace.from_config()
warehouse, raw = Datastore.get(ws, "warehouse"), Datastore.get(ws, "raw")
table = lambda name: SqlDataReference(warehouse, name, sql_table=name)
file = lambda name, path: DataReference(raw, name, path)
moves = [
    DataTransferStep("load", file("new", "new.csv"), table("loaded"), "local"),
    DataTransferStep("copy", table("sales"), table("copied"), "local"),
    DataTransferStep("save", table("sales"), file("saved", "saved.csv"), "local", destination_reference_type="file"),
]
after = PythonScriptStep("after.py", name="after", source_directory="src", compute_target="local")
Experiment(ws, "e").submit(Pipeline(ws, [StepSequence([moves, after])])).wait_for_completion()
"""


@pytest.mark.airflow
def test_tables_are_filled_by_steps(warehouse: Any, database: sqlite3.Connection, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/after.py").write_text("print('AFTER')")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/new.csv").write_text("id,city\n1,Oslo\n2,Bergen\n")
    (tmp_path / "pipeline.py").write_text(TABLES)
    for _ in range(2):
        done = subprocess.run([AML, "run", "pipeline.py"], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert database.execute("SELECT city FROM loaded").fetchall() == [("Oslo",), ("Bergen",)]
        assert database.execute("SELECT count(*) FROM copied").fetchone() == (3,)
        assert (tmp_path / "data/saved.csv").read_text().startswith('"id","name","price"\n1,"a",')
        database.execute("DELETE FROM loaded")
    done = subprocess.run([AML, "plan", "pipeline.py"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("table") >= 3, done.stdout


def _escaped(text: str) -> str:
    import re

    return re.escape(text)
