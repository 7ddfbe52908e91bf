"""What is in a store on another machine is known by what the store says, or else by its bytes; never by a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.spec.errors import AmlError
from aml_provider.storage import listing
from aml_provider.storage.backend_base import Backend, Item
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.storage.digests import Content, content_of
from aml_provider.storage.faults import DatastoreError, Origin, Reason
from aml_provider.storage.listing import listed_content, read_content
from tests.stores import Place, place

ORIGIN = Origin("blobs", "memory://blobs")


class Memory(Backend):
    """A store in this process's memory, which may keep a checksum of each file.

    :ivar reading: what happens just before a file is read.
    """

    def __init__(self, *, checksums: bool = False, sizes: bool = True) -> None:
        super().__init__(ORIGIN)
        self.files = fsspec.filesystem("memory", skip_instance_cache=True)
        self.files.store = {}
        self.files.pseudo_dirs = [""]
        self.were_read: list[str] = []
        self.reading: Callable[[str], None] = lambda path: None
        self._checksums = checksums
        self._sizes = sizes

    def write(self, **files: bytes) -> None:
        for path, content in files.items():
            self.files.pipe_file("/" + path.replace("__", "/"), content)

    def items(self, path: str) -> Iterator[Item]:
        for name, info in self.files.find(f"/{path}", detail=True).items():
            mark = hashlib.md5(self.files.cat_file(name)).hexdigest() if self._checksums else None
            size = info["size"] if self._sizes else None
            yield Item(name.lstrip("/"), size, self.files.modified(name).timestamp(), mark)

    def contents(self, paths: Sequence[str], cache: DigestCache | None) -> list[Content | None]:
        if self._checksums:
            return [listed_content(ORIGIN, list(self.items(path)), path) for path in paths]
        return [read_content(self, path) for path in paths]

    def read(self, path: str) -> bytes:
        self.reading(path)
        self.were_read.append(path)
        return bytes(self.files.cat_file(f"/{path}"))

    def content(self, path: str) -> Content | None:
        return self.contents([path], None)[0]

    @property
    def filesystem(self) -> Any:
        return self.files

    def full(self, path: str) -> str:
        return f"/{path}"

    def check(self) -> None:
        """It is always there."""

    def exists(self, path: str) -> bool:
        return bool(self.files.exists(f"/{path}"))

    def is_file(self, path: str) -> bool:
        return bool(self.files.isfile(f"/{path}"))

    def get(self, path: str, target: Path) -> NoReturn:
        raise NotImplementedError

    put = remove = get  # type: ignore[assignment]


@pytest.fixture(params=["a checksum is kept", "files are read", "files are read, and have no size"])
def store(request: pytest.FixtureRequest) -> Memory:
    """Every kind of store, as far as it matters for what is in it."""
    return Memory(checksums="checksum" in request.param, sizes="no size" not in request.param)


# --- whatever the store says ------------------------------------------------------------------------------------


def test_a_file_written_over_by_another_of_its_size_is_another(store: Memory) -> None:
    store.write(data__a=b"1", data__b=b"2")
    file, folder = store.content("data/a"), store.content("data")
    store.write(data__a=b"3")
    assert store.content("data/a") != file
    assert store.content("data") != folder


def test_the_same_bytes_written_again_are_the_same(store: Memory) -> None:
    store.write(data__a=b"1", data__b=b"2")
    file, folder = store.content("data/a"), store.content("data")
    store.files.rm("/data", recursive=True)
    store.write(data__b=b"2", data__a=b"1")
    assert (store.content("data/a"), store.content("data")) == (file, folder)


def test_place_and_name_do_not_count(store: Memory) -> None:
    store.write(one__a=b"1", one__sub__b=b"22", deep__er__two__a=b"1", deep__er__two__sub__b=b"22")
    assert store.content("one") == store.content("deep/er/two")
    assert store.content("one/a") == store.content("deep/er/two/a")
    (content,) = {store.content("one")}
    assert content is not None
    assert (content.is_file, content.files, content.bytes) == (False, 2, 3)


def test_names_that_begin_alike_are_kept_apart(store: Memory) -> None:
    store.write(data__a=b"1")
    before = store.content("data")
    store.write(data2__a=b"2", datum=b"3")
    assert store.content("data") == before


def test_a_file_is_not_the_folder_that_holds_it_alone(store: Memory) -> None:
    store.write(data__a=b"1")
    file, folder = store.content("data/a"), store.content("data")
    assert file is not None
    assert folder is not None
    assert (file.is_file, folder.is_file) == (True, False)
    assert file.digest != folder.digest


def test_nothing_is_nothing(store: Memory) -> None:
    assert store.content("") is None
    store.write(data__a=b"1")
    assert store.content("dat") is store.content("data/b") is store.content("data/a/c") is None


def test_our_own_bookkeeping_is_no_data(store: Memory) -> None:
    store.write(a=b"1", sub__b=b"2")
    whole, sub = store.content(""), store.content("sub")
    store.files.pipe_file("/.aml/index/1.json", b"a record")
    store.files.pipe_file("/.aml-part-1", b"half")
    store.files.pipe_file("/sub/.aml-part-2/c", b"half")
    assert (store.content(""), store.content("sub")) == (whole, sub)
    assert [path for path in store.were_read if ".aml" in path] == []
    store.files.pipe_file("/sub/.aml", b"data")
    assert store.content("") != whole


def test_a_folder_with_nothing_but_bookkeeping_is_empty(store: Memory) -> None:
    store.files.pipe_file("/.aml/index/1.json", b"a record")
    assert store.content("") is None


FILES = st.dictionaries(
    st.sampled_from(["a", "b", "ü", "sub/a", "sub/b", "sub/deep/a"]),
    st.sampled_from([b"", b"1", b"2", b"22"]),
    min_size=1,
)


@given(FILES, FILES, st.booleans())
def test_two_folders_are_the_same_only_when_their_files_are(
    one: dict[str, bytes], other: dict[str, bytes], checksums: bool
) -> None:
    store = Memory(checksums=checksums)
    for top, files in (("one", one), ("other", other)):
        for name, content in files.items():
            store.files.pipe_file(f"/{top}/{name}", content)
    assert (store.content("one") == store.content("other")) == (one == other)


# --- what a listing says ----------------------------------------------------------------------------------------


def item(path: str, identity: str | None = "etag:1", modified: float | None = 1.0) -> Item:
    return Item(path, 1, modified, identity)


def test_the_order_of_a_listing_and_times_do_not_count() -> None:
    items = [item("data/a", "etag:1"), item("data/b", "etag:2"), item("data/sub/c", "etag:3")]
    before = listed_content(ORIGIN, items, "data")
    assert listed_content(ORIGIN, items[::-1], "data") == before
    assert listed_content(ORIGIN, [Item(i.path, i.size, None, i.identity) for i in items], "data") == before
    assert listed_content(ORIGIN, [item("data/a", "etag:2"), *items[1:]], "data") != before


def test_a_file_with_the_name_of_a_folder(store: Memory) -> None:
    # Only in object stores.
    both = [item("data", "etag:1"), item("data/a", "etag:2")]
    content = listed_content(ORIGIN, both, "data")
    assert content is not None
    assert (content.is_file, content.files) == (False, 2)
    assert content != listed_content(ORIGIN, both[1:], "data")
    assert content != listed_content(ORIGIN, [item("data", "etag:3"), both[1]], "data")


def test_a_store_that_says_nothing_is_refused() -> None:
    with pytest.raises(AmlError) as caught:
        listed_content(ORIGIN, [item("data/a"), item("data/b", None)], "data")
    assert str(caught.value) == (
        "datastore 'blobs' (memory://blobs) keeps neither an ETag nor a version nor a checksum of 'data/b', so nobody "
        "can see whether it changes; keep it in an object store or a folder when steps that use it are to be reused."
    )


# --- what is read -----------------------------------------------------------------------------------------------


def test_what_is_read_is_what_it_is_in_a_folder(tmp_path: Path) -> None:
    store = Memory()
    store.write(data__a=b"1", data__sub__b=b"22")
    store.files.get("/data", str(tmp_path / "data"), recursive=True)
    assert store.content("data") == content_of(tmp_path / "data")
    assert store.content("data/a") == content_of(tmp_path / "data/a")


@pytest.mark.parametrize("sizes", [True, False])
def test_what_is_too_big_to_be_read_each_time_is_refused(monkeypatch: pytest.MonkeyPatch, sizes: bool) -> None:
    monkeypatch.setattr(listing, "READ_LIMIT_BYTES", 1 << 20)
    store = Memory(sizes=sizes)
    store.write(data__a=bytes(1 << 19), data__b=bytes(1 << 19))
    assert store.content("data") is not None
    store.write(data__b=bytes((1 << 19) + 1))
    with pytest.raises(DatastoreError, match=r"'data' could be seen, and .* too big \(more than 1 MiB\)") as caught:
        store.content("data")
    assert caught.value.reason is Reason.OTHER
    assert store.content("data/a") is not None


def test_a_file_that_changes_while_it_is_read_is_read_again() -> None:
    store = Memory()
    store.write(data__a=b"1", data__b=b"2")
    changes = iter([b"3", b"44"])

    def change(path: str) -> None:
        if path == "data/b" and (content := next(changes, None)):
            store.write(data__a=content)

    store.reading = change
    content = store.content("data")
    store.reading = lambda path: None
    assert content == store.content("data")
    assert content is not None
    assert content.bytes == 3


def test_a_file_that_comes_while_others_are_read() -> None:
    store = Memory()
    store.write(data__a=b"1")
    store.reading = lambda path: None if store.exists("data/b") else store.write(data__b=b"2")
    content = store.content("data")
    assert content is not None
    assert content.files == 2


def test_a_file_that_goes_on_changing_is_refused() -> None:
    store = Memory()
    store.write(data__a=b"1")
    store.reading = lambda path: store.write(data__a=b"%d" % len(store.were_read))
    with pytest.raises(DatastoreError, match=r"'data' goes on changing while it is read; try again later") as caught:
        store.content("data")
    assert caught.value.reason is Reason.CHANGED


def test_where_a_store_knows_some_files_only_the_others_are_read() -> None:
    class Some(Memory):
        def items(self, path: str) -> Iterator[Item]:
            for found in super().items(path):
                yield Item(found.path, found.size, found.modified, "etag:1" if found.path == "data/a" else None)

    store = Some()
    store.write(data__a=b"1", data__b=b"2")
    assert store.content("data") is not None
    assert store.were_read == ["data/b"]


# --- real stores ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["s3", "azure", "sftp"])
def remote(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A fresh root in a real store."""
    library = {"s3": "s3fs", "azure": "adlfs", "sftp": "sshfs"}[request.param]
    pytest.importorskip(library, reason=f"{library} is not installed")
    with place(request.param, tmp_path, monkeypatch) as found:
        yield found


@pytest.mark.stores
def test_real_stores_tell_what_has_changed(remote: Place) -> None:
    remote.write("data/a.csv", b"1")
    remote.write("data/sub/b.csv", b"2")
    remote.write("copy/a.csv", b"1")
    remote.write("copy/sub/b.csv", b"2")
    file, folder = remote.store.content("data/a.csv"), remote.store.content("data")
    assert file is not None
    assert folder is not None
    assert (file.is_file, file.files, file.bytes) == (True, 1, 1)
    assert (folder.is_file, folder.files, folder.bytes) == (False, 2, 2)
    assert (remote.store.content("data/a.csv"), remote.store.content("data")) == (file, folder)
    if remote.kind != "azure":  # which tells each writing from the others, whatever was written
        assert remote.store.content("copy") == folder
    remote.write("data/a.csv", b"3")
    assert remote.store.content("data/a.csv") not in (file, None)
    assert remote.store.content("data") not in (folder, None)
    assert remote.store.content("nothing") is None


@pytest.mark.stores
def test_the_root_of_a_real_store_has_the_index_of_reuse_in_it(remote: Place) -> None:
    remote.write("a.csv", b"1")
    before = remote.store.content("")
    remote.write(".aml/index/1.json", b"a record")
    remote.write(".aml-part-1", b"half")
    assert remote.store.content("") == before
    assert before is not None
