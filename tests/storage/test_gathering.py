"""Files of several places, or of a pattern, under the names that a step finds them by."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import DataLocation
from aml_provider.storage import Store, store_for
from aml_provider.storage.gathering import files_at, gathered, is_single, units
from aml_provider.workspace.model import DatastoreConfig

FILES = ["raw/2020/a.csv", "raw/2020/deep/b.csv", "raw/2021/a.csv", "raw/notes.txt", "run [1]/x.csv", "top.csv"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return filled(tmp_path)


def filled(root: Path) -> Store:
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return store_for(DatastoreConfig(url=str(root)), "blobs")


def single(*paths: str) -> bool:
    return is_single([DataLocation(datastore="blobs", path=path) for path in paths])


def test_one_place_is_used_where_it_is() -> None:
    assert single("raw/2020")
    assert single("")
    assert not single("raw/*")
    assert not single("raw/202?/a.csv")
    assert not single("raw/2020", "raw/2021")
    assert not single()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("raw/*/*.csv", {"raw/2020/a.csv": "2020/a.csv", "raw/2021/a.csv": "2021/a.csv"}),
        ("raw/2020/*.csv", {"raw/2020/a.csv": "a.csv"}),
        ("raw/2020/**", {"raw/2020/a.csv": "a.csv", "raw/2020/deep/b.csv": "deep/b.csv"}),
        ("raw/*/a.csv", {"raw/2020/a.csv": "2020/a.csv", "raw/2021/a.csv": "2021/a.csv"}),
        ("*.csv", {"top.csv": "top.csv"}),
        ("**/b.csv", {"raw/2020/deep/b.csv": "raw/2020/deep/b.csv"}),
        ("raw/2020", {"raw/2020": "2020"}),
        ("raw/2020/a.csv", {"raw/2020/a.csv": "a.csv"}),
        ("top.csv", {"top.csv": "top.csv"}),
        ("nothing/*.csv", {}),
        ("nothing", {}),
    ],
)
def test_what_a_place_or_a_pattern_means(store: Store, path: str, found: dict[str, str]) -> None:
    assert dict(gathered(store, path)) == found


def test_brackets_are_only_characters(store: Store) -> None:
    # As in every other pattern of a datastore.
    assert single("run [1]")
    assert gathered(store, "run [1]") == [("run [1]", "run [1]")]
    assert gathered(store, "run [1]/*") == [("run [1]/x.csv", "x.csv")]


@pytest.mark.parametrize(
    "written", ["./raw/2020/*.csv", "raw\\2020\\*.csv", "raw/2021/../2020/*.csv", "raw//2020/*.csv"]
)
def test_each_spelling_of_a_pattern_means_the_same(store: Store, written: str) -> None:
    assert gathered(store, written) == [("raw/2020/a.csv", "a.csv")]


def test_a_path_out_of_the_datastore_is_refused(store: Store) -> None:
    for path in ("../other/*.csv", "/raw/*"):
        with pytest.raises(PipelineError, match="datastore 'blobs'"):
            gathered(store, path)


def test_what_is_no_data_is_not_gathered(store: Store, tmp_path: Path) -> None:
    (tmp_path / "raw/2020/.aml-part-1").write_text("half")
    (tmp_path / "raw/2020/dangling.csv").symlink_to("gone")
    assert gathered(store, "raw/2020/*") == [("raw/2020/a.csv", "a.csv")]


@given(st.lists(st.sampled_from(["raw", "2020", "deep", "*", "**", "?*", "*.csv", "a.csv", "202?"]), max_size=4))
def test_each_file_is_found_once_under_its_own_name(
    tmp_path_factory: pytest.TempPathFactory, pattern: list[str]
) -> None:
    found = gathered(filled(tmp_path_factory.getbasetemp() / "gathered"), "/".join(pattern))
    assert len({path for path, _ in found}) == len({inner for _, inner in found}) == len(found)
    for path, inner in found:
        above = path.removesuffix(inner)
        assert above + inner == path
        assert not inner.startswith("/")
        assert "/".join(pattern).startswith(above.rstrip("/"))


def test_a_name_with_a_backslash_is_not_taken_for_another_files(store: Store, tmp_path: Path) -> None:
    (tmp_path / "raw" / "2020\\a.csv").write_text("another one")
    for places in (["raw/*.csv"], ["raw", "top.csv"]):
        locations = [DataLocation(datastore="blobs", path=path) for path in places]
        with pytest.raises(
            PipelineError, match=r"'raw/2020\\\\a\.csv' in datastore 'blobs' has a backslash in its name"
        ):
            files_at(lambda _: store, locations)
    with pytest.raises(PipelineError, match="rename it, or use the folder as it is"):
        gathered(store, "raw/*.csv")
    assert gathered(store, "raw") == [("raw", "raw")]


PATTERNS = ("raw/2020/*.csv", "raw/2020/a.csv", "raw/*/*.csv", "raw/2020", "raw", "*.csv", "top.csv", "**/b.csv")


@given(st.lists(st.sampled_from(PATTERNS), min_size=2, max_size=4))
def test_what_is_told_of_the_files_is_where_they_are_gathered(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str]
) -> None:
    store = filled(tmp_path_factory.getbasetemp() / "told")
    locations = [DataLocation(datastore="blobs", path=path) for path in paths]
    gathered_there = {path: {inner for _, p, inner in units(lambda _: store, locations) if p == path} for path in FILES}
    folders = [(path, inner) for _, path, inner in units(lambda _: store, locations) if path not in FILES]
    for path, inner in folders:
        for file in FILES:
            if file.startswith(f"{path}/"):
                gathered_there[file].add(inner + file[len(path) :])
    for file in files_at(lambda _: store, locations):
        assert file.name in gathered_there[file.item.path]
