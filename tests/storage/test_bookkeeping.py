"""What runs keep in a datastore's root is no data; a folder of the same name anywhere else is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aml_provider.execution.data import copy
from aml_provider.storage.gathering import gathered
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


def test_a_copy_has_the_folder_unless_it_is_the_root_of_a_datastore(tmp_path: Path) -> None:
    for path in ("data/.aml/notes", "data/a.csv", "root/.aml/runs/run.json", "root/a.csv", "root/in/.aml/notes"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1")
    copy(tmp_path / "data", tmp_path / "one")
    copy(tmp_path / "root", tmp_path / "two")
    assert (tmp_path / "one/.aml/notes").is_file()
    assert sorted(p.relative_to(tmp_path / "two").as_posix() for p in (tmp_path / "two").rglob("*") if p.is_file()) == [
        "a.csv",
        "in/.aml/notes",
    ]
