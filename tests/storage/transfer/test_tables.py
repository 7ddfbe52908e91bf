"""Tables between databases and files: no value changes, nothing is half there, and what cannot be kept is said."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aml_provider.storage.faults import DatastoreError
from aml_provider.storage.transfer import Options, Overwrite, Place, TransferError, place_for, transfer
from aml_provider.workspace.model import DatastoreConfig
from tests.databases import PASSWORD, Warehouse, made_warehouse
from tests.stores import EVERYTHING

EVERY_KIND = """
    SELECT i::bigint AS id, (-i)::int AS n, i::smallint AS s, 'näme ' || i AS name, (i / 3.0)::float8 AS x,
           (i / 7.0)::numeric(12, 4) AS price, ('12345678901234567890.' || lpad(i::text, 3, '0'))::numeric AS loose,
           timestamptz '2024-03-31 01:30+02' + i * interval '1 hour' AS at, timestamp '1999-12-31 23:59:59.123456' AS t,
           date '2020-02-29' + i AS d, time '23:59:59.5' AS c, i % 3 = 0 AS flag, decode('00ff5c78', 'hex') AS b,
           CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'a"b,\\n\\\\N' ELSE 'NULL' END AS words,
           jsonb_build_object('a', i, 'b', 1.10) AS j, gen_random_uuid() AS u, ARRAY[i, NULL] AS l,
           NULL::int AS nothing
    FROM generate_series(1, 500) AS i
"""


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    with made_warehouse(monkeypatch) as made:
        yield made


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def here(files: Path, path: str) -> Any:
    return place_for(DatastoreConfig(url=str(files)), "files", path)


def sqlite(path: Path, table: str = "", query: str | None = None, *statements: str) -> Any:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as made:
        for statement in statements:
            made.execute(statement)
    return place_for(DatastoreConfig(url=f"sqlite:///{path}"), "lite", table, query)


def quiet(line: str) -> None:
    pass


def move(source: Any, destination: Any, overwrite: str = "different") -> Any:
    return transfer(source, destination, Options(overwrite=Overwrite(overwrite)), say=quiet)


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.stores
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_every_kind_of_value_goes_to_a_file_and_comes_back_as_it_was(
    warehouse: Warehouse, files: Path, form: str
) -> None:
    warehouse.run(f"CREATE TABLE MYSCHEMA.a AS {EVERY_KIND}")
    warehouse.run("CREATE TABLE MYSCHEMA.b (LIKE MYSCHEMA.a)")
    out = move(warehouse.place("a"), here(files, f"deep/a.{form}"))
    assert (out.rows, out.files, out.bytes) == (500, 1, (files / f"deep/a.{form}").stat().st_size)
    back = move(here(files, f"deep/a.{form}"), warehouse.place("b"), "append")
    assert back.rows == 500
    assert warehouse.run("SELECT whole::text FROM MYSCHEMA.a AS whole ORDER BY id") == warehouse.run(
        "SELECT whole::text FROM MYSCHEMA.b AS whole ORDER BY id"
    )


@pytest.mark.stores
def test_a_new_table_has_types_that_keep_the_values(warehouse: Warehouse, files: Path) -> None:
    (files / "a.csv").write_text(
        "zip,big,exact,float,day,at,local,yes,text,none\n"
        '007,9223372036854775808,0.1234567890123456789,0.5,2024-02-29,2024-01-01T00:00:00Z,2024-01-01 10:00,true,"",\n'
        "1,-1,1,1e-7,0001-01-01,2024-01-01 00:00:00+05:30,1999-12-31 23:59:59.5,false,,\n"
    )
    assert move(here(files, "a.csv"), warehouse.place("t")).rows == 2
    types = warehouse.run(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'MYSCHEMA' ORDER BY "
        "ordinal_position"
    )
    assert dict(types) == {
        "zip": "text", "big": "numeric", "exact": "numeric", "float": "double precision", "day": "date",
        "at": "timestamp with time zone", "local": "timestamp without time zone", "yes": "boolean", "text": "text",
        "none": "text",
    }  # fmt: skip
    kept = warehouse.run("SELECT zip, big::text, exact::text, text, text IS NULL FROM MYSCHEMA.t ORDER BY zip")
    assert kept == [
        ("007", "9223372036854775808", "0.1234567890123456789", "", False),
        ("1", "-1", "1.0000000000000000000", None, True),
    ]


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("integer", "99999999999", "99999999999"),
        ("numeric(5,2)", "1.005", "would cause data loss"),
        ("timestamp", "2024-01-01 00:00:00Z", "expected no zone offset"),
        ("timestamptz", "2024-01-01 00:00:00", "expected a zone offset"),
        ("date", "2024-01-01 10:00:00", "2024-01-01 10:00:00"),
        ("bytea", "plain", "written as"),
        ("jsonb", "{no", "invalid input syntax for type json"),
        ("varchar(3)", "longer", "value too long for type character varying(3)"),
    ],
)
@pytest.mark.stores
def test_a_value_that_would_become_another_is_refused_and_the_table_stays(
    warehouse: Warehouse, files: Path, column: str, values: str, said: str
) -> None:
    warehouse.run(f"CREATE TABLE MYSCHEMA.t (id integer, v {column})")
    warehouse.run("INSERT INTO MYSCHEMA.t VALUES (1, NULL)")
    (files / "a.csv").write_text(f'id,v\n2,\n3,"{values}"\n')
    for overwrite in ("append", "replace"):
        with pytest.raises((TransferError, DatastoreError)) as raised:
            move(here(files, "a.csv"), warehouse.place("t"), overwrite)
        assert said in str(raised.value)
        assert warehouse.run("SELECT * FROM MYSCHEMA.t") == [(1, None)]
        assert warehouse.tables() == ["t"]


def test_what_no_file_can_keep_is_refused_in_words(tmp_path: Path, files: Path) -> None:
    for values, said in (
        ("(1), ('a')", "column 'v': it has texts and whole numbers"),
        ("(1.5), (9007199254740993)", "column 'v': Integer value 9007199254740993 is outside of the range"),
        ("('a'), (x'00')", "column 'v': it has bytes and texts"),
    ):
        source = sqlite(tmp_path / "m.db", "", f"SELECT * FROM (WITH t(v) AS (VALUES {values}) SELECT v FROM t)")
        with pytest.raises(TransferError, match=said.replace("(", "\\(")):
            move(source, here(files, "a.parquet"))
    with pytest.raises(TransferError, match="more than one column called 'a'"):
        move(sqlite(tmp_path / "m.db", "", "SELECT 1 AS a, 2 AS a"), here(files, "a.csv"))
    assert list(files.iterdir()) == []


def test_an_sqlite_table_goes_to_parquet_and_back(tmp_path: Path, files: Path) -> None:
    source = sqlite(
        tmp_path / "s.db", "t", None,
        'CREATE TABLE t (id INTEGER PRIMARY KEY, "odd ""name%" TEXT, x REAL, b BLOB)',
        "CREATE INDEX t_x ON t (x)",
        "INSERT INTO t VALUES (1, '', 0.1, x'00ff'), (9223372036854775807, NULL, NULL, NULL)",
    )  # fmt: skip
    assert move(source, here(files, "t.parquet")).rows == 2
    assert pq.read_table(files / "t.parquet")["id"].to_pylist() == [1, 2**63 - 1]
    assert move(here(files, "t.parquet"), source).rows == 2
    with contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as made:
        assert made.execute("SELECT * FROM t ORDER BY id").fetchall() == [
            (1, "", 0.1, b"\x00\xff"),
            (2**63 - 1, None, None, None),
        ]
        assert sorted(made.execute("SELECT name FROM sqlite_master")) == [("t",), ("t_x",)]


def test_points_in_time_and_decimals_of_parquet_are_kept_where_a_database_has_no_such_type(
    tmp_path: Path, files: Path
) -> None:
    import datetime
    import decimal

    at = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.timezone.utc)
    table = pa.table({"at": [at, None], "d": [decimal.Decimal("0.12345678901234567890"), None]})
    pq.write_table(table, files / "a.parquet")
    move(here(files, "a.parquet"), sqlite(tmp_path / "s.db", "t", None, "VACUUM"))
    with contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as made:
        assert made.execute("SELECT * FROM t").fetchall() == [
            ("2024-01-01 12:00:00.000000Z", "0.12345678901234567890"),
            (None, None),
        ]
    nested = pa.table({"l": [[1, 2]]})
    pq.write_table(nested, files / "n.parquet")
    with pytest.raises(TransferError, match="column 'l': it has the type list"):
        move(here(files, "n.parquet"), sqlite(tmp_path / "s.db", "n"))


# --- what is there already ----------------------------------------------------------------------------------------


@pytest.mark.stores
def test_what_happens_to_a_table_that_is_there(warehouse: Warehouse, files: Path) -> None:
    warehouse.run("CREATE TABLE MYSCHEMA.t (id serial PRIMARY KEY, v varchar(9) NOT NULL)")
    warehouse.run("INSERT INTO MYSCHEMA.t (v) VALUES ('old')")
    (files / "a.csv").write_text("id,v\n7,new\n")
    (files / "v.csv").write_text("v\nmore\n")
    with pytest.raises(TransferError, match=r"has a table '.*\.t' already, and overwrite is 'fail'"):
        move(here(files, "a.csv"), warehouse.place("t"), "fail")
    assert move(here(files, "a.csv"), warehouse.place("t"), "skip").skipped == 1
    assert move(here(files, "v.csv"), warehouse.place("t"), "append").rows == 1
    assert warehouse.run("SELECT * FROM MYSCHEMA.t ORDER BY id") == [(1, "old"), (2, "more")]
    assert move(here(files, "a.csv"), warehouse.place("t"), "replace").rows == 1
    warehouse.run("INSERT INTO MYSCHEMA.t (v) VALUES ('later')")
    assert warehouse.run("SELECT * FROM MYSCHEMA.t ORDER BY id") == [(3, "later"), (7, "new")]
    with pytest.raises(DatastoreError, match="duplicate key value violates unique constraint"):
        move(here(files, "a.csv"), warehouse.place("t"), "append")
    with pytest.raises(TransferError, match="can be appended to a table only"):
        move(warehouse.place("t"), here(files, "a.csv"), "append")
    assert warehouse.tables() == ["t"]


@pytest.mark.stores
def test_a_table_that_others_show_is_not_taken_away_from_them(warehouse: Warehouse, files: Path) -> None:
    warehouse.run("CREATE TABLE MYSCHEMA.t (v integer)")
    warehouse.run("CREATE VIEW MYSCHEMA.shown AS SELECT * FROM MYSCHEMA.t")
    (files / "a.csv").write_text("v\n1\n")
    with pytest.raises(DatastoreError, match="cannot drop table .* because other objects depend on it"):
        move(here(files, "a.csv"), warehouse.place("t"))
    with pytest.raises(TransferError, match="is a view, not a table"):
        move(here(files, "a.csv"), warehouse.place("shown"))
    assert warehouse.tables() == ["shown", "t"]


@pytest.mark.stores
def test_a_table_with_partitions_keeps_them(warehouse: Warehouse, files: Path) -> None:
    warehouse.run("CREATE TABLE MYSCHEMA.t (v integer) PARTITION BY RANGE (v)")
    warehouse.run("CREATE TABLE MYSCHEMA.low PARTITION OF MYSCHEMA.t FOR VALUES FROM (0) TO (9)")
    (files / "a.csv").write_text("v\n1\n")
    for overwrite in ("different", "always"):
        with pytest.raises(TransferError, match=r"'.*\.t' has partitions.*overwrite 'append'"):
            move(here(files, "a.csv"), warehouse.place("t"), overwrite)
    assert move(here(files, "a.csv"), warehouse.place("t"), "append").rows == 1
    assert warehouse.run("SELECT v FROM MYSCHEMA.low") == [(1,)]


@pytest.mark.stores
@pytest.mark.parametrize("value", ["'NaN'::numeric(9, 2)", "'infinity'::date", "'-infinity'::timestamptz"])
def test_a_value_that_no_file_can_keep_is_told_with_its_column(warehouse: Warehouse, files: Path, value: str) -> None:
    asked = warehouse.place(query=f"SELECT 1 AS id, {value} AS odd")
    with pytest.raises(TransferError, match="column 'odd': no file can keep one of its values: .*(NaN|infinity)"):
        move(asked, here(files, "odd.parquet"))
    assert list(files.iterdir()) == []


def test_many_files_make_one_table_and_an_identical_file_is_not_written_again(tmp_path: Path, files: Path) -> None:
    (files / "in").mkdir()
    for number in range(3):
        (files / f"in/{number}.csv").write_text(f"v\n{number}\n\n")
    target = sqlite(tmp_path / "s.db", "t", None, "VACUUM")
    summary = move(here(files, "in/"), target)
    assert (summary.rows, summary.files) == (6, 3)
    assert move(target, here(files, "out.parquet")).files == 1
    assert move(target, here(files, "out.parquet")).skipped == 1


@pytest.mark.stores
def test_a_query_goes_to_a_bucket_and_from_there_into_a_table(warehouse: Warehouse, make: Any) -> None:
    bucket = make("s3")
    query = "SELECT i AS id, '100%' AS share FROM generate_series(1, 1000) AS i -- all;"
    assert move(warehouse.place(query=query), Place(bucket.store, "q/a.parquet")).rows == 1000
    assert move(Place(bucket.store, "q/a.parquet"), warehouse.place("t")).rows == 1000
    assert warehouse.run("SELECT sum(id), min(share) FROM MYSCHEMA.t") == [(500500, "100%")]


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.stores
def test_wrong_input_is_one_sentence_without_the_password(warehouse: Warehouse, files: Path) -> None:
    (files / "a.txt").write_text("x")
    (files / "a.csv").write_text("a,b\n1,2\n3\n")
    (files / "a.parquet").write_text("no")
    (files / "b.csv").write_text("a\n1\n")
    (files / "some").mkdir()
    for name in ("1.csv", "2.csv", "notes", "read.me"):
        (files / "some" / name).write_text("a\n1\n")
    (files / "long.csv").write_text(f"{'ö' * 32}\n1\n")
    said = {
        f"the name of table '{'t' * 64}' has 64 bytes": (here(files, "b.csv"), warehouse.place("t" * 64)),
        f"the name of column '{'ö' * 32}' has 64 bytes": (here(files, "long.csv"), warehouse.place("new")),
        "there is no table 'MYSCHEMA.nowhere'": (warehouse.place("nowhere"), here(files, "x.csv")),
        "syntax error at or near": (warehouse.place(query="SELEC 1"), here(files, "x.csv")),
        "give a file that ends in .csv or .parquet": (warehouse.place(query="SELECT 1"), here(files, "x")),
        "make a table; there is 'a.txt'.": (here(files, "a.txt"), warehouse.place("t")),
        "make a table; there are 'notes', 'read.me'.": (here(files, "some"), warehouse.place("t")),
        "MYSCHEMA.' is no table of datastore": (
            here(files, "b.csv"),
            place_for(warehouse.config, "warehouse", f"{warehouse.schema}."),
        ),
        "the source and the destination are one table": (warehouse.place("t"), warehouse.place("t")),
        "Expected 2 columns, got 1": (here(files, "a.csv"), warehouse.place("t")),
        "is no Parquet file that can be read": (here(files, "a.parquet"), warehouse.place("t")),
        "is a query; give a table": (here(files, "a.csv"), warehouse.place(query="SELECT 1")),
        "cannot execute DELETE in a read-only transaction": (
            warehouse.place(query="WITH d AS (DELETE FROM MYSCHEMA.t RETURNING 1) SELECT 1"),
            here(files, "x.csv"),
        ),
    }
    warehouse.run("CREATE TABLE MYSCHEMA.t (a text)")
    for sentence, (source, destination) in said.items():
        with pytest.raises((TransferError, DatastoreError)) as raised:
            move(source, destination)
        text = str(raised.value)
        assert "\n" not in text
        assert PASSWORD not in text
        if "DELETE" not in sentence:
            assert sentence.replace("MYSCHEMA", warehouse.schema) in text
    assert not (files / "x.csv").exists()
    with pytest.raises(TransferError, match=r"table '.*\.t' and a query are given"):
        warehouse.place("t", "SELECT 1")
    with pytest.raises(TransferError, match="name one table of it, like warehouse:schema.table, or give a query"):
        warehouse.place()


# Several blocks of these are read.
LONG = "x" * 999 + "\n"
SLOW = """
import sys
from aml_provider.storage.transfer import place_for, transfer, tables_writing
from aml_provider.workspace.model import DatastoreConfig

fitting = tables_writing._fitting

def slow(batch, wanted):
    print("moving", flush=True)
    sys.stdin.readline()
    return fitting(batch, wanted)

tables_writing._fitting = slow
url, table, folder = sys.argv[1:]
warehouse = DatastoreConfig(url=url, conn_id="warehouse")
files = DatastoreConfig(url=folder)
transfer(place_for(files, "files", "a.csv"), place_for(warehouse, "warehouse", table), say=lambda line: None)
"""


@pytest.mark.stores
def test_a_killed_transfer_leaves_the_old_table_and_the_next_one_completes(warehouse: Warehouse, files: Path) -> None:
    warehouse.run("CREATE TABLE MYSCHEMA.t AS SELECT 'old' AS v")
    (files / "a.csv").write_text("v\n" + LONG * 2_000)
    command = [sys.executable, "-c", SLOW, warehouse.config.url, f"{warehouse.schema}.t", str(files)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == "moving\n"
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "moving\n"
        os.kill(child.pid, signal.SIGKILL)
    assert warehouse.run("SELECT * FROM MYSCHEMA.t") == [("old",)]
    assert move(here(files, "a.csv"), warehouse.place("t")).rows == 2_000
    assert warehouse.run("SELECT count(*), count(DISTINCT v) FROM MYSCHEMA.t") == [(2_000, 1)]
    assert warehouse.tables() == ["t"]


@pytest.mark.stores
def test_a_server_that_goes_away_in_the_middle_is_said_and_the_old_table_stays(
    warehouse: Warehouse, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aml_provider.storage.transfer import tables_writing

    warehouse.run("CREATE TABLE MYSCHEMA.t AS SELECT 'old' AS v")
    (files / "a.csv").write_text("v\n" + LONG * 2_000)
    fitting = tables_writing._fitting

    def cut(batch: Any, wanted: Any) -> Any:
        warehouse.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%MYSCHEMA%' "
            "AND pid <> pg_backend_pid()"
        )
        return fitting(batch, wanted)

    monkeypatch.setattr(tables_writing, "_fitting", cut)
    with pytest.raises(DatastoreError, match="host 127.0.0.1:5930 did not answer, or broke off") as raised:
        move(here(files, "a.csv"), warehouse.place("t"))
    assert raised.value.transient
    assert warehouse.run("SELECT * FROM MYSCHEMA.t") == [("old",)]
    assert warehouse.tables() == ["t"]


# --- much ---------------------------------------------------------------------------------------------------------

MEASURED = """
import sys
from aml_provider.storage.transfer import place_for, transfer
from aml_provider.workspace.model import DatastoreConfig

url, folder, source, destination = sys.argv[1:]

def place(text):
    name, _, path = text.partition(":")
    config = DatastoreConfig(url=url, conn_id="warehouse") if name == "warehouse" else DatastoreConfig(url=folder)
    return place_for(config, name, path)

summary = transfer(place(source), place(destination), say=lambda line: None)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(summary.rows, int(peak.split()[1]) // 1024, summary.seconds)
"""


@pytest.mark.stores
@pytest.mark.skipif(not EVERYTHING, reason="a million rows take a minute: set AML_TRANSFERS=all")
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_million_rows_in_bounded_memory(warehouse: Warehouse, files: Path, form: str) -> None:
    warehouse.run(
        "CREATE TABLE MYSCHEMA.a AS SELECT i AS id, 'name ' || i AS name, random() AS x, "
        "(i / 7.0)::numeric(12, 4) AS p, now() + i * interval '1 s' AS at, i % 3 = 0 AS flag, "
        "repeat('text ', i % 20) AS t, md5(i::text) AS m "
        "FROM generate_series(1, 1000000) AS i"
    )
    for source, destination in (
        ("warehouse:MYSCHEMA.a", f"files:a.{form}"),
        (f"files:a.{form}", "warehouse:MYSCHEMA.b"),
    ):
        places = [text.replace("MYSCHEMA", warehouse.schema) for text in (source, destination)]
        command = [sys.executable, "-c", MEASURED, warehouse.config.url, str(files), *places]
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        rows, peak, seconds = done.stdout.split()
        print(f"{source} -> {destination}: {rows} rows, {peak} MiB, {seconds} s, {time.monotonic() - started:.1f} s")
        assert rows == "1000000"
        assert int(peak) < 300
    columns = "id, name, x, p, at, flag, t, m"
    differ = f"SELECT count(*) FROM (SELECT * FROM MYSCHEMA.a EXCEPT ALL SELECT {columns} FROM MYSCHEMA.b) AS d"
    assert warehouse.run(differ) == [(0,)]
