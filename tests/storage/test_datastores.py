"""Datastores do what v1 datastores do, on a folder and in every store."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml_provider.runtime.files import regular_files
from aml_provider.spec.errors import PipelineError
from aml_provider.storage import Store, object_backend, store_for
from aml_provider.storage.faults import DatastoreError, NothingThereError, Reason
from aml_provider.storage.listing import READ_LIMIT_BYTES
from aml_provider.workspace.model import DatastoreConfig
from tests.stores import KINDS, ODD, REFUSED, Place, place, set_connection

# Names that people and programs give to files, each of which has broken a tool somewhere.
HOSTILE = (
    "-rf",
    "with space",
    " starts and ends with one ",
    "größe/データ/💩.csv",
    "a#b?c&d=e;f",
    "100%",
    "a%20b",
    "a+b",
    "[x]*{y}",
    "quote\"'`$(id)",
    "a:b@c",
    "~",
    ".hidden/.file",
    "tab\there",
    "versionId=3",
    "..two dots",
    "n" * 200,
    "/".join(["deep"] * 60),
)


@pytest.fixture(params=KINDS)
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with place(request.param, tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with place("local", tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with place("s3", tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def sftp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with place("sftp", tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def store(where: Place) -> Store:
    return where.store


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    for name, text in {"a.csv": "1", "sub/b.csv": "2", "sub/deep/ü c.csv": "3"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


# --- what v1 does, in every store ---------------------------------------------------------------------------------


def test_a_folder_goes_up_and_comes_down_whole(where: Place, store: Store, source: Path, tmp_path: Path) -> None:
    assert store.upload(source, target_path="in/data/") == 3
    assert where.read("in/data/sub/deep/ü c.csv") == b"3"
    assert store.files() == ["in/data/a.csv", "in/data/sub/b.csv", "in/data/sub/deep/ü c.csv"]
    assert store.exists("in/data")
    assert not store.is_file("in/data")
    assert store.is_file("in/data/a.csv")
    assert not store.exists("elsewhere")
    assert not store.exists("in/dat")

    # As in v1 the path in the datastore is kept below the target.
    assert store.download(tmp_path / "down", prefix="in/data/sub") == 2
    assert (tmp_path / "down/in/data/sub/b.csv").read_text() == "2"
    assert not (tmp_path / "down/in/data/a.csv").exists()


def test_what_is_there_is_kept_unless_overwrite(
    where: Place, store: Store, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.upload(source)
    (source / "a.csv").write_text("new")
    assert store.upload(source) == 0
    assert "Target already exists. Skipping upload for a.csv" in capsys.readouterr().out
    assert where.read("a.csv") == b"1"
    assert store.upload(source, overwrite=True, show_progress=False) == 3
    assert capsys.readouterr().out == ""
    assert where.read("a.csv") == b"new"


def test_of_many_files_only_what_is_not_there_goes_up(where: Place, store: Store, tmp_path: Path) -> None:
    source = tmp_path / "many"
    source.mkdir()
    for number in range(20):
        (source / f"{number}.txt").write_text(f"mine {number}")
    where.write("to/7.txt", b"theirs")
    where.write("to/13.txt", b"theirs")
    assert store.upload(source, "to", show_progress=False) == 18
    assert where.read("to/7.txt") == b"theirs"
    assert where.read("to/8.txt") == b"mine 8"


def test_download_keeps_what_is_there_unless_overwrite(store: Store, source: Path, tmp_path: Path) -> None:
    store.upload(source)
    target = tmp_path / "down"
    assert store.download(target) == 3
    (target / "a.csv").write_text("mine")
    assert store.download(target) == 0
    assert (target / "a.csv").read_text() == "mine"
    assert store.download(target, overwrite=True) == 3
    assert (target / "a.csv").read_text() == "1"


def test_progress_counts_every_file(store: Store, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.upload(source)
    told = capsys.readouterr().out.splitlines()
    assert sorted(line.partition(", ")[2] for line in told) == [f"{n} files out of 3" for n in (1, 2, 3)]


def test_a_prefix_is_the_beginning_of_a_path(store: Store, source: Path, tmp_path: Path) -> None:
    store.upload(source, "data")
    store.upload(source, "data2")
    assert store.download(tmp_path / "both", prefix="data") == 6
    assert store.download(tmp_path / "one", prefix="data/") == 3
    assert store.download(tmp_path / "none", prefix="nothing/here") == 0


def test_single_files_and_their_relative_root(store: Store, source: Path) -> None:
    files = [source / "a.csv", source / "sub/b.csv"]
    assert store.upload_files(files, target_path="flat") == 2
    assert store.files("flat") == ["flat/a.csv", "flat/b.csv"]
    assert store.upload_files(map(str, files), relative_root=source, target_path="tree") == 2
    assert store.files("tree") == ["tree/a.csv", "tree/sub/b.csv"]


def test_single_files_that_cannot_be_uploaded(store: Store, source: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"file .*missing.csv' does not exist"):
        store.upload_files([source / "missing.csv"])
    with pytest.raises(PipelineError, match="is not below relative_root"):
        store.upload_files([source / "a.csv"], relative_root=tmp_path / "other")
    (source / "sub/a.csv").write_text("x")
    with pytest.raises(PipelineError, match=r"would both become 'a\.csv'"):
        store.upload_files([source / "a.csv", source / "sub/a.csv"])
    with pytest.raises(PipelineError, match="is not a folder"):
        store.upload(source / "a.csv")
    assert store.files() == []


def test_v1_globs(store: Store, source: Path) -> None:
    store.upload(source, "w")
    assert store.glob("w/*.csv") == ["w/a.csv"]
    assert store.glob("w/**") == ["w/a.csv", "w/sub/b.csv", "w/sub/deep/ü c.csv"]
    assert store.glob("**/*.csv") == store.files()
    assert store.glob("w/**/b.csv") == ["w/sub/b.csv"]
    assert store.glob("w/?.csv") == ["w/a.csv"]
    assert store.glob("w/*/*.csv") == ["w/sub/b.csv"]
    assert store.glob("w/sub") == ["w/sub/b.csv", "w/sub/deep/ü c.csv"]
    assert store.glob("w/a.csv") == ["w/a.csv"]
    assert store.glob("nothing/*") == []


def test_a_file_being_written_is_no_data(where: Place, store: Store, source: Path) -> None:
    store.upload(source)
    where.write(".aml-part-123", b"half")
    where.write("sub/.aml-part-123", b"half")
    assert store.glob("*") == ["a.csv"]
    assert store.glob("**") == store.files() == ["a.csv", "sub/b.csv", "sub/deep/ü c.csv"]


def test_single_folder_to_a_place(store: Store, source: Path, tmp_path: Path) -> None:
    store.upload(source, "x/y")
    assert store.download_path("x/y/sub", tmp_path / "t") == 2
    assert (tmp_path / "t/deep/ü c.csv").read_text() == "3"
    assert store.download_path("x/y/a.csv", tmp_path / "single.csv") == 1
    assert (tmp_path / "single.csv").read_text() == "1"
    assert store.download_path("nothing", tmp_path / "n") == 0


def test_one_file_is_put_read_and_removed(where: Place, store: Store, source: Path) -> None:
    store.put(source / "a.csv", "to/b.csv")
    assert where.read("to/b.csv") == store.read("to/b.csv") == b"1"
    store.put(source / "sub/b.csv", "to/b.csv")
    assert store.read("to/b.csv") == b"2"
    assert store.remove("to/b.csv")
    assert not store.remove("to/b.csv")
    assert where.names() == []


def test_what_a_listing_says(where: Place, store: Store) -> None:
    where.write("a/one", b"1")
    where.write("a/three", b"333")
    one, three = store.items("a")
    assert (one.path, one.size, three.path, three.size) == ("a/one", 1, "a/three", 3)
    assert one.modified is not None


def test_a_path_is_below_the_root(store: Store, tmp_path: Path) -> None:
    for path in ("../x", "a/../../x", "/etc/passwd", "c:\\x", "a\0b"):
        for asked in (store.exists, store.is_file, store.files, store.glob, store.content, store.read, store.remove):
            with pytest.raises(PipelineError, match="'blobs'"):
                asked(path)
        with pytest.raises(PipelineError, match="'blobs'"):
            store.upload(tmp_path, target_path=path)
        with pytest.raises(PipelineError, match="'blobs'"):
            store.download_path(path, tmp_path / "t")


def test_an_empty_root_is_no_trouble(store: Store, tmp_path: Path) -> None:
    assert store.files() == []
    assert store.glob("**") == []
    assert store.content() is None or store.content().files == 0  # type: ignore[union-attr]
    assert store.download(tmp_path / "down") == 0
    store.check()


def test_the_store_as_fsspec_sees_it(where: Place, store: Store) -> None:
    where.write("a b/c.csv", b"1,2,3")
    with store.filesystem.open(store.full("a b/c.csv"), "rb") as file:
        assert file.read() == b"1,2,3"


# --- names and contents that break things -----------------------------------------------------------------------


def test_hostile_names_are_kept_as_they_are(where: Place, store: Store, tmp_path: Path) -> None:
    source = tmp_path / "hostile"
    for name in HOSTILE:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(f"content of {name}")
    assert store.upload(source, "to", show_progress=False) == len(HOSTILE)
    assert where.names() == sorted(f"to/{name}" for name in HOSTILE)
    assert store.files() == sorted(f"to/{name}" for name in HOSTILE)

    assert store.download_path("to", tmp_path / "back") == len(HOSTILE)
    for name in HOSTILE:
        assert (tmp_path / "back" / name).read_text() == f"content of {name}"
        assert store.read(f"to/{name}") == f"content of {name}".encode()
        assert store.is_file(f"to/{name}")
        assert store.content(f"to/{name}") is not None


@pytest.mark.parametrize("name", ODD)
def test_a_name_is_kept_right_or_refused_in_words(where: Place, store: Store, tmp_path: Path, name: str) -> None:
    source = tmp_path / "odd"
    source.mkdir()
    (source / name).write_text("odd")
    (source / "plain").write_text("plain")
    if name in REFUSED[where.kind]:
        with pytest.raises(DatastoreError) as caught:
            store.upload(source, show_progress=False)
        assert repr(name) in str(caught.value)
        if (where.kind, name) != ("s3", "two\nlines"):  # what is known before is said before anything is copied
            assert where.names() == []
        return
    assert store.upload(source, show_progress=False) == 2
    assert store.files() == sorted([name, "plain"])
    assert store.download(tmp_path / "back", show_progress=False) == 2
    assert (tmp_path / "back" / name).read_text() == "odd"


def test_a_name_that_is_too_long_is_refused_in_words(where: Place, store: Store, source: Path) -> None:
    path = "/".join(["n" * 200] * 30) if where.kind in ("s3", "azure", "gcs") else "n" * 300
    with pytest.raises((DatastoreError, OSError), match="too long") as caught:
        store.put(source / "a.csv", path)
    assert where.names() == []
    if where.kind != "local":
        assert isinstance(caught.value, DatastoreError)
        assert caught.value.reason is Reason.NAME


def test_an_object_with_a_name_that_no_file_of_this_machine_can_have(bucket: Place, tmp_path: Path) -> None:
    long = "n" * 300
    bucket.write(long, b"1")
    assert bucket.store.files() == [long]
    with pytest.raises(DatastoreError, match=r"'blobs'.*too long"):
        bucket.store.download(tmp_path / "down")
    assert list((tmp_path / "down").iterdir()) == []


# Azure's own library cannot make such names.
@pytest.mark.parametrize("name", ["a/../../out", "../out", "a//b", "./a", "/abs", "a/./b", ".."])
def test_an_object_never_lands_outside(s3: Place, tmp_path: Path, name: str) -> None:
    s3.write("good", b"good")
    s3.write(name, b"bad")
    for what in (s3.store.files, s3.store.content, lambda: s3.store.download(tmp_path / "in/target")):
        with pytest.raises(DatastoreError, match="no file can be called so; rename or remove it") as caught:
            what()
        assert caught.value.reason is Reason.NAME
        assert repr(s3.key(name)) in str(caught.value)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_empty_files_are_files(where: Place, store: Store, tmp_path: Path) -> None:
    (tmp_path / "src/sub").mkdir(parents=True)
    (tmp_path / "src/empty").touch()
    (tmp_path / "src/sub/empty").touch()
    assert store.upload(tmp_path / "src") == 2
    assert where.read("empty") == b""
    assert store.is_file("empty")
    assert store.read("empty") == b""
    assert store.content("empty").bytes == 0  # type: ignore[union-attr]
    assert store.download(tmp_path / "down") == 2
    assert (tmp_path / "down/sub/empty").read_bytes() == b""


def test_a_big_file_goes_in_parts_and_stays_itself(where: Place, store: Store, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(1 << 20) * 40)
    store.put(big, "big.bin")
    first = store.items()[0].identity
    assert store.download_path("big.bin", tmp_path / "back.bin") == 1
    assert (tmp_path / "back.bin").read_bytes() == big.read_bytes()
    # Written once more it is still the same, so that nothing is computed again for it.
    store.put(big, "big.bin")
    assert store.items()[0].identity == first


def test_an_object_that_has_the_name_of_a_folder(bucket: Place, tmp_path: Path) -> None:
    bucket.write("data", b"file")
    bucket.write("data/part", b"below")
    bucket.write("data2", b"other")
    store = bucket.store
    assert store.is_file("data")
    assert store.files("data") == ["data", "data/part"]
    both = store.content("data")
    assert both is not None
    assert (both.files, both.is_file) == (2, False)
    with pytest.raises(DatastoreError, match=r"cannot be written to .*(a part of the folder is a file|is a folder)"):
        store.download_path("data", tmp_path / "one")


def test_a_folder_is_no_earlier_copy_of_a_file(bucket: Place, tmp_path: Path) -> None:
    # As when the object that has the name of a folder comes after what is below it.
    bucket.write("data", b"file")
    (tmp_path / "one").mkdir()
    with pytest.raises(DatastoreError, match=r"cannot be written to .*is a folder"):
        bucket.store.download_path("data", tmp_path / "one")


def test_objects_that_stand_for_folders_are_no_files(bucket: Place, tmp_path: Path) -> None:
    bucket.write("empty/", b"")
    bucket.write("full/", b"")
    bucket.write("full/a", b"1")
    store = bucket.store
    assert store.files() == ["full/a"]
    assert store.exists("empty")
    assert not store.is_file("empty")
    assert store.content("empty") is None
    before = store.content("full")
    bucket.write("full/b/", b"")
    assert store.content("full") == before
    assert store.download(tmp_path / "down") == 1


def test_a_folder_among_many_names_that_begin_like_it(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its name sorts after theirs.
    monkeypatch.setattr(object_backend, "_OTHERS", 5)
    for number in range(10):
        bucket.write(f"data-{number}", b"x")
    bucket.write("data/a", b"1")
    bucket.write("data", b"2")
    assert bucket.store.files("data") == ["data", "data/a"]
    assert bucket.store.exists("data")
    assert bucket.store.content("data") == bucket.store.contents(["data"] * 9)[0]


def test_a_listing_of_many_pages(bucket: Place) -> None:
    names = sorted(f"data/{number}" for number in range(7))
    for name in names:
        bucket.write(name, b"x")
    objects, prefix = bucket.store._opened().objects, bucket.key("")
    assert objects is not None

    async def listed() -> list[list[str]]:
        return [[info.key for info in page] async for page in objects.pages(prefix, 2)]

    pages = objects.run(listed)
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    assert [key for page in pages for key in page] == [prefix + name for name in names]


# --- identity ------------------------------------------------------------------------------------------------------


def test_identity_is_the_content_not_the_place_or_the_time(where: Place, store: Store) -> None:
    for folder in ("one", "two"):
        where.write(f"{folder}/a.csv", b"1")
        where.write(f"{folder}/sub/b.csv", b"2")
    one = store.content("one")
    assert one is not None
    assert one == store.content("two")
    assert (one.files, one.bytes, one.is_file) == (2, 2, False)
    where.write("one/a.csv", b"1")
    assert store.content("one") == one
    where.write("one/a.csv", b"X")
    assert store.content("one") != one
    where.write("two/c.csv", b"3")
    assert store.content("two") != one
    assert store.content("nothing") is None


def test_a_file_and_a_folder_with_that_file_differ(where: Place, store: Store) -> None:
    where.write("a/b", b"1")
    file, folder = store.content("a/b"), store.content("a")
    assert file is not None
    assert folder is not None
    assert file.is_file
    assert file.digest != folder.digest


def test_many_places_at_once_are_what_they_are_one_by_one(where: Place, store: Store) -> None:
    names = ["x", "x/y", "x/y/z", "x!", "x-1/a", "x.csv", "w/1/out/a", "w/1/out/b", "w/2/out/a", "w/20/out/a", "v"]
    for name in names if where.kind in ("s3", "azure", "gcs") else [n for n in names if n not in ("x", "x/y")]:
        where.write(name, name.encode())
    asked = [*names, "w", "w/1", "w/2", "w/20", "w/200", "w/1/out", "nothing", "x/", "", "w/1/out/a/b", "x0"]
    together = store.contents(asked)
    assert together == [store.content(path) for path in asked]
    assert store.contents([path for path in asked if path]) == [store.content(path) for path in asked if path]
    assert store.contents([]) == []
    assert store.contents(["w", "w"]) == [store.content("w")] * 2


def test_what_sftp_reads_has_the_identity_that_it_has_in_a_folder(local: Place, sftp: Place) -> None:
    for made in (local, sftp):
        made.write("d/a", b"1")
        made.write("d/b/c", b"2")
    for path in ("d", "d/a"):
        assert sftp.store.content(path) == local.store.content(path)


def test_sftp_reads_no_more_than_a_limit_to_know_what_is_there(sftp: Place) -> None:
    assert sftp.inside is not None
    with (sftp.inside / "big").open("wb") as file:
        file.truncate(READ_LIMIT_BYTES + 1)
    with pytest.raises(DatastoreError, match=r"'blobs'.*nothing by which a change of 'big' could be seen.*64 MiB"):
        sftp.store.content("big")
    (sftp.inside / "small").write_bytes(b"1")
    assert sftp.store.content("small") is not None


# --- folders of this and of another machine -----------------------------------------------------------------------


@pytest.fixture(params=["local", pytest.param("sftp", marks=pytest.mark.stores)])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with place(request.param, tmp_path, monkeypatch) as made:
        yield made


def test_a_file_and_a_folder_of_one_name(folder: Place, source: Path) -> None:
    store = folder.store
    store.upload_files([source / "a.csv"])
    with pytest.raises((PipelineError, DatastoreError), match=r"'blobs'"):
        store.upload(source, target_path="a.csv/below")
    store.upload(source, target_path="folder/a.csv")
    with pytest.raises((PipelineError, DatastoreError), match=r"'blobs'"):
        store.upload_files([source / "a.csv"], target_path="folder", overwrite=True)
    assert not [name for name in folder.names() if ".aml-part-" in name]


def test_links_are_followed_and_never_for_ever(folder: Place, tmp_path: Path) -> None:
    assert folder.inside is not None
    folder.write("real/a", b"1")
    (folder.inside / "linked").symlink_to(folder.inside / "real")
    (folder.inside / "real/file").symlink_to("a")
    (folder.inside / "real/up").symlink_to("..")
    (folder.inside / "nowhere").symlink_to("gone")
    files = set(folder.store.files()) - {"nowhere"}
    assert {"real/a", "real/file", "linked/a"} <= files
    folder.store.download_path("linked/file", tmp_path / "got")
    assert not (tmp_path / "got").is_symlink()
    assert (tmp_path / "got").read_bytes() == b"1"


def test_readers_see_a_file_whole_or_not_at_all(folder: Place, tmp_path: Path) -> None:
    assert folder.inside is not None
    store, inside = folder.store, folder.inside
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(1 << 20) * 24)
    seen: set[int] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.update((inside / path).stat().st_size for path in store.files())

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(5):
        store.upload_files([big], target_path=str(number), show_progress=False)
    done.set()
    reader.join()
    assert seen <= {big.stat().st_size}


def test_a_broken_upload_leaves_nothing(where: Place, store: Store, source: Path) -> None:
    (source / "a.csv").unlink()
    (source / "a.csv").symlink_to(source / "gone")
    with pytest.raises(OSError, match=r"a\.csv"):
        store.upload(source)
    assert not [name for name in where.names() if name.endswith("a.csv") or ".aml-part-" in name]


def test_linked_folders_are_followed_once(store: Store, source: Path) -> None:
    (source / "sub/up").symlink_to(source)
    assert store.upload(source) == 3


def test_nothing_there_is_said_in_words(where: Place, store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="nothing/here") as caught:
        store.read("nothing/here")
    if where.kind != "local":
        assert isinstance(caught.value, NothingThereError)
        assert str(caught.value).startswith("datastore 'blobs' (")


# --- its URL -------------------------------------------------------------------------------------------------------


def test_a_relative_folder_needs_its_workspace() -> None:
    with pytest.raises(PipelineError, match="relative folder 'data'"):
        store_for(DatastoreConfig(url="data"), "blobs")


def test_file_urls(tmp_path: Path) -> None:
    store = store_for(DatastoreConfig(url=(tmp_path / "a b").as_uri()), "blobs")
    assert store.local_path("x") == tmp_path / "a b/x"


def test_what_is_on_another_machine_has_no_path_here() -> None:
    with pytest.raises(PipelineError, match="datastore 'blobs' is no folder of this machine; download 'a' instead"):
        store_for(DatastoreConfig(url="s3://bucket/x"), "blobs").local_path("a")


def test_naming_a_datastore_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from aml_provider.storage import store_for\n"
        "from aml_provider.workspace.model import DatastoreConfig\n"
        "for url in ('s3://b/x', 'abfs://c@a.dfs.core.windows.net/x', 'gs://b/x', 'sftp://h/x', 'https://h/x'):\n"
        "    store_for(DatastoreConfig(url=url, conn_id='none'), 'blobs')\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    heavy = {"airflow", "fsspec", "s3fs", "botocore", "adlfs", "azure", "gcsfs", "sshfs", "asyncssh", "aiohttp"}
    assert not heavy & set(done.stdout.split())


def test_a_store_shows_no_credentials(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    set_connection(monkeypatch, "my_s3", {"conn_type": "aws", "login": "key-id", "password": "very-secret"})
    store = store_for(DatastoreConfig(url="s3://bucket/x", conn_id="my_s3"), "blobs")
    assert "very-secret" not in repr(store) + repr(vars(store))


def test_a_link_that_leads_to_itself_is_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    store = store_for(DatastoreConfig(url=str(tmp_path / "root")), "blobs")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/good").write_text("good")
    (tmp_path / "root/loop").symlink_to("loop")
    assert store.files() == ["good", "loop"]
    assert [path for _, path in regular_files(str(tmp_path / "root"))] == ["good"]
    with pytest.raises((DatastoreError, OSError), match="loop"):
        store.upload(tmp_path / "root", "copy", show_progress=False)
