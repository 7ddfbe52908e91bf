"""What would lead out of the destination, or cannot be kept, is refused in words before anything is moved."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aml_provider.spec.errors import AmlError
from aml_provider.storage import store_for
from aml_provider.storage.faults import DatastoreError
from aml_provider.storage.transfer import Place, TransferError, transfer
from aml_provider.workspace.model import DatastoreConfig
from tests import stores
from tests.storage.transfer.conftest import Make, Move


@pytest.fixture
def source(make: Make) -> Path:
    """A folder with one good file in it."""
    made = make("local")
    made.write("data/good", b"good")
    assert made.inside is not None
    (made.inside / "secret").write_bytes(b"secret")
    return made.inside / "data"


def refused(source: Path, says: str, move: Move, end: stores.Place, **options: object) -> None:
    root = stores.Place("local", str(source.parent), None, source.parent)
    with pytest.raises(TransferError, match=says) as caught:
        move(root, source.name, end, "x", **options)
    assert str(caught.value).startswith("nothing was moved from datastore 'blobs'")
    assert end.names() == []


# --- links and other things ---------------------------------------------------------------------------------------


@pytest.fixture(params=["local", pytest.param("sftp", marks=pytest.mark.stores)])
def linked(request: pytest.FixtureRequest, make: Make) -> Path:
    """The same on this machine and on another host."""
    made = make(request.param)
    made.write("data/good", b"good")
    made.write("secret", b"secret")
    assert made.inside is not None
    return made.inside / "data"


def at(folder: Path, move: Move, make: Make, end: stores.Place, path: str = "x", **options: object) -> object:
    root = stores.Place("local", str(folder.parent), None, folder.parent)
    if "sftp" in str(folder):
        root = stores.Place("sftp", f"sftp://127.0.0.1:5920{folder.parent}", "my_sftp", folder.parent)
    return move(root, folder.name, end, path, **options)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("../secret", "'link' is a link that leads out of the folder"),
        ("/etc/passwd", "'link' is a link that leads out of the folder"),
        ("/etc", "'link' is a link that leads out of the folder"),
        ("nothing", "'link' is a link that leads nowhere"),
        (".", "'link' is a link to a folder above it"),
    ],
)
def test_links_that_lead_elsewhere(
    target: str, says: str, linked: Path, tmp_path: Path, make: Make, move: Move
) -> None:
    (linked / "link").symlink_to(target)
    end = stores.Place("local", str(tmp_path / "end"), None, tmp_path / "end")
    with pytest.raises(TransferError, match=says):
        at(linked, move, make, end)
    assert end.names() == []
    # Left out, it does no harm.
    at(linked, move, make, end, exclude=("link",))
    assert end.names() == ["x/good"]


def test_links_inside_of_the_folder_are_what_they_lead_to(linked: Path, tmp_path: Path, make: Make, move: Move) -> None:
    (linked / "folder").mkdir()
    (linked / "folder/file").write_bytes(b"inner")
    (linked / "to-file").symlink_to("good")
    (linked / "to-folder").symlink_to("folder")
    end = stores.Place("local", str(tmp_path / "end"), None, tmp_path / "end")

    at(linked, move, make, end)

    assert {name: end.read(name) for name in end.names()} == {
        "x/good": b"good",
        "x/to-file": b"good",
        "x/folder/file": b"inner",
        "x/to-folder/file": b"inner",
    }
    assert not any(path.is_symlink() for path in (tmp_path / "end").rglob("*"))


def test_a_link_at_the_destination_leads_nothing_out_of_it(
    linked: Path, tmp_path: Path, make: Make, move: Move
) -> None:
    (tmp_path / "outside").mkdir()
    (linked / "folder").mkdir()
    (linked / "folder/file").write_bytes(b"inner")
    end = tmp_path / "end"
    (end / "x").mkdir(parents=True)
    (end / "x/folder").symlink_to(tmp_path / "outside")
    (end / "x/good").symlink_to(tmp_path / "outside/good")

    with pytest.raises(AmlError):
        at(linked, move, make, stores.Place("local", str(end), None, end))

    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("what", ["pipe", "socket"])
def test_what_has_no_content(what: str, source: Path, tmp_path: Path, move: Move) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        if what == "pipe":
            os.mkfifo(source / "odd")
        else:
            here = os.getcwd()
            os.chdir(source)  # the path of a socket must be short
            try:
                listening.bind("odd")
            finally:
                os.chdir(here)
        end = stores.Place("local", str(tmp_path / "end"), None, tmp_path / "end")
        refused(source, f"'odd' is a (named )?{what}, and only files can be moved", move, end)


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.stores
@pytest.mark.parametrize("kind", ["local", "sftp"])
def test_a_name_that_is_too_long_for_a_folder(kind: str, make: Make, move: Move) -> None:
    source, end = make("s3"), make(kind)
    source.write("data/good", b"good")
    source.write("data/" + "n" * 300, b"x")
    with pytest.raises(
        TransferError, match=f"'{'n' * 300}' is too long: it has a name of 300 bytes, and the destination takes 255"
    ):
        move(source, "data", end, "x")
    assert end.names() == []


@pytest.mark.stores
@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_long_names_between_object_stores_are_kept(kind: str, make: Make, move: Move) -> None:
    source, end = make("s3"), make(kind)
    source.write("n" * 300, b"x")
    move(source, "", end, "x")
    assert end.read("x/" + "n" * 300) == b"x"


@pytest.mark.stores
@pytest.mark.parametrize(("kind", "unit"), [("s3", "bytes"), ("azure", "characters")])
def test_a_path_that_is_too_long_for_an_object_store(
    kind: str, unit: str, source: Path, make: Make, move: Move
) -> None:
    deep = source / "/".join(["d" * 200] * 6)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x")
    refused(source, rf"is too long: its key would have \d+ {unit}, and the store takes 1024", move, make(kind))


@pytest.mark.stores
@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_a_name_that_is_no_text(kind: str, source: Path, make: Make, move: Move) -> None:
    (source / os.fsdecode(b"latin-\xe9")).write_bytes(b"x")
    refused(source, "is no valid UTF-8, which the store cannot keep", move, make(kind))


@pytest.mark.stores
def test_a_name_that_is_no_text_is_kept_where_names_are_bytes(source: Path, make: Make, move: Move) -> None:
    name = os.fsdecode(b"latin-\xe9\n")
    (source / name).write_bytes(b"x")
    end = make("sftp")
    move(stores.Place("local", str(source), None, source), "", end, "x")
    assert end.read(f"x/{name}") == b"x"


@pytest.mark.stores
@pytest.mark.parametrize("name", stores.ODD)
@pytest.mark.parametrize("kind", ["sftp", "s3", "azure", "gcs"])
def test_an_odd_name_comes_back_as_it_was_or_is_refused(
    kind: str, name: str, source: Path, make: Make, move: Move, tmp_path: Path
) -> None:
    """Azure makes a slash of a backslash: two files would become one."""
    (source / name).write_bytes(b"odd")
    end = make(kind)
    if name in stores.REFUSED[kind]:
        if (kind, name) != ("s3", "two\nlines"):  # what only the test-bed refuses is not known before
            refused(source, f"{re.escape(repr(name))} (is|holds|has|looks)", move, end)
        return
    root = stores.Place("local", str(source.parent), None, source.parent)
    move(root, source.name, end, "x")
    move(end, "x", stores.Place("local", str(tmp_path / "back"), None, tmp_path / "back"), "x")
    found = {path.name: path.read_bytes() for path in (tmp_path / "back/x").iterdir()}
    assert found == {name: b"odd", "good": b"good"}


ENDINGS = {
    "cr": b"x\r",
    "crlf": b"x\r\n",
    "lf": b"x\n",
    "edge": b"x\n--==0==--",
    "edge-cr": b"x\r\n--==0==--\r",
    "empty": b"",
}


@pytest.mark.stores
@pytest.mark.parametrize("how", ["transfer", "upload"])
@pytest.mark.parametrize("kind", ["sftp", "s3", "azure", "gcs"])
def test_a_content_that_ends_as_the_parts_of_a_message_do(
    kind: str, how: str, tmp_path: Path, make: Make, move: Move
) -> None:
    """A client that puts a file and its description into one message may lose the carriage return at a file's end."""
    source, end = make("local"), make(kind)
    for name, content in ENDINGS.items():
        source.write(f"x/{name}", content)
    if how == "transfer":
        move(source, "x", end, "x")
    else:
        assert source.inside is not None
        end.store.upload(source.inside / "x", "x", show_progress=False)
    assert {name: end.read(f"x/{name}") for name in ENDINGS} == ENDINGS


def test_a_web_server_is_no_destination_and_no_other_datastore_is_blamed(source: Path, move: Move) -> None:
    root = stores.Place("local", str(source.parent), None, source.parent)
    with pytest.raises(TransferError) as caught:
        move(root, "data", stores.Place("web", "http://127.0.0.1:9/", None), "x")
    assert str(caught.value) == (
        "the destination datastore 'blobs' (http://127.0.0.1:9/) is a web server, which can only be read; "
        "use another datastore."
    )
    assert not caught.value.again


@pytest.mark.stores
def test_what_a_store_says_of_itself_stays_as_it_is(source: Path, make: Make, move: Move) -> None:
    """Not put behind the name of the other datastore, nor tried again when that is of no use."""
    end = make("s3")
    root = stores.Place("local", str(source.parent), None, source.parent)
    gone = stores.Place("s3", f"{end.url.rpartition('/')[0]}-gone/x", end.conn_id)
    with pytest.raises(DatastoreError, match="does not exist; create it") as caught:
        move(root, "data", gone, "x")
    assert str(caught.value).count("datastore ") == 1


@pytest.mark.stores
@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/absolute", "a//b", "./a"])
def test_a_key_that_would_lead_out_of_a_folder(key: str, make: Make, move: Move, tmp_path: Path) -> None:
    source = make("s3")
    source.write(f"data/{key}", b"x")
    end = stores.Place("local", str(tmp_path / "up/end"), None, tmp_path / "up/end")
    with pytest.raises(AmlError, match="no file can be called so"):
        move(source, "data", end, "x")
    assert not (tmp_path / "up").exists() or [p for p in (tmp_path / "up").rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "C:\\x"])
def test_a_destination_outside_of_its_datastore(path: str, source: Path, tmp_path: Path, move: Move) -> None:
    end = stores.Place("local", str(tmp_path / "end"), None, tmp_path / "end")
    with pytest.raises(AmlError, match="leads out of the datastore|is absolute"):
        move(stores.Place("local", str(source), None, source), "", end, path)


PARTS = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=40).filter(
    lambda part: part not in (".", "..", ".aml") and not part.startswith(".aml-part-") and len(part.encode()) <= 255
)
TREES = st.dictionaries(st.lists(PARTS, min_size=1, max_size=3).map("/".join), st.binary(max_size=300), max_size=8)


@settings(max_examples=60)
@given(tree=TREES)
def test_any_tree_arrives_as_it_was(tree: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("any")
    wanted = {}
    for path, data in tree.items():
        file = root / "from" / path
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        except OSError:  # a file of that name is where a folder would be, or the other way round
            continue
        wanted[path] = data
    (root / "from").mkdir(exist_ok=True)
    store = store_for(DatastoreConfig(url=str(root)), "any")

    transfer(Place(store, "from"), Place(store, "to"), say=lambda _: None)

    found = {p.relative_to(root / "to").as_posix(): p.read_bytes() for p in (root / "to").rglob("*") if p.is_file()}
    assert found == wanted
