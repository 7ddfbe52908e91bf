"""Small blobs are kept alike wherever they are: in a folder, in a bucket, in a bucket with copies of it here."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aml_provider.storage.copied_store import CopiedStore
from aml_provider.storage.object_store import ObjectStore
from aml_provider.storage.record_store import Entry, FolderStore, RecordStore, record_store
from tests.stores import KINDS, Place, place

COMPETITORS = 6


@pytest.fixture(
    params=[*KINDS[:4], *(pytest.param(f"{kind} copied", marks=pytest.mark.stores) for kind in ("s3", "azure"))]
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def where(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with place(kind.partition(" ")[0], tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def store(kind: str, where: Place, tmp_path: Path) -> RecordStore:
    found = record_store(where.store, "records")
    if not kind.endswith(" copied"):
        return found
    assert isinstance(found, ObjectStore)
    return CopiedStore(found, FolderStore(tmp_path / "copies"))


def at_once(work: Callable[[int], bool]) -> list[bool]:
    """Several threads do the same; each finds what the others do."""
    start = threading.Barrier(COMPETITORS)

    def one(number: int) -> bool:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(COMPETITORS) as pool:
        return list(pool.map(one, range(COMPETITORS)))


# --- one user, wherever the blobs are ---------------------------------------------------------------------------


def test_a_datastore_has_the_store_that_fits_it(where: Place, store: RecordStore) -> None:
    assert isinstance(record_store(where.store), FolderStore if where.kind == "local" else ObjectStore)
    assert store.exclusive
    store.create("a/b", b"1")
    assert where.names() == ["records/a/b"]
    assert record_store(where.store).read("records/a/b") == b"1"


def test_what_is_written_can_be_read(store: RecordStore) -> None:
    assert store.read("a/b.json") is None
    assert store.create("a/b.json", b"1")
    assert store.read("a/b.json") == b"1"
    assert not store.create("a/b.json", b"2")
    assert store.read("a/b.json") == b"1"
    store.replace("a/b.json", b"3")
    assert store.read("a/b.json") == b"3"
    store.replace("new", b"")
    assert store.read("new") == b""
    assert store.delete("a/b.json")
    assert not store.delete("a/b.json")
    assert store.read("a/b.json") is None
    assert store.create("a/b.json", b"4")


def test_a_swap_happens_only_when_the_content_is_the_old_one(store: RecordStore) -> None:
    assert not store.swap("a", b"", b"1")
    assert store.read("a") is None
    store.create("a", b"1")
    assert not store.swap("a", b"other", b"2")
    assert store.read("a") == b"1"
    assert store.swap("a", b"1", b"2")
    assert store.read("a") == b"2"
    assert not store.swap("a", b"1", None)
    assert store.swap("a", b"2", None)
    assert store.read("a") is None
    assert not store.swap("a", b"2", None)
    assert store.create("a", b"3")


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 3_000_000])
def test_each_size_comes_back(store: RecordStore, size: int) -> None:
    content = os.urandom(size)
    store.create("a", content, durable=False)
    assert store.read("a") == content
    assert store.swap("a", content, content[::-1])
    assert store.read("a") == content[::-1]


def test_many_are_read_in_the_order_asked_for(store: RecordStore) -> None:
    known = {f"x/{number}": b"%d" % number for number in range(50)}
    for name, content in known.items():
        store.create(name, content, durable=False)
    names = ["gone", *reversed(known), "x/3", "x", "x/3/below"]
    assert store.read_many(names) == [known.get(name) for name in names]
    assert store.read_many([]) == []


def test_blobs_are_listed_by_the_beginning_of_their_names(store: RecordStore) -> None:
    assert (store.names(), store.entries()) == ([], [])
    for name in ["b", "a/y", "a/x", "ab", "a/x2/deep", "größe/💩 #?%20+"]:
        store.create(name, name.encode())
    assert store.names() == ["a/x", "a/x2/deep", "a/y", "ab", "b", "größe/💩 #?%20+"]
    assert store.names("a") == ["a/x", "a/x2/deep", "a/y", "ab"]
    assert store.names("a/") == ["a/x", "a/x2/deep", "a/y"]
    assert store.names("a/x") == ["a/x", "a/x2/deep"]
    assert store.names("a/x2/") == ["a/x2/deep"]
    assert store.names("none/") == store.names("b/") == []
    assert store.read_many(store.names()) == [name.encode() for name in store.names()]


def test_an_entry_tells_size_and_time(store: RecordStore) -> None:
    before = time.time()
    store.create("a", b"123")
    (entry,) = store.entries()
    assert entry == Entry("a", 3, entry.modified)
    # Clocks of stores count seconds.
    assert before - 2 <= entry.modified <= time.time() + 2


ILLEGAL = [
    "", ".", "..", "../a", "a/..", "a/../b", "/a", "a/", "a//b", "./a", "a/./b", ".a", "a/.b", ".parts/x", ".locks/00",
    "a\\b", "..\\a", "a\0b", "a/\0",
]  # fmt: skip


@pytest.mark.parametrize("name", ILLEGAL)
def test_names_that_are_refused(where: Place, store: RecordStore, name: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.read(name),
        lambda: store.read_many([name]),
        lambda: store.create(name, b"1"),
        lambda: store.replace(name, b"1"),
        lambda: store.swap(name, b"1", b"2"),
        lambda: store.delete(name),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="is no name for a blob") as caught:
            call()
        assert repr(name) in str(caught.value)
    assert where.names() == []


def test_what_is_the_stores_own_is_in_no_listing(where: Place, store: RecordStore) -> None:
    assert store.exclusive
    store.create("a", b"1")
    where.write("records/.probe-left-by-a-killed-process", b"1")
    assert store.names() == ["a"]
    assert store.names(".") == []


# --- competitors ------------------------------------------------------------------------------------------------


def test_one_of_many_creates(store: RecordStore) -> None:
    for name in range(10):
        won = at_once(lambda number, name=name: store.create(f"blob/{name}", b"%d" % number))  # type: ignore[misc]
        (winner,) = [number for number, did in enumerate(won) if did]
        assert store.read(f"blob/{name}") == b"%d" % winner
    # Even of those that write the same.
    assert sum(at_once(lambda number: store.create("same", b"same"))) == 1


def test_one_of_many_swaps_one_content_away(store: RecordStore) -> None:
    for name in map(str, range(10)):
        store.create(name, b"old")
        won = at_once(lambda n, name=name: store.swap(name, b"old", None if n % 2 else b"%d" % n))  # type: ignore[misc]
        (winner,) = [number for number, did in enumerate(won) if did]
        assert store.read(name) == (None if winner % 2 else b"%d" % winner)


def test_swaps_lose_nothing(store: RecordStore) -> None:
    store.create("counter", b"0")

    def count(number: int) -> bool:
        done = 0
        while done < 5:
            seen = store.read("counter")
            assert seen is not None
            done += store.swap("counter", seen, b"%d" % (int(seen) + 1), durable=False)
        return True

    at_once(count)
    assert store.read("counter") == b"%d" % (5 * COMPETITORS)
