"""What runs keep in a datastore's root is no data; a folder of the same name anywhere else is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aml_provider.storage.datastores import store_for
from aml_provider.storage.gathering import gathered
from aml_provider.storage.transfer import places
from aml_provider.storage.transfer.engine import transfer
from aml_provider.workspace.model import DatastoreConfig
from tests.stores import KINDS, Place, place


@pytest.fixture(params=KINDS)
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with place(request.param, tmp_path, monkeypatch) as found:
        yield found


def test_a_folder_of_that_name_inside_the_data_counts(where: Place) -> None:
    where.write("in/a.csv", b"1")
    before = where.store.content("in")
    where.write("in/.aml/notes", b"2")
    assert where.store.content("in") != before


def test_what_runs_keep_in_the_root_does_not(where: Place) -> None:
    where.write("a.csv", b"1")
    before = where.store.content("")
    where.write(".aml/runs/r/run.json", b"2")
    assert where.store.content("") == before


def test_a_pattern_from_the_root_does_not_find_it(where: Place) -> None:
    for path in ("a.csv", "in/b.csv", "in/.aml/c.csv", ".aml/runs/r/inputs/a.csv"):
        where.write(path, b"1")
    assert sorted(path for path, _ in gathered(where.store, "**/*.csv")) == ["a.csv", "in/.aml/c.csv", "in/b.csv"]


@pytest.mark.parametrize(("asked", "arrived"), [("", ["a.csv", "in/.aml/c.csv"]), ("in", [".aml/c.csv"])])
def test_a_transfer_takes_what_counts(where: Place, tmp_path: Path, asked: str, arrived: list[str]) -> None:
    for path in ("a.csv", "in/.aml/c.csv", ".aml/runs/r/inputs/a.csv"):
        where.write(path, b"1")
    there = store_for(DatastoreConfig(url=str(tmp_path / "there")), "there")
    transfer(places.Place(where.store, asked), places.Place(there, "got"))
    got = tmp_path / "there/got"
    assert sorted(path.relative_to(got).as_posix() for path in got.rglob("*") if path.is_file()) == arrived
