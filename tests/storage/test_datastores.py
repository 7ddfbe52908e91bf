"""Datastores do what v1 datastores do, on a folder."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from aml_provider.spec.errors import PipelineError
from aml_provider.storage import Store, store_for
from aml_provider.workspace.model import DatastoreConfig


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store root"


@pytest.fixture
def store(root: Path) -> Store:
    return store_for(DatastoreConfig(url=str(root)), "blobs")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    for name, text in {"a.csv": "1", "sub/b.csv": "2", "sub/deep/ü c.csv": "3"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_folder_goes_up_and_comes_down_whole(store: Store, root: Path, source: Path, tmp_path: Path) -> None:
    assert store.upload(source, target_path="in/data/") == 3
    assert (root / "in/data/sub/deep/ü c.csv").read_text() == "3"
    assert store.files() == ["in/data/a.csv", "in/data/sub/b.csv", "in/data/sub/deep/ü c.csv"]
    assert store.exists("in/data")
    assert not store.is_file("in/data")
    assert store.is_file("in/data/a.csv")
    assert not store.exists("elsewhere")

    # As in v1 the path in the datastore is kept below the target.
    assert store.download(tmp_path / "down", prefix="in/data/sub") == 2
    assert (tmp_path / "down/in/data/sub/b.csv").read_text() == "2"
    assert not (tmp_path / "down/in/data/a.csv").exists()


def test_what_is_there_is_kept_unless_overwrite(store: Store, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.upload(source)
    (source / "a.csv").write_text("new")
    assert store.upload(source) == 0
    assert "Target already exists. Skipping upload for a.csv" in capsys.readouterr().out
    assert store.local_path("a.csv").read_text() == "1"
    assert store.upload(source, overwrite=True, show_progress=False) == 3
    assert capsys.readouterr().out == ""
    assert store.local_path("a.csv").read_text() == "new"


def test_download_keeps_what_is_there_unless_overwrite(store: Store, source: Path, tmp_path: Path) -> None:
    store.upload(source)
    target = tmp_path / "down"
    assert store.download(target) == 3
    (target / "a.csv").write_text("mine")
    assert store.download(target) == 0
    assert (target / "a.csv").read_text() == "mine"
    assert store.download(target, overwrite=True) == 3
    assert (target / "a.csv").read_text() == "1"


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


def test_a_file_and_a_folder_of_one_name(store: Store, source: Path) -> None:
    store.upload_files([source / "a.csv"])
    with pytest.raises(PipelineError, match="is a file there"):
        store.upload(source, target_path="a.csv/below")
    store.upload(source, target_path="folder/a.csv")
    with pytest.raises(PipelineError, match="is a folder there"):
        store.upload_files([source / "a.csv"], target_path="folder", overwrite=True)
    assert not [name for _, _, names in os.walk(store.local_path()) for name in names if name.startswith(".aml-part-")]


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


def test_a_file_being_written_is_no_data(store: Store, source: Path, root: Path) -> None:
    store.upload(source)
    (root / ".aml-part-123").write_text("half")
    assert store.glob("*") == ["a.csv"]
    assert store.glob("**") == store.files() == ["a.csv", "sub/b.csv", "sub/deep/ü c.csv"]


def test_readers_see_a_file_whole_or_not_at_all(store: Store, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(1 << 20) * 24)
    seen: set[int] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.update(store.local_path(path).stat().st_size for path in store.files())

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(5):
        store.upload_files([big], target_path=str(number), show_progress=False)
    done.set()
    reader.join()
    assert seen <= {big.stat().st_size}


def test_a_broken_upload_leaves_nothing(store: Store, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / "a.csv").chmod(0)
    if os.access(source / "a.csv", os.R_OK):  # root reads everything: break the source in another way
        (source / "a.csv").unlink()
        (source / "a.csv").symlink_to(source / "gone")
    with pytest.raises(OSError, match=r"a\.csv"):
        store.upload(source)
    assert store.files() == []
    assert list(store.local_path().rglob(".aml-part-*")) == []


def test_linked_folders_are_followed_once(store: Store, source: Path) -> None:
    (source / "sub/up").symlink_to(source)
    assert store.upload(source) == 3


def test_single_folder_to_a_place(store: Store, source: Path, tmp_path: Path) -> None:
    store.upload(source, "x/y")
    assert store.download_path("x/y/sub", tmp_path / "t") == 2
    assert (tmp_path / "t/deep/ü c.csv").read_text() == "3"
    assert store.download_path("x/y/a.csv", tmp_path / "single.csv") == 1
    assert (tmp_path / "single.csv").read_text() == "1"
    assert store.download_path("nothing", tmp_path / "n") == 0


def test_a_relative_folder_needs_its_workspace() -> None:
    with pytest.raises(PipelineError, match="relative folder 'data'"):
        store_for(DatastoreConfig(url="data"), "blobs")


def test_file_urls(tmp_path: Path) -> None:
    store = store_for(DatastoreConfig(url=(tmp_path / "a b").as_uri()), "blobs")
    assert store.local_path("x") == tmp_path / "a b/x"
