"""From every kind of store to every other, with names that a careless program trips over."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests import stores
from tests.storage.transfer.conftest import Make, Move
from tests.storage.transfer.trees import age, content, odd_tree, write

NAMES = ("local", "s3", "azure", "gcs", "sftp")
ALL_PAIRS = list(itertools.product(NAMES, NAMES))
IN_A_RING = list(zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True))
BIG = (5 << 20) + 12_345

pytestmark = [pytest.mark.stores, pytest.mark.usefixtures("small_parts")]


def filled(make: Make, move: Move, kind: str, files: dict[str, bytes], tmp_path: Path) -> stores.Place:
    """A root of this kind with these files below ``data``."""
    made = make(kind)
    if made.inside is not None:
        for path, data in files.items():
            made.write(f"data/{path}", data)
        return made
    write(tmp_path / "upload", files)
    here = stores.Place("local", str(tmp_path / "upload"), None, tmp_path / "upload")
    move(here, "", made, "data")
    return made


@pytest.mark.parametrize(
    ("start", "end"),
    stores.some(list(itertools.product(NAMES, NAMES)), list(zip(NAMES, [*NAMES[1:], NAMES[0]], strict=True))),
)
def test_a_tree_arrives_as_it_was_and_is_not_moved_twice(
    start: str, end: str, make: Make, move: Move, tmp_path: Path
) -> None:
    files = odd_tree(BIG)
    source, destination = filled(make, move, start, files, tmp_path), make(end)

    summary = move(source, "data", destination, "to/here")

    assert {name: destination.read(f"to/here/{name}") for name in files} == files
    assert sorted(destination.names()) == sorted(f"to/here/{name}" for name in files)
    assert (summary.files, summary.bytes) == (len(files), sum(map(len, files.values())))
    assert summary.skipped == 0

    if start == "sftp":
        # Of files that are only seconds old the host's times do not tell whether they are the same.
        assert source.inside is not None
        age(source.inside)
        move(source, "data", destination, "to/here")
    again = move(source, "data", destination, "to/here")

    assert (again.files, again.skipped) == (0, len(files))


@pytest.mark.parametrize("end", NAMES)
def test_one_changed_file_is_the_only_one_that_is_moved_again(end: str, make: Make, move: Move) -> None:
    source, destination = make("local"), make(end)
    for number in range(5):
        source.write(f"{number}", content(number, 1000))
    move(source, "", destination, "x")

    # As long as the old one, and written within the same second.
    source.write("3", content(33, 1000))
    summary = move(source, "", destination, "x")

    assert (summary.files, summary.skipped) == (1, 4)
    assert destination.read("x/3") == content(33, 1000)


@pytest.mark.parametrize("end", NAMES[1:])
def test_what_somebody_has_changed_at_the_destination_is_put_right(end: str, make: Make, move: Move) -> None:
    source, destination = make("local"), make(end)
    source.write("a", content(1, 5000))
    source.write("b", content(2, 5000))
    move(source, "", destination, "x")

    destination.write("x/a", content(3, 6000))
    destination.write("x/b", content(4, 5000))
    if destination.inside is not None:
        age(destination.inside)
    summary = move(source, "", destination, "x")

    assert summary.files == 2
    assert destination.read("x/a") == content(1, 5000)
    assert destination.read("x/b") == content(2, 5000)


@pytest.mark.parametrize("kind", ["s3", "azure", "sftp"])
def test_within_one_store_nothing_passes_this_machine(
    kind: str, make: Make, move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = {"s3": 5900, "azure": 5910, "sftp": 5920}
    with stores.wire(ports[kind]) as wire:
        root = make(kind)
        changes: dict[str, object] = {
            "s3": {"extra": {"endpoint_url": f"http://127.0.0.1:{wire.port}"}},
            "azure": {"extra": {"endpoint_url": f"http://127.0.0.1:{wire.port}/devstoreaccount1"}},
            "sftp": {"port": wire.port},
        }[kind]  # type: ignore[assignment]
        stores.set_connection(monkeypatch, f"my_{kind}", stores.connection(kind, **changes))
        if kind == "sftp":
            root.url = root.url.replace(":5920", f":{wire.port}")
        for number in range(3):
            root.write(f"data/{number}", content(number, 2 << 20))
        move(root, "data", root, "first")
        before = wire.passed

        summary = move(root, "data", root, "copy")

        assert summary.files == 3
        assert wire.passed - before < 1 << 20
    assert root.read("copy/2") == content(2, 2 << 20)


def test_a_copy_within_s3_keeps_the_tag_of_a_big_object(make: Make, move: Move) -> None:
    source, root = make("local"), make("s3")
    source.write("big", content(1, BIG))
    move(source, "big", root, "big")

    summary = move(root, "big", root, "copy")
    assert summary.bytes == BIG
    items = {item.path: item.identity for item in root.store.items()}
    assert items["copy"] == items["big"]
