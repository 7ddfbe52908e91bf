"""Data is the same when its names and bytes are: wherever, whenever and by whomever it was written."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from aml_provider.spec.errors import PipelineError
from aml_provider.storage.digests import content_of, entries_of, file_digest, file_digests, file_identity, tree_digest
from tests.reuse.machines import as_somebody_else
from tests.storage.machine import forked, just_before, public_folder, working

Tree = dict[bytes, Union[bytes, "Tree"]]
Place = tuple[bytes, ...]

NAMES = st.one_of(
    st.sampled_from([b"a", b"b", b"data.csv", "größe".encode(), b"line\nbreak", b"\xff\xfe", b" ", b"-rf", b"..."]),
    st.binary(min_size=1, max_size=6).filter(lambda name: not set(name) & set(b"/\0") and name not in (b".", b"..")),
)
CONTENTS = st.one_of(st.sampled_from([b"", b"a", b"ab"]), st.binary(max_size=40))


# Named, since Hypothesis parses the file of a lambda to show it, and Python 3.11 cannot always do that where it does.
def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(NAMES, inner, max_size=3)


TREES: st.SearchStrategy[Tree] = st.dictionaries(NAMES, st.recursive(CONTENTS, _nested, max_leaves=8), max_size=4)


def write(tree: Tree, folder: Path, *, backwards: bool = False) -> Path:
    """Put a tree on the disk."""
    folder.mkdir()
    for name, content in reversed(list(tree.items())) if backwards else tree.items():
        place = folder / os.fsdecode(name)
        if isinstance(content, dict):
            write(content, place, backwards=backwards)
        else:
            place.write_bytes(content)
    return folder


def places(tree: Tree, above: Place = ()) -> Iterator[Place]:
    """Everything in a tree, by the names that lead to it."""
    for name, content in tree.items():
        yield (*above, name)
        if isinstance(content, dict):
            yield from places(content, (*above, name))


def changed(tree: Tree, place: Place, change: dict[bytes, Any]) -> Tree:
    """A tree with some names at one place changed; ``None`` takes a name away."""
    if not place:
        return {name: value for name, value in {**tree, **change}.items() if value is not None}
    inner = tree[place[0]]
    assert isinstance(inner, dict)
    return {**tree, place[0]: changed(inner, place[1:], change)}


def at(tree: Tree, place: Place) -> Any:
    found: Any = tree
    for name in place:
        found = found[name]
    return found


@st.composite
def edits(draw: st.DrawFn, tree: Tree) -> Tree:
    """A tree to which somebody did one thing."""
    everything = list(places(tree))
    kinds = ["new file", "new folder"] + ["remove", "rename", "kind", "move", "swap"] * bool(everything)
    files = [place for place in everything if isinstance(at(tree, place), bytes)]
    kind = draw(st.sampled_from(kinds + ["byte", "more", "less"] * bool(files)))
    folders = [(), *(place for place in everything if isinstance(at(tree, place), dict))]
    if kind in ("new file", "new folder"):
        return changed(tree, draw(st.sampled_from(folders)), {draw(NAMES): {} if kind == "new folder" else b""})
    place = draw(st.sampled_from(files if kind in ("byte", "more", "less") else everything))
    above, name, content = place[:-1], place[-1], at(tree, place)
    if kind == "remove":
        return changed(tree, above, {name: None})
    if kind == "rename":
        return changed(tree, above, {name: None, draw(NAMES): content})
    if kind == "kind":
        return changed(tree, above, {name: b"" if isinstance(content, dict) else {}})
    if kind == "move":
        into = draw(st.sampled_from([f for f in folders if f[: len(place)] != place]))
        return changed(changed(tree, above, {name: None}), into, {name: content})
    if kind == "swap":
        other = draw(st.sampled_from([p for p in everything if p[:-1] == above]))[-1]
        return changed(tree, above, {name: at(tree, (*above, other)), other: content})
    if kind == "more":
        return changed(tree, above, {name: content + draw(st.binary(min_size=1, max_size=2))})
    if kind == "less" or not content:
        return changed(tree, above, {name: content[1:]})
    where, by = draw(st.integers(0, len(content) - 1)), draw(st.integers(1, 255))
    return changed(tree, above, {name: content[:where] + bytes([content[where] ^ by]) + content[where + 1 :]})


# --- the same ---------------------------------------------------------------------------------------------------


@given(TREES, st.integers(0, 2**33), st.sampled_from([0o600, 0o755, 0o444]))
def test_place_name_time_owner_and_mode_do_not_count(tree: Tree, seconds: int, mode: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = write(tree, Path(folder, "here"))
        there = write(tree, Path(folder, "another name"), backwards=True)
        before = content_of(here)
        for path in [there, *there.rglob("*")]:
            os.utime(path, (seconds, seconds))
            if path.is_file():
                path.chmod(mode)
            if os.geteuid() == 0:
                os.chown(path, 65534, 65534)
        assert content_of(there) == before


def test_touch_move_copy_and_an_archive_change_nothing(tmp_path: Path) -> None:
    folder = write({b"a.csv": b"1", b"sub": {b"b.csv": b"2", b"empty": {}}, b"\xff": b"3"}, tmp_path / "data")
    before = content_of(folder)
    os.utime(folder / "a.csv")
    assert content_of(folder) == before
    assert content_of(folder.rename(tmp_path / "moved")) == before
    assert content_of(Path(shutil.copytree(tmp_path / "moved", tmp_path / "copy"))) == before
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-C", tmp_path / "copy", "-cf", tmp_path / "data.tar", "."], check=True)
    subprocess.run(["tar", "-C", tmp_path / "unpacked", "-xf", tmp_path / "data.tar"], check=True)
    assert content_of(tmp_path / "unpacked") == before
    assert (before.is_file, before.files, before.bytes) == (False, 3, 3)


def test_a_single_file_is_its_bytes_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"1")
    before = content_of(tmp_path / "a.csv")
    (tmp_path / "a.csv").rename(tmp_path / "b.parquet")
    assert content_of(tmp_path / "b.parquet") == before
    assert (before.is_file, before.files, before.bytes) == (True, 1, 1)
    assert before.digest == file_identity(file_digest(tmp_path / "b.parquet"))


def test_digests_in_records_that_exist_stay_valid(tmp_path: Path) -> None:
    folder = write({b"a.csv": b"1,2\n", b"sub": {b"\xff": b"", b"empty": {}}}, tmp_path / "data")
    (folder / "nowhere").symlink_to("gone")
    (folder / "sub/up").symlink_to("..")
    # Whoever changes what is hashed changes the version in the key contexts too, and then these.
    assert content_of(folder).digest == "066dc83df9fb78c4b0b9289edc3fb4e33579bd42297358ab7efd01e068a671ee"
    assert content_of(folder / "a.csv").digest == "c85a3e1f32ef05087115fd167f545421d0d47bb4aa5c918b53f955c3a8b7b408"


# --- another ----------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.data())
def test_whatever_somebody_does_to_a_tree_is_seen(data: st.DataObject) -> None:
    tree = data.draw(TREES)
    after = data.draw(edits(tree))
    with tempfile.TemporaryDirectory() as folder:
        one, other = content_of(write(tree, Path(folder, "1"))), content_of(write(after, Path(folder, "2")))
    assert (one.digest == other.digest) == (tree == after)


@given(TREES, TREES)
def test_two_trees_have_one_digest_only_when_they_are_equal(one: Tree, other: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        digests = [content_of(write(tree, Path(folder, str(n)))).digest for n, tree in enumerate([one, other])]
    assert (digests[0] == digests[1]) == (one == other)


def test_each_single_byte_counts(tmp_path: Path) -> None:
    content = os.urandom(300)
    file = write({b"sub": {b"data.bin": content}}, tmp_path / "tree") / "sub/data.bin"
    seen = {content_of(tmp_path / "tree").digest}
    for position in range(len(content)):
        file.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        seen.add(content_of(tmp_path / "tree").digest)
    assert len(seen) == 1 + len(content)


def test_trees_that_look_alike_when_strung_together(tmp_path: Path) -> None:
    trees: list[Tree] = [
        {},
        {b"a": {}},
        {b"a": b""},
        {b"a": {b"b": {}}},
        {b"a": {b"b": b""}},
        {b"a": {}, b"b": {}},
        {b"ab": b"c"},
        {b"a": b"bc"},
        {b"a": b"b", b"c": b""},
        {b"a": b"b\nc:"},
        {b"a\n1:b": b""},
    ]
    digests = [content_of(write(tree, tmp_path / str(number))).digest for number, tree in enumerate(trees)]
    assert len(set(digests)) == len(trees)


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=3, unique_by=lambda pair: pair[0]))
def test_pairs_of_names_and_digests_are_kept_apart(pairs: list[tuple[str, str]]) -> None:
    digest = tree_digest(pairs)
    assert tree_digest(reversed(pairs)) == digest
    for number, (name, value) in enumerate(pairs):
        if name:
            shifted = [*pairs[:number], (name[:-1], name[-1] + value), *pairs[number + 1 :]]
            assert tree_digest(shifted) != digest
    assert tree_digest([*pairs, ("another", "")]) != digest


def test_a_file_alone_in_a_folder_is_not_the_file(tmp_path: Path) -> None:
    write({b"a.csv": b"1"}, tmp_path / "data")
    digests = {content_of(tmp_path / "data").digest, content_of(tmp_path / "data/a.csv").digest}
    digests.add(file_digest(tmp_path / "data/a.csv"))
    assert len(digests) == 3


# --- names ------------------------------------------------------------------------------------------------------


def test_what_is_in_a_folder_is_listed_by_name(tmp_path: Path) -> None:
    folder = write(
        {b"b": b"22", "ü".encode(): b"", b"\xff\n": b"1", b"sub": {b"empty": {}, b"x": b"333"}}, tmp_path / "data"
    )
    (folder / "sub/gone").symlink_to("nowhere")
    (folder / "sub/up").symlink_to("..")
    entries = entries_of(folder)
    assert [(entry.relative, entry.size) for entry in entries] == [
        ("b", 2),
        ("sub/empty/", 0),
        ("sub/gone", 0),
        ("sub/up/", 0),
        ("sub/x", 3),
        ("ü", 0),
        ("\udcff\n", 1),
    ]
    assert entries[0].digest == blake3(b"22").hexdigest()
    assert tree_digest((entry.relative, entry.digest) for entry in entries) == content_of(folder).digest
    assert content_of(folder).files == 5


def test_our_own_bookkeeping_is_no_data(tmp_path: Path) -> None:
    folder = write({b"a.csv": b"1", b"sub": {}}, tmp_path / "data")
    before = content_of(folder)
    (folder / ".aml-part-123").write_text("half a file")
    (folder / "sub/.aml-part-456").mkdir()
    (folder / "sub/.aml-part-456/file").write_text("half")
    (folder / ".aml/staging").mkdir(parents=True)
    (folder / ".aml/staging/file").write_text("bookkeeping")
    assert content_of(folder) == before
    # Only the root of a datastore has it: deeper, it is what somebody put there.
    (folder / "sub/.aml").write_text("data")
    assert content_of(folder) != before
    assert content_of(folder, ignore=frozenset({".aml", "sub"})).files == 1


# --- links ------------------------------------------------------------------------------------------------------


def test_links_count_as_what_they_lead_to(tmp_path: Path) -> None:
    copied = write({b"a": b"1", b"b": b"1", b"one": {b"c": b"2"}, b"two": {b"c": b"2"}}, tmp_path / "copied")
    linked = write({b"a": b"1", b"one": {b"c": b"2"}}, tmp_path / "linked")
    (linked / "b").symlink_to("a")
    (linked / "two").symlink_to(linked / "one")
    assert content_of(linked) == content_of(copied)
    (tmp_path / "top").symlink_to("linked")
    assert content_of(tmp_path / "top") == content_of(copied)


def test_a_link_out_of_the_folder_counts_as_what_is_there(tmp_path: Path) -> None:
    outside = write({b"c": b"1"}, tmp_path / "outside")
    folder = write({}, tmp_path / "data")
    (folder / "in").symlink_to(outside)
    before = content_of(folder)
    (outside / "c").write_bytes(b"2")
    assert content_of(folder) != before


def test_a_link_to_nowhere_counts_as_its_text(tmp_path: Path) -> None:
    def identity(number: int, target: str) -> str:
        folder = write({}, tmp_path / str(number))
        (folder / "link").symlink_to(target)
        assert content_of(folder).files == 1
        return content_of(folder).digest

    assert identity(1, "gone") == identity(2, "gone")
    assert identity(3, "gone elsewhere") != identity(8, "gone")
    as_file = content_of(write({b"link": b"gone"}, tmp_path / "file")).digest
    itself, through_a_file = identity(4, "link"), identity(5, "link/below")
    assert len({identity(6, "gone"), as_file, itself, through_a_file, identity(7, "x" * 300)}) == 5


def test_links_back_up_end(tmp_path: Path) -> None:
    def identity(where: Path, link: str, target: str | Path) -> str:
        folder = write({b"a": b"1", b"sub": {b"deep": {b"b": b"2"}}}, where)
        (folder / link).symlink_to(target)
        return content_of(folder).digest

    to_sub = identity(tmp_path / "1", "sub/deep/up", "..")
    to_top = identity(tmp_path / "2", "sub/deep/up", "../..")
    to_itself = identity(tmp_path / "3", "sub/deep/up", ".")
    assert len({to_sub, to_top, to_itself}) == 3
    # However it is written and wherever the folder is.
    assert identity(tmp_path / "4", "sub/deep/up", tmp_path / "4/sub") == to_sub
    (tmp_path / "elsewhere").mkdir()
    assert identity(tmp_path / "elsewhere/5", "sub/deep/up", "../../../5") == to_top


def test_two_folders_that_link_to_each_other(tmp_path: Path) -> None:
    folder = write({b"one": {b"a": b"1"}, b"two": {b"b": b"2"}}, tmp_path / "data")
    (folder / "one/other").symlink_to("../two")
    (folder / "two/other").symlink_to("../one")
    assert [entry.relative for entry in entries_of(folder)] == [
        "one/a",
        "one/other/b",
        "one/other/other/",
        "two/b",
        "two/other/a",
        "two/other/other/",
    ]


def test_a_link_to_where_the_folder_itself_is(tmp_path: Path) -> None:
    write({b"data": {b"a": b"1"}, b"beside": b"2"}, tmp_path / "top")
    (tmp_path / "top/data/out").symlink_to("..")
    assert [entry.relative for entry in entries_of(tmp_path / "top/data")] == ["a", "out/beside", "out/data/"]


def test_up_from_a_link_is_where_the_system_goes(tmp_path: Path) -> None:
    write({b"real": {b"deep": {}, b"f": b"right"}, b"f": b"wrong"}, tmp_path / "top")
    (tmp_path / "top/link").symlink_to("real/deep")
    path = tmp_path / "top/link/../f"
    assert path.read_bytes() == b"right"
    assert file_digest(path) == blake3(b"right").hexdigest()


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write({b"sub": {b"a": b"1"}}, tmp_path / "data")
    monkeypatch.chdir(folder)
    assert content_of(Path()) == content_of(folder)
    assert content_of(Path("sub/..")) == content_of(folder)
    assert content_of(Path("sub/a")) == content_of(folder / "sub/a")


# --- what is no data --------------------------------------------------------------------------------------------


def test_a_pipe_is_refused_with_its_name(tmp_path: Path) -> None:
    folder = write({b"sub": {}}, tmp_path / "data")
    os.mkfifo(folder / "sub/queue")
    says = r"^'.*/data/sub/queue' is a named pipe, where only files can be data; remove it or move it elsewhere\.$"
    for path in (folder, folder / "sub/queue"):
        with pytest.raises(PipelineError, match=says):
            content_of(path)


def test_sockets_and_devices_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write({}, tmp_path / "data")
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(PipelineError, match="/data/socket' is a socket"):
            content_of(folder)
    (folder / "socket").unlink()
    (folder / "null").symlink_to("/dev/null")
    with pytest.raises(PipelineError, match="/data/null' is a device"):
        content_of(folder)
    with pytest.raises(PipelineError, match="^'/dev/null' is a device"):
        content_of(Path("/dev/null"))


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    with pytest.raises(PipelineError, match=f"^'{tmp_path}' is a folder"):
        file_digests([tmp_path / "a", tmp_path])
    with pytest.raises(PipelineError, match=f"^'{tmp_path}/a' is no folder; give the path of a folder.$"):
        entries_of(tmp_path / "a")


@pytest.mark.parametrize("name", ["gone", "a/below", "dangling"])
def test_nothing_is_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "dangling").symlink_to("gone")
    for look in (content_of, entries_of, file_digest):
        with pytest.raises(FileNotFoundError, match=name):
            look(tmp_path / name)


def test_a_link_to_itself_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(PipelineError, match=r"/loop' cannot be read: Too many levels of symbolic links"):
        content_of(tmp_path / "loop")


@pytest.mark.parametrize("closed", ["sub", "sub/b.csv"])
def test_what_may_not_be_read_is_named(closed: str) -> None:
    with public_folder() as above:
        folder = write({b"a.csv": b"1", b"sub": {b"b.csv": b"2"}}, above / "data")
        (folder / closed).chmod(0)
        says = (
            rf"^'.*/data/{closed}' cannot be read: Permission denied; make it readable for this process, or remove it"
        )
        with as_somebody_else(), pytest.raises(PipelineError, match=says):
            content_of(folder)
        (folder / closed).chmod(0o755)


def test_one_file_in_a_closed_folder_is_named() -> None:
    with public_folder() as above:
        folder = write({b"a.csv": b"1"}, above / "data")
        folder.chmod(0)
        with as_somebody_else(), pytest.raises(PipelineError, match=r"/data/a\.csv' cannot be read: Permission denied"):
            content_of(folder / "a.csv")
        folder.chmod(0o755)


def test_odd_names_can_be_printed(tmp_path: Path) -> None:
    os.mkfifo(os.fsencode(tmp_path) + b"/\xff\n")
    with pytest.raises(PipelineError) as caught:
        content_of(tmp_path)
    assert str(caught.value).encode().startswith(repr(f"{tmp_path}/\\xff\n").encode())


# --- what goes away ---------------------------------------------------------------------------------------------


def test_a_file_that_goes_away_meanwhile_is_not_there(tmp_path: Path) -> None:
    folder = write({b"a": b"1", b"b": b"2"}, tmp_path / "data")
    left = content_of(write({b"a": b"1"}, tmp_path / "left"))
    with just_before("open", folder / "b", (folder / "b").unlink):
        assert content_of(folder) == left


def test_a_folder_that_goes_away_meanwhile_is_not_there(tmp_path: Path) -> None:
    folder = write({b"a": b"1", b"sub": {b"b": b"2"}}, tmp_path / "data")
    left = content_of(write({b"a": b"1"}, tmp_path / "left"))
    with just_before("os.scandir", folder / "sub", lambda: shutil.rmtree(folder / "sub")):
        assert content_of(folder) == left


def test_a_folder_that_becomes_a_file_meanwhile(tmp_path: Path) -> None:
    folder = write({b"a": b"1", b"sub": {b"b": b"2"}}, tmp_path / "data")
    after = content_of(write({b"a": b"1", b"sub": b"3"}, tmp_path / "after"))

    def replace() -> None:
        shutil.rmtree(folder / "sub")
        (folder / "sub").write_bytes(b"3")

    with just_before("os.scandir", folder / "sub", replace):
        assert content_of(folder) == after


def test_all_of_it_goes_away_meanwhile(tmp_path: Path) -> None:
    folder = write({b"a": b"1"}, tmp_path / "data")
    with just_before("open", folder / "a", lambda: shutil.rmtree(folder)), pytest.raises(FileNotFoundError):
        content_of(folder)


def test_files_that_go_on_coming_and_going(tmp_path: Path) -> None:
    folder = write({b"a": b"1"}, tmp_path / "data")

    # Gone at each moment when it is to be read, and there whenever the folder is listed.
    with (
        just_before("open", folder / "a", (folder / "a").unlink, times=4),
        just_before("os.scandir", folder, (folder / "a").touch, times=4),
        pytest.raises(PipelineError, match=r"^folder '.*/data' changes while it is read: files go away; wait until"),
    ):
        content_of(folder)


def test_a_pipe_that_takes_a_files_place_makes_nobody_wait(tmp_path: Path) -> None:
    folder = write({b"a": b"1"}, tmp_path / "data")

    def replace() -> None:
        (folder / "a").unlink()
        os.mkfifo(folder / "a")

    def look() -> None:
        with just_before("open", folder / "a", replace), pytest.raises(PipelineError, match="is a named pipe"):
            content_of(folder)

    forked(look)


def test_a_folder_in_which_others_work(tmp_path: Path) -> None:
    folder = write({bytes([n]): b"1" for n in range(97, 123)}, tmp_path / "data")
    several = write({bytes([n]): b"1" for n in range(97, 123)}, folder / "more")

    def disturb() -> None:
        several.rename(tmp_path / "away")
        (tmp_path / "away").rename(several)
        (folder / "a").unlink()
        (folder / "a").write_bytes(b"1")

    seen: list[int] = []
    said: list[str] = []
    with working(disturb):
        while len(seen) + len(said) < 100:
            try:
                seen.append(content_of(folder).files)
            except PipelineError as error:
                said.append(str(error))
    assert set(seen) <= {25, 26, 51, 52}
    assert all("changes while it is read" in message for message in said)
