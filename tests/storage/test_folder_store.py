"""Small blobs in a folder: whole or not there, and of several who compete exactly one wins."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.storage.record_store import FolderStore, RecordStore, record_store
from tests.reuse.machines import as_somebody_else, fill
from tests.storage.machine import forked, in_processes, just_before, killed_at, opened, public_folder, working


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def sealed(text: str) -> bytes:
    """Content that shows whether a part of it is missing; more than one write puts on the disk."""
    body = (text * (200_000 // len(text))).encode()
    return hashlib.sha256(body).digest() + body


def is_whole(content: bytes) -> bool:
    return hashlib.sha256(content[32:]).digest() == content[:32]


def parts(store: FolderStore) -> list[str]:
    """What is written and not in its place yet."""
    folder = store.folder / ".parts"
    return os.listdir(folder) if folder.is_dir() else []


# --- one user ---------------------------------------------------------------------------------------------------


def test_names_that_are_no_text_are_kept_and_nothing_is_left_aside(store: FolderStore) -> None:
    name = "größe/\udcff"
    assert store.create(name, b"1")
    assert store.swap(name, b"1", b"2")
    store.replace(name, b"3")
    assert store.names() == store.names("größe/") == [name]
    assert store.read_many([name, "größe"]) == [b"3", None]
    assert store.delete(name)
    assert parts(store) == []


def test_what_is_the_stores_own_is_in_no_listing(store: FolderStore) -> None:
    store.create("a", b"1")
    store.replace("a", b"2")
    (store.folder / ".parts/half").write_text("half")
    assert sorted(os.listdir(store.folder)) == [".locks", ".parts", "a"]
    assert store.names() == ["a"]
    assert store.names(".parts/") == store.names(".") == store.names(".locks/0") == []


def test_nobody_looks_out_of_the_folder(store: FolderStore) -> None:
    store.create("a/b", b"1")
    (store.folder.parent / "outside").mkdir()
    (store.folder.parent / "outside/secret").write_text("secret")
    for prefix in ["../", "../outside/", "a/../../outside/", "/", str(store.folder.parent) + "/outside/"]:
        assert store.names(prefix) == []
        assert store.entries(prefix) == []


@given(st.text(st.sampled_from("a.b/\\\0\n ü"), max_size=10))
def test_whatever_name_is_accepted_is_kept_in_the_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    store = FolderStore(tmp_path_factory.mktemp("names") / "inside")
    try:
        store.create(name, b"1", durable=False)
    except ValueError:
        assert not store.folder.exists()
        return
    assert store.names() == [name]
    assert store.folder.joinpath(name).read_bytes() == b"1"
    assert os.listdir(store.folder.parent) == ["inside"]


def test_a_blob_below_a_blob_is_an_error(store: FolderStore) -> None:
    store.create("a", b"1")
    assert store.read("a/b") is None
    assert not store.delete("a/b")
    assert not store.swap("a/b", b"", b"1")
    for write in (store.create, store.replace):
        with pytest.raises(OSError, match="a/b"):
            write("a/b", b"2")
    assert (store.read("a"), parts(store)) == (b"1", [])


def test_a_name_that_is_too_long_is_an_error(store: FolderStore) -> None:
    with pytest.raises(OSError, match="File name too long"):
        store.create("a" * 300, b"1")
    assert parts(store) == []


def test_a_folder_is_no_blob(store: FolderStore) -> None:
    store.create("a/b", b"1")
    assert store.read("a") is None
    assert store.names() == ["a/b"]


def test_a_relative_folder_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FolderStore("store")
    store.create("a", b"1")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert store.read("a") == b"1"
    store.replace("b", b"2")
    assert (tmp_path / "store/b").read_bytes() == b"2"


# --- competitors ------------------------------------------------------------------------------------------------


def test_one_of_many_processes_creates(store: FolderStore) -> None:
    assert store.exclusive

    def compete(number: int) -> Callable[[], list[bool]]:
        mine = FolderStore(store.folder)
        return lambda: [mine.create(f"blob/{name}", b"%d" % number) for name in range(40)]

    won = in_processes([compete(number) for number in range(8)])
    for name in range(40):
        (winner,) = [number for number in range(8) if won[number][name]]
        assert store.read(f"blob/{name}") == b"%d" % winner
    # Somebody else was quicker now and then, or nobody has competed.
    assert len(store.names()) == 40
    assert parts(store) == []


def test_one_of_many_processes_creates_where_no_links_are(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: str, target: str) -> None:
        raise OSError(95, "Operation not supported", source)

    # As on some mounted shares of Windows servers, of which there is none here.
    monkeypatch.setattr(os, "link", no_links)
    test_one_of_many_processes_creates(store)
    assert store.create("single", b"1")
    assert not store.create("single", b"2")
    assert store.read("single") == b"1"


def test_an_answer_that_was_lost_is_no_loss(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def asked_again(source: str, target: str) -> None:
        link(source, target)
        link(source, target)

    # As on NFS, when the answer to the first request does not arrive: the second one meets its own link.
    store.create("before", b"1")
    monkeypatch.setattr(os, "link", asked_again)
    assert store.create("a", b"1")
    assert not store.create("a", b"2")
    assert not store.create("before", b"2")


def test_swaps_lose_nothing(store: FolderStore) -> None:
    store.create("counter", b"0")

    def count() -> int:
        mine = FolderStore(store.folder)
        done = 0
        while done < 25:
            seen = mine.read("counter")
            assert seen is not None
            done += mine.swap("counter", seen, b"%d" % (int(seen) + 1), durable=False)
        return done

    assert sum(in_processes([count] * 6)) == 150
    assert store.read("counter") == b"150"


def test_threads_exclude_each_other_too(store: FolderStore) -> None:
    store.create("counter", b"0")

    def count() -> None:
        done = 0
        while done < 20:
            seen = store.read("counter")
            assert seen is not None
            done += store.swap("counter", seen, b"%d" % (int(seen) + 1), durable=False)

    threads = [threading.Thread(target=count) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read("counter") == b"120"


def test_one_of_many_swaps_one_content_away(store: FolderStore) -> None:
    def compete(number: int, new: bytes | None) -> Callable[[], list[bool]]:
        return lambda: [FolderStore(store.folder).swap(str(name), b"old", new) for name in range(20)]

    for name in range(20):
        store.create(str(name), b"old")
    won = in_processes([compete(n, None if n % 2 else b"%d" % n) for n in range(8)])
    for name in range(20):
        (winner,) = [number for number in range(8) if won[number][name]]
        assert store.read(str(name)) == (None if winner % 2 else b"%d" % winner)


@pytest.mark.parametrize("left", [None, b"theirs"])
def test_what_is_changed_meanwhile_is_not_swapped_away(store: FolderStore, left: bytes | None) -> None:
    def change() -> None:
        other = FolderStore(store.folder)
        other.delete("a") if left is None else other.replace("a", left)

    lock = lock_of(store, "a")
    store.replace("a", b"old")
    # Just after the first look, which takes no lock.
    with just_before("open", lock, lambda: forked(change)):
        assert not store.swap("a", b"old", b"mine")
    assert (store.read("a"), parts(store)) == (left, [])


def lock_of(store: FolderStore, name: str) -> Path:
    """The file that keeps writers of a blob apart."""
    store.create(name, b"")
    with opened(store.folder / ".locks") as names:
        store.delete(name)
    return store.folder / ".locks" / names[0]


def test_readers_see_one_content_or_the_other(store: FolderStore) -> None:
    store.replace("a", sealed("0"))

    def write() -> None:
        for text in ("one", "another one"):
            store.replace("a", sealed(text), durable=False)
        assert store.swap("a", sealed("another one"), sealed("third"))

    with working(write):
        seen = {store.read("a") for _ in range(300)}
    assert seen <= {sealed(text) for text in ("0", "one", "another one", "third")}


# --- processes that die -----------------------------------------------------------------------------------------


def steps(store: FolderStore) -> dict[str, Callable[[], object]]:
    return {
        "create": lambda: store.create("new/blob", sealed("new")),
        "replace": lambda: store.replace("old", sealed("new")),
        "swap": lambda: store.swap("old", sealed("old"), sealed("new")),
        "swap away": lambda: store.swap("old", sealed("old"), None),
        "delete": lambda: store.delete("old"),
    }


@pytest.mark.parametrize("what", ["create", "replace", "swap", "swap away", "delete"])
def test_a_writer_killed_at_each_of_its_steps(tmp_path: Path, what: str) -> None:
    after: dict[str, set[bytes | None]] = {
        "create": {None, sealed("new")},
        "replace": {sealed("old"), sealed("new")},
        "swap": {sealed("old"), sealed("new")},
        "swap away": {sealed("old"), None},
        "delete": {sealed("old"), None},
    }
    name = "new/blob" if what == "create" else "old"
    seen: set[bytes | None] = set()
    for step in range(100):
        store = FolderStore(tmp_path / str(step))
        store.create("old", sealed("old"), durable=False)
        died = killed_at(step, steps(store)[what])
        seen.add(store.read(name))
        # Nothing that the dead one held is in the way of the next one.
        store.replace(name, b"next", durable=False)
        assert store.swap(name, b"next", b"and next", durable=False)
        assert set(store.names()) == {"old", name}
        if not died:
            break
    assert not died
    assert step >= 2
    assert seen == after[what]


def test_writers_killed_at_any_moment_leave_no_half_blob(store: FolderStore) -> None:
    def write() -> None:
        number = int(time.time_ns())
        store.create(f"created/{number}", sealed(f"created {number}"), durable=False)
        store.replace("replaced", sealed(f"replaced {number}"), durable=False)
        old = store.read("swapped")
        if old is None:
            store.create("swapped", sealed("first"), durable=False)
        else:
            store.swap("swapped", old, sealed(f"swapped {number}"), durable=False)

    for _ in range(30):
        with working(write):
            pass
        for name, content in zip(store.names(), store.read_many(store.names()), strict=True):
            assert content is not None
            assert is_whole(content), name
    assert len(store.names("created/")) >= 30


def test_what_the_dead_have_left_is_swept_a_day_later(store: FolderStore) -> None:
    store.create("a", b"1")
    killed = [step for step in range(4) if killed_at(step, lambda: FolderStore(store.folder).create("b", b"2"))]
    left = parts(store)
    assert killed == [0, 1, 2, 3]
    assert left
    for name in left:
        os.utime(store.folder / ".parts" / name, (time.time() - 25 * 3600,) * 2)
    (store.folder / ".parts/young").write_text("being written by somebody")
    os.utime(store.folder / ".parts/young", (time.time() - 23 * 3600,) * 2)
    # Each process looks once.
    store.replace("a", b"3")
    assert sorted(parts(store)) == sorted([*left, "young"])
    FolderStore(store.folder).replace("a", b"3")
    assert parts(store) == ["young"]


# --- disks ------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_an_error_and_changes_nothing(small_disk: Path) -> None:
    store = FolderStore(small_disk / "store")
    store.create("kept", b"old")
    store.replace("kept", b"old")
    filler = fill(small_disk)
    big = os.urandom(9000)
    writes: list[Callable[[], object]] = [
        lambda: store.create("new", big),
        lambda: store.replace("kept", big),
        lambda: store.swap("kept", b"old", big),
    ]
    for write in writes:
        with pytest.raises(OSError, match="No space left on device"):
            write()
        assert store.names() == ["kept"]
        assert (store.read("kept"), parts(store)) == (b"old", [])
    # What makes room must work.
    assert store.delete("kept")
    filler.unlink()
    for write in writes[:2]:
        write()
    assert store.read_many(["new", "kept"]) == [big, big]


def test_a_disk_with_no_room_for_names(small_disk: Path) -> None:
    store = FolderStore(small_disk / "store")
    store.create("a", b"1")
    store.replace("a", b"1")
    with suppress(OSError):
        for number in range(1000):
            (small_disk / str(number)).touch()
    with pytest.raises(OSError, match="No space left on device"):
        store.replace("a", b"2")
    assert store.read("a") == b"1"
    assert store.delete("a")


def test_a_folder_that_may_not_be_written_is_an_error() -> None:
    with public_folder() as folder:
        store = FolderStore(folder)
        store.create("a", b"1")
        store.replace("a", b"1")
        writes: list[Callable[[], object]] = [
            lambda: store.create("b", b"2"),
            lambda: store.replace("a", b"2"),
            lambda: store.swap("a", b"1", b"2"),
            lambda: store.swap("a", b"1", None),
            lambda: store.delete("a"),
        ]
        folder.chmod(0o555)
        for write in writes:
            with as_somebody_else(), pytest.raises(PermissionError):
                write()
        with as_somebody_else():
            assert store.read("a") == b"1"
            assert store.names() == ["a"]
        folder.chmod(0o755)
        assert store.read("a") == b"1"


def test_a_store_is_one_kind_of_record_store(tmp_path: Path) -> None:
    store = record_store(tmp_path)
    assert isinstance(store, RecordStore)
    assert str(store) == str(tmp_path), "what messages call it"
