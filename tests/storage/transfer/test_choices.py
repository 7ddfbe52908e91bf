"""What an author can choose: which files, what happens to those that are there, and what a path stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from aml_provider.storage.transfer import Options, Overwrite, Place, PlaceType, TransferError, Verify, transfer
from tests import stores
from tests.storage.transfer.conftest import Make, Move

FOLDERS = ("local", pytest.param("s3", marks=pytest.mark.stores))


def contents(place: stores.Place, folder: str = "") -> dict[str, bytes]:
    start = f"{folder}/" if folder else ""
    return {name.removeprefix(start): place.read(name) for name in place.names() if name.startswith(start)}


@pytest.fixture
def source(make: Make) -> stores.Place:
    made = make("local")
    for path in ("a.csv", "b.txt", "logs/a.log", "logs/old/b.log", "deep/a.csv", "tmp/x", "tmp/y.csv"):
        made.write(path, path.encode())
    return made


@pytest.fixture
def other(make: Make, tmp_path: Path) -> stores.Place:
    folder = tmp_path / "other"
    return stores.Place("local", str(folder), None, folder)


# --- which files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("include", "exclude", "moved"),
    [
        ((), (), {"a.csv", "b.txt", "logs/a.log", "logs/old/b.log", "deep/a.csv", "tmp/x", "tmp/y.csv"}),
        (("*.csv",), (), {"a.csv", "deep/a.csv", "tmp/y.csv"}),
        (("/*.csv",), (), {"a.csv"}),
        (("*.csv",), ("tmp/",), {"a.csv", "deep/a.csv"}),
        ((), ("logs/**", "tmp"), {"a.csv", "b.txt", "deep/a.csv"}),
        (("logs/",), ("old/",), {"logs/a.log"}),
        (("nothing",), (), set()),
    ],
)
def test_patterns_are_those_of_gitignore(
    source: stores.Place,
    other: stores.Place,
    move: Move,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    moved: set[str],
) -> None:
    summary = move(source, "", other, "", include=include, exclude=exclude)
    assert set(other.names()) == moved
    assert summary.files == len(moved)
    assert summary.notes == ([] if moved else ["no file of the source matches 'nothing'"])


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_mirror_has_what_the_source_has(kind: str, source: stores.Place, make: Make, move: Move) -> None:
    end = make(kind)
    for stale in ("x/stale", "x/logs/stale.log", "x/kept.dat"):
        end.write(stale, b"old")

    summary = move(source, "", end, "x", mirror=True, exclude=("*.dat",))

    # What the patterns leave out is left alone.
    assert set(contents(end, "x")) == {*source.names(), "kept.dat"}
    assert summary.removed == 2


def test_without_mirror_nothing_is_removed(source: stores.Place, other: stores.Place, move: Move) -> None:
    other.write("stale", b"old")
    move(source, "", other, "")
    assert other.read("stale") == b"old"


def test_empty_folders_go_along_where_there_are_such(source: stores.Place, other: stores.Place, move: Move) -> None:
    assert source.inside is not None
    assert other.inside is not None
    (source.inside / "empty/inner").mkdir(parents=True)
    (source.inside / "out").mkdir()

    summary = move(source, "", other, "", exclude=("out/",))

    assert (other.inside / "empty/inner").is_dir()
    assert not (other.inside / "out").exists()
    assert summary.folders == 1


def test_an_empty_folder_is_a_folder_too(other: stores.Place, make: Make, move: Move) -> None:
    source = make("local")
    assert source.inside is not None
    (source.inside / "void").mkdir(parents=True)
    move(source, "void", other, "made/here")
    assert other.inside is not None
    assert list((other.inside / "made/here").iterdir()) == []


@pytest.mark.stores
def test_an_object_store_says_which_folders_it_cannot_keep(source: stores.Place, make: Make, move: Move) -> None:
    assert source.inside is not None
    (source.inside / "void").mkdir()
    summary = move(source, "", make("s3"), "x")
    assert summary.notes == ["1 empty folders, which the destination cannot keep"]


@pytest.mark.stores
def test_who_reads_the_log_learns_of_empty_folders_that_cannot_be_kept(source: stores.Place, make: Make) -> None:
    assert source.inside is not None
    (source.inside / "empty").mkdir()
    said: list[str] = []
    end = make("s3")
    for folder in ("", "empty"):
        transfer(Place(source.store, folder), Place(end.store, "x"), say=said.append)
        assert said[-1].endswith("; left out: 1 empty folders, which the destination cannot keep")


def test_our_own_bookkeeping_and_unfinished_files_are_no_data(
    source: stores.Place, other: stores.Place, move: Move
) -> None:
    source.write(".aml/runs/x", b"record")
    source.write("deep/.aml/x", b"data")
    source.write("deep/.aml-part-123", b"half")
    move(source, "", other, "")
    names = set(other.names())
    assert "deep/.aml/x" in names
    assert not {".aml/runs/x", "deep/.aml-part-123"} & names


# --- what is there already ----------------------------------------------------------------------------------------


@pytest.fixture(params=FOLDERS)
def met(request: pytest.FixtureRequest, make: Make) -> stores.Place:
    """A destination that has one of the files already, and another one of the same name."""
    end = make(request.param)
    end.write("x/a.csv", b"a.csv")
    end.write("x/b.txt", b"other")
    return end


def test_what_is_different_is_replaced(source: stores.Place, met: stores.Place, move: Move) -> None:
    summary = move(source, "", met, "x")
    assert (summary.files, summary.skipped) == (6, 1)
    assert met.read("x/b.txt") == b"b.txt"


def test_everything_is_replaced(source: stores.Place, met: stores.Place, move: Move) -> None:
    summary = move(source, "", met, "x", overwrite=Overwrite.ALWAYS)
    assert (summary.files, summary.skipped) == (7, 0)
    assert met.read("x/b.txt") == b"b.txt"


def test_nothing_is_replaced(source: stores.Place, met: stores.Place, move: Move) -> None:
    summary = move(source, "", met, "x", overwrite=Overwrite.NEVER)
    assert (summary.files, summary.skipped) == (5, 2)
    assert met.read("x/b.txt") == b"other"


def test_a_file_that_must_not_be_replaced_stops_it_before_anything_is_moved(
    source: stores.Place, met: stores.Place, move: Move
) -> None:
    with pytest.raises(TransferError, match=r"has 'b\.txt' already, and overwrite is 'fail'"):
        move(source, "", met, "x", overwrite=Overwrite.FAIL)
    assert set(met.names()) == {"x/a.csv", "x/b.txt"}

    met.write("x/b.txt", b"b.txt")
    summary = move(source, "", met, "x", overwrite=Overwrite.FAIL)
    assert (summary.files, summary.skipped) == (5, 2)
    # A second time all that is there is what this very transfer has moved.
    assert move(source, "", met, "x", overwrite=Overwrite.FAIL).skipped == 7


def test_sizes_alone_can_be_enough(source: stores.Place, other: stores.Place, move: Move) -> None:
    assert move(source, "", other, "", verify=Verify.SIZE).files == 7
    assert contents(other) == contents(source)


def test_a_local_copy_keeps_who_may_run_it(source: stores.Place, other: stores.Place, move: Move) -> None:
    assert source.inside is not None
    assert other.inside is not None
    (source.inside / "a.csv").chmod(0o750)
    move(source, "", other, "")
    assert (other.inside / "a.csv").stat().st_mode & 0o777 == 0o750


# --- what a path stands for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FOLDERS)
@pytest.mark.parametrize(
    ("path", "declared", "lands"),
    [
        ("new", None, "new"),
        ("new/", None, "new/a.csv"),
        ("", None, "a.csv"),
        ("there", None, "there/a.csv"),
        ("new", PlaceType.DIRECTORY, "new/a.csv"),
        ("folder/new.csv", PlaceType.FILE, "folder/new.csv"),
    ],
)
def test_where_one_file_lands(
    kind: str, path: str, declared: PlaceType | None, lands: str, source: stores.Place, make: Make, move: Move
) -> None:
    end = make(kind)
    end.write("there/x", b"")
    move(source, "a.csv", end, path, destination_type=declared)
    assert end.read(lands) == b"a.csv"


@pytest.mark.parametrize("kind", FOLDERS)
@pytest.mark.parametrize(
    ("start", "end", "types", "says"),
    [
        ("nothing", "x", {}, "there is nothing at the source 'nothing' of datastore 'blobs'; upload the data"),
        (
            "a.csv",
            "x",
            {"source_type": PlaceType.DIRECTORY},
            "source 'a.csv' .* is a file where a directory is declared",
        ),
        ("a.csv/", "x", {}, "the source 'a.csv' .* is a file where a directory is declared"),
        ("logs", "x", {"source_type": PlaceType.FILE}, "the source 'logs' .* is a directory where a file is declared"),
        ("logs", "x", {"destination_type": PlaceType.FILE}, "destination 'x' .* is declared to be a file"),
        ("logs", "file", {}, "the destination 'file' .* is a file where a directory is wanted"),
        ("a.csv", "file/", {}, "the destination 'file' .* is a file where a directory is wanted"),
        ("a.csv", "there", {"destination_type": PlaceType.FILE}, "'there' .* is a directory where a file is declared"),
    ],
)
def test_a_file_and_a_folder_are_not_taken_for_each_other(
    kind: str,
    start: str,
    end: str,
    types: dict[str, PlaceType],
    says: str,
    source: stores.Place,
    make: Make,
    move: Move,
) -> None:
    from_there, to = make(kind), make(kind)
    for name in source.names():
        from_there.write(name, source.read(name))
    to.write("file", b"file")
    to.write("there/x", b"x")
    with pytest.raises(TransferError, match=says):
        move(from_there, start, to, end, **types)
    assert contents(to) == {"file": b"file", "there/x": b"x"}


@pytest.mark.stores
def test_in_an_object_store_a_file_and_a_folder_may_have_one_name(make: Make, move: Move, other: stores.Place) -> None:
    source = make("s3")
    source.write("data", b"file")
    source.write("data/a", b"inside")

    move(source, "data", other, "as-file", source_type=PlaceType.FILE)
    move(source, "data", other, "as-folder", source_type=PlaceType.DIRECTORY)
    assert contents(other) == {"as-file": b"file", "as-folder/a": b"inside"}

    with pytest.raises(TransferError, match="'data' is a file and a folder at once, which the destination cannot have"):
        move(source, "", other, "both")
    # Another object store can have it.
    there = make("s3")
    move(source, "", there, "both")
    assert contents(there) == {"both/data": b"file", "both/data/a": b"inside"}


@pytest.mark.parametrize(("start", "end"), [("logs", "logs"), ("logs", "logs/old"), ("logs/old", "logs"), ("", "x")])
def test_a_folder_is_not_moved_into_itself(start: str, end: str, source: stores.Place, move: Move) -> None:
    before = contents(source)
    with pytest.raises(TransferError, match="is inside of the other"):
        move(source, start, source, end)
    assert contents(source) == before


def test_a_file_is_not_moved_onto_itself(source: stores.Place, move: Move) -> None:
    with pytest.raises(TransferError, match=r"'a\.csv' of datastore 'blobs' is both source and destination"):
        move(source, "a.csv", source, "a.csv")
    assert source.read("a.csv") == b"a.csv"


def test_what_it_has_done_is_said(source: stores.Place, other: stores.Place, tmp_path: Path) -> None:
    said: list[str] = []
    options = Options(exclude=("logs/",))
    summary = transfer(Place(source.store), Place(other.store, "x"), options, say=said.append)
    size = sum(len(name) for name in source.names() if not name.startswith("logs"))
    assert summary.as_dict() == {
        "source": "blobs:",
        "destination": "blobs:x",
        "files": 5,
        "bytes": size,
        "skipped": 0,
        "skipped_bytes": 0,
        "resumed_bytes": 0,
        "folders": 0,
        "removed": 0,
        "seconds": summary.seconds,
        "notes": [],
    }
    assert said[0] == f"blobs: -> blobs:x: 0 of 5 files, 0 bytes of {size} bytes, 0 bytes/s"
    assert said[-1].startswith(f"blobs: -> blobs:x: moved 5 files, {size} bytes, in ")


@pytest.mark.parametrize("kind", ["local", pytest.param("sftp", marks=pytest.mark.stores)])
@pytest.mark.parametrize(("start", "end"), [("a.csv", "logs/x"), ("tmp", "logs/x/y")])
def test_what_would_be_below_a_file_is_refused(
    kind: str, start: str, end: str, source: stores.Place, make: Make, move: Move
) -> None:
    to = make(kind)
    to.write("logs", b"file")
    with pytest.raises(TransferError, match=f"'{end}' .*'logs' there is a file, and nothing can be below it; remove"):
        move(source, start, to, end)
    assert to.read("logs") == b"file"
