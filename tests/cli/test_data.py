"""``aml data``: looking into datastores, bringing data there, back and across, and naming it as a dataset."""

from __future__ import annotations

import functools
import json
import os
import pty
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.conftest import AML, Aml, make_project, run_aml
from tests.stores import Place, place, set_connection

WORKSPACE = """\
name: lab
datastores:
  raw: {{url: data/raw}}
  web: {{url: "http://127.0.0.1:9/"}}
{more}
"""
FILES = {
    "titanic/train.csv": "id,age\n1,20\n",
    "titanic/test.csv": "id,age\n2,30\n",
    "titanic/notes.txt": "notes\n",
    "titanic/more/odd [1] #x.csv": "id,age\n3,40\n",
    "top.csv": "id,age\n",
}


def make(folder: Path, more: str = "") -> Path:
    """A project with data in ``raw``."""
    project = make_project(folder / "project", WORKSPACE.format(more=more))
    for name, text in FILES.items():
        file = project / "data/raw" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return project


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A project with data in its datastore ``raw``."""
    return make(tmp_path)


def names(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


# --- ls ---------------------------------------------------------------------------------------------------------


def test_ls_shows_empty_folders_too(there: Path, aml: Aml) -> None:
    for folder in ("empty/inner", "titanic/none"):
        (there / "data/raw" / folder).mkdir(parents=True)
    assert aml(there, "data", "ls", "raw:").out.splitlines() == ["empty/", "titanic/", "top.csv"]
    assert aml(there, "data", "ls", "raw:empty").out == "empty/inner/\n"
    assert aml(there, "data", "ls", "raw:empty/inner").out == ""
    assert aml(there, "data", "ls", "-r", "raw:").out.splitlines() == sorted(
        [*FILES, "empty/", "empty/inner/", "titanic/none/"]
    )
    (told,) = json.loads(aml(there, "data", "ls", "--json", "raw:empty").out)
    assert told == {"path": "empty/inner", "type": "folder", "bytes": 0, "modified": None, "files": 0}


def test_nothing_but_json_is_printed_whatever_a_library_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with place("gcs", tmp_path, monkeypatch) as far:
        far.write("a.csv", b"id\n1\n")
        project = make_project(
            tmp_path / "project",
            f"name: lab\ndatastores:\n  far: {{url: {json.dumps(far.url)}, conn_id: {far.conn_id}}}\n",
        )
        said = run_aml(project, "data", "ls", "--json", "far:", AIRFLOW__LOGGING__LOGGING_LEVEL="INFO")
    assert (said.code, said.err) == (0, "")
    assert [row["path"] for row in json.loads(said.out)] == ["a.csv"]


def test_a_path_of_this_machine_is_told_as_it_is_written(there: Path, aml: Aml) -> None:
    said = aml(there, "data", "cp", str(there / "none.csv"), "raw:x.csv")
    assert said.code == 1
    assert f"{str(there / 'none.csv')!r}" in said.err


def test_ls_shows_datastores_folders_and_files(there: Path, aml: Aml) -> None:
    said = aml(there, "data", "ls")
    assert [line.split()[0] for line in said.out.splitlines()[1:]] == [
        "workspaceblobstore",
        "workspacefilestore",
        "raw",
        "web",
    ]
    assert aml(there, "data", "ls", "raw:").out.split() == ["titanic/", "top.csv"]
    assert aml(there, "data", "ls", "raw:titanic/").out.splitlines() == [
        "titanic/more/",
        "titanic/notes.txt",
        "titanic/test.csv",
        "titanic/train.csv",
    ]
    assert aml(there, "data", "ls", "-r", "raw:titanic/more").out.splitlines() == ["titanic/more/odd [1] #x.csv"]
    long = aml(there, "data", "ls", "-l", "raw:").out.splitlines()
    assert long[1].startswith("42 B in 4 ")
    # Nothing has been put there yet, which is no mistake.
    assert aml(there, "data", "ls", "workspaceblobstore:").code == 0


def test_ls_for_programs(there: Path, aml: Aml) -> None:
    found = json.loads(aml(there, "data", "ls", "raw:", "--json").out)
    assert [(row["path"], row["type"], row["bytes"]) for row in found] == [
        ("titanic", "folder", 42),
        ("top.csv", "file", 7),
    ]
    assert found[0]["files"] == 4
    assert found[1]["modified"].endswith("+00:00")
    stores = json.loads(aml(there, "data", "ls", "--json").out)
    assert {row["name"] for row in stores if row["default"]} == {"workspaceblobstore"}


def test_ls_of_a_pattern(there: Path, aml: Aml) -> None:
    assert aml(there, "data", "ls", "raw:titanic/t*.csv").out.split() == ["titanic/test.csv", "titanic/train.csv"]
    assert aml(there, "data", "ls", "raw:tit*").out.split() == ["titanic/"]
    assert len(aml(there, "data", "ls", "-r", "raw:tit*").out.splitlines()) == 4
    assert len(aml(there, "data", "ls", "raw:**/*.csv").out.splitlines()) == 4


def test_ls_hides_what_runs_keep(there: Path, aml: Aml) -> None:
    (there / "data/raw/.aml/runs").mkdir(parents=True)
    (there / "data/raw/.aml/runs/x.json").write_text("{}")
    assert aml(there, "data", "ls", "raw:").out.split() == ["titanic/", "top.csv"]
    assert aml(there, "data", "ls", "-r", "raw:.aml").out.split() == [".aml/runs/x.json"]


# --- cp and upload ----------------------------------------------------------------------------------------------


def test_cp_of_a_file_a_folder_and_a_pattern(there: Path, aml: Aml) -> None:
    assert aml(there, "data", "cp", "raw:top.csv", "here.csv").code == 0
    assert (there / "here.csv").read_text() == "id,age\n"
    assert aml(there, "data", "cp", "-r", "raw:titanic", "workspaceblobstore:copy").code == 0
    store = there / ".aml/datastores/workspaceblobstore"
    assert names(store / "copy") == ["more/odd [1] #x.csv", "notes.txt", "test.csv", "train.csv"]
    assert aml(there, "data", "cp", "raw:titanic/*.csv", "flat/").code == 0
    assert names(there / "flat") == ["test.csv", "train.csv"]
    assert aml(there, "data", "cp", "raw:titanic/more/odd [1] #?.csv", "odd").code == 0
    assert names(there / "odd") == ["odd [1] #x.csv"]
    assert aml(there, "data", "cp", "raw:t*/*", "level").code == 0
    assert names(there / "level") == ["titanic/notes.txt", "titanic/test.csv", "titanic/train.csv"]
    assert aml(there, "data", "cp", "-r", "raw:tit*", "whole", "--exclude", "*.txt").code == 0
    assert names(there / "whole") == ["titanic/more/odd [1] #x.csv", "titanic/test.csv", "titanic/train.csv"]


def test_cp_of_a_file_whose_name_looks_like_a_pattern(there: Path, aml: Aml) -> None:
    (there / "data/raw/why?.txt").write_text("because")
    assert aml(there, "data", "cp", "raw:why?.txt", "answer.txt").code == 0
    assert (there / "answer.txt").read_text() == "because"


def test_cp_again_moves_nothing_and_minds_what_is_there(there: Path, aml: Aml) -> None:
    aml(there, "data", "cp", "-r", "raw:titanic", "out")
    again = aml(there, "data", "cp", "-r", "raw:titanic", "out", "--json")
    summary = json.loads(again.out)
    assert (summary["files"], summary["skipped"]) == (0, 4)
    (there / "out/train.csv").write_text("mine")
    refused = aml(there, "data", "cp", "-r", "raw:titanic", "out", "--overwrite", "fail")
    assert refused.code == 1
    assert "'train.csv' already" in refused.err
    assert aml(there, "data", "cp", "-r", "raw:titanic", "out", "--overwrite", "never").code == 0
    assert (there / "out/train.csv").read_text() == "mine"
    assert aml(there, "data", "cp", "-r", "raw:titanic", "out").code == 0
    assert (there / "out/train.csv").read_text() == FILES["titanic/train.csv"]


def test_upload_of_files_and_folders(there: Path, aml: Aml) -> None:
    said = aml(there, "data", "upload", "src", "workspace.yaml", "raw:code", "--include", "*.yaml", "--include", "f*")
    assert said.code == 0, said.err
    assert names(there / "data/raw/code") == ["fine.py", "workspace.yaml"]
    assert said.out.splitlines()[0].startswith(f"{there}/src -> raw:code/: 0 of 1 files")
    (there / "a:b").mkdir()
    (there / "a:b/x").write_text("x")
    assert aml(there, "data", "upload", "./a:b", "raw:").code == 0
    assert (there / "data/raw/x").read_text() == "x"


def test_a_table_is_filled_from_a_file_and_back(there: Path, aml: Aml) -> None:
    text = (there / "workspace.yaml").read_text()
    (there / "workspace.yaml").write_text(text.replace("raw:", f'db: {{url: "sqlite:///{there}/some.db"}}\n  raw:', 1))
    (there / "some.db").touch()
    said = aml(there, "data", "cp", "raw:titanic/train.csv", "db:people")
    assert said.code == 0, said.err
    assert aml(there, "data", "cp", "raw:titanic/test.csv", "db:people", "--overwrite", "append").code == 0
    assert aml(there, "data", "cp", "db:people", "raw:people.csv").code == 0
    assert (there / "data/raw/people.csv").read_text().split()[1:] == ["1,20", "2,30"]
    assert aml(there, "data", "cp", "raw:titanic/*.csv", "db:all").code == 0
    assert aml(there, "data", "cp", "db:all", "raw:all.csv").code == 0
    assert (there / "data/raw/all.csv").read_text().split()[1:] == ["2,30", "1,20"]
    refused = aml(there, "data", "ls", "db:")
    assert (refused.code, refused.is_plain()) == (1, True)
    assert "is a database, which has tables and no files" in refused.err


@pytest.mark.stores
@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_another_machine_and_back(tmp_path: Path, aml: Aml, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with place(kind, tmp_path, monkeypatch) as blobs:
        project = make(tmp_path, f'  blobs: {{url: "{blobs.url}", conn_id: {blobs.conn_id}}}')
        assert aml(project, "data", "cp", "-r", "raw:titanic", "blobs:t").code == 0
        assert blobs.names() == ["t/more/odd [1] #x.csv", "t/notes.txt", "t/test.csv", "t/train.csv"]
        assert aml(project, "data", "ls", "blobs:t").out.splitlines()[0] == "t/more/"
        assert aml(project, "data", "cp", "blobs:t/*.csv", "back").code == 0
        assert names(project / "back") == ["test.csv", "train.csv"]
        _wrong_credentials(project, aml, monkeypatch, blobs)


def _wrong_credentials(project: Path, aml: Aml, monkeypatch: pytest.MonkeyPatch, blobs: Place) -> None:
    assert blobs.conn_id is not None
    monkeypatch.delenv(f"AIRFLOW_CONN_{blobs.conn_id.upper()}")
    said = aml(project, "data", "ls", "blobs:")
    assert said.code == 1
    assert f"Airflow connection '{blobs.conn_id}', which does not exist" in said.err
    if blobs.kind == "azure":
        set_connection(
            monkeypatch,
            blobs.conn_id,
            {
                "conn_type": "wasb",
                "login": "devstoreaccount1",
                "password": "bm90IHRoaXM=",
                "extra": {"endpoint_url": "http://127.0.0.1:5910/devstoreaccount1"},
            },
        )
        said = aml(project, "data", "cp", "blobs:t/test.csv", "x.csv")
        assert (said.code, said.is_plain()) == (1, True)
        assert f"does not take the credentials of Airflow connection '{blobs.conn_id}'" in said.err
        assert "bm90IHRoaXM" not in said.err
        assert not (project / "x.csv").exists()


def test_a_terminal_gets_a_bar_and_a_line(there: Path) -> None:
    screen, end = pty.openpty()
    done = subprocess.Popen(
        [str(AML), "data", "cp", "-r", "raw:titanic", "workspaceblobstore:copy"],
        cwd=there,
        stdout=end,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(end)
    shown = b""
    while True:
        try:
            piece = os.read(screen, 4096)
        except OSError:  # what Linux says at the end of a terminal
            break
        if not piece:
            break
        shown += piece
    os.close(screen)
    assert done.wait() == 0
    text = shown.decode()
    assert "files" in text
    assert "━" in text
    assert "moved 4 files, 42 bytes" in text.splitlines()[-1]


# --- register ---------------------------------------------------------------------------------------------------


def test_register_makes_a_version_or_finds_it(there: Path, aml: Aml) -> None:
    command = ("data", "register", "titanic", "raw:titanic/t*.csv", "--type", "delimited")
    assert aml(there, *command, "--tag", "from=kaggle").out == "titanic: version 1\n"
    assert aml(there, *command).out == "titanic: version 1, registered before\n"
    (there / "data/raw/titanic/train.csv").write_text("id,age\n9,9\n")
    changed = aml(there, *command)
    assert changed.out == "titanic: version 1, registered before\n"
    assert "the data of 'titanic' is not what was registered as version 1; pass --new-version" in changed.err
    assert json.loads(aml(there, *command, "--new-version", "--json").out) == {
        "name": "titanic",
        "version": 2,
        "new": True,
    }
    other = aml(there, "data", "register", "titanic", "raw:top.csv")
    assert (other.code, other.out) == (1, "")
    assert "'titanic' is registered with other content; pass --new-version" in other.err
    code = (
        "from azureml.core import Dataset, Workspace\n"
        "d = Dataset.get_by_name(Workspace.from_config(), 'titanic', version=1)\nprint(d.tags, d.to_pandas_dataframe())"
    )
    read = subprocess.run([str(AML.with_name("python")), "-c", code], cwd=there, capture_output=True, text=True)
    assert "kaggle" in read.stdout
    assert "30" in read.stdout, read.stderr


# --- what is wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ls", "nope:"), "unknown datastore 'nope'; workspace 'lab' "),
        (("ls", "raw:none/x"), "there is nothing at 'none/x' in datastore 'raw'; `aml data ls raw:none` lists"),
        (("ls", "raw:top.csv/"), "'top.csv' in datastore 'raw' is a file, not a folder"),
        (("ls", "raw:*.parquet"), "nothing in datastore 'raw' matches '*.parquet'"),
        (("ls", "raw:../x"), "leads out of the datastore"),
        (("ls", "raw:/etc"), "is absolute; give it relative to the datastore's root"),
        (("ls", "titanic"), "PLACE 'titanic' is no place in a datastore; write DATASTORE:PATH"),
        (("ls", "s3://bucket/x"), "'s3://bucket/x' is a URL; declare it as a datastore"),
        (("ls", "web:x"), "datastore 'web' (http://127.0.0.1:9/): host 127.0.0.1:9 did not answer"),
        (("cp", "raw:titanic", "out"), "'titanic' of datastore 'raw' is a folder; give -r"),
        (("cp", "raw:none", "out"), "there is nothing at the source 'none' of datastore 'raw'"),
        (("cp", "none.csv", "raw:"), "/none.csv' does not exist on this machine"),
        (("cp", "src", "copy"), "neither 'src' nor 'copy' is a place in a datastore"),
        (("cp", "-r", "src", "raw:top.csv"), "'top.csv' of datastore 'raw' is a file where a directory is wanted"),
        (("cp", "raw:top.csv", "raw:top.csv"), "is both source and destination"),
        (("cp", "-r", "raw:titanic", "raw:titanic/more"), "is inside of the other"),
        (("cp", "raw:*.parquet", "out"), "nothing in datastore 'raw' matches '*.parquet'"),
        (("cp", "raw:*.csv", "out", "--include", "t*"), "a pattern as SOURCE and --include together"),
        (("upload", "src", "out"), "the destination 'out' is no place in a datastore"),
        (("upload", "src", "none", "raw:x"), "/none' does not exist on this machine"),
        (("upload", "workspace.yaml", "w/workspace.yaml", "raw:x"), "two of the files are named 'workspace.yaml'"),
        (("register", "d", "raw:none"), "there are no files at 'none' in datastore 'raw'; upload them first"),
        (("register", "d", "none"), "PLACE 'none' is no place in a datastore"),
        (("register", " ", "raw:top.csv"), "the name is ' ', but must be text that is not empty"),
    ],
)
def test_wrong_input_is_a_sentence(there: Path, aml: Aml, arguments: tuple[str, ...], sentence: str) -> None:
    (there / "w").mkdir()
    (there / "w/workspace.yaml").write_text("")
    before = names(there / "data")
    said = aml(there, "data", *arguments)
    assert said.code == 1
    assert sentence in said.err
    assert said.is_plain()
    assert said.err.startswith("aml: ")
    assert len(said.err.strip().splitlines()) == 1
    assert names(there / "data") == before
    assert not (there / "out").exists()


def test_a_web_server_is_only_read(tmp_path: Path, aml: Aml) -> None:
    project = make(tmp_path)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(project / "data/raw"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            text = (project / "workspace.yaml").read_text()
            (project / "workspace.yaml").write_text(text.replace(":9/", f":{server.server_port}/"))
            assert aml(project, "data", "cp", "web:titanic/test.csv", "x.csv").code == 0
            assert (project / "x.csv").read_text() == FILES["titanic/test.csv"]
            said = aml(project, "data", "cp", "x.csv", "web:x.csv")
        finally:
            server.shutdown()
    assert said.code == 1
    assert "is a web server, which can only be read" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("cp", "raw:top.csv"),
        ("cp", "raw:top.csv", "x", "--overwrite", "sometimes"),
        ("register", "d", "raw:", "--type", "excel"),
        ("register", "d", "raw:", "--tag", "x"),
        ("upload", "raw:"),
    ],
)
def test_wrong_usage_has_its_own_exit_code(there: Path, aml: Aml, arguments: tuple[str, ...]) -> None:
    assert aml(there, "data", *arguments).code == 2
