"""v1's models in both kinds of MLflow stores: a SQLite file, and a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aml_provider.sdk.exceptions import WebserviceException
from aml_provider.sdk.model import Model

from .conftest import Lab

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_from_notebook_to_scoring(both: Lab) -> None:
    model = both.register(
        tags={"area": "digits", "k": 5, "ok": True},
        properties={"auc": 0.91},
        description="the first",
        model_framework=Model.Framework.SCIKITLEARN,
        model_framework_version="1.4",
    )
    assert (model.name, model.version, model.id) == ("digits", 1, "digits:1")
    assert both.register(text="a better model").version == 2

    first = Model(both.ws, "digits", version=1)
    assert first.tags == {"area": "digits", "k": "5", "ok": "True"}
    assert first.properties == {"auc": "0.91"}
    assert (first.description, first.model_framework, first.model_framework_version) == (
        "the first",
        "ScikitLearn",
        "1.4",
    )
    assert (first.run_id, first.run, first.experiment_name, first.datasets) == (None, None, None, {})
    assert first.created_time.utcoffset().total_seconds() == 0
    assert Model(both.ws, "digits").version == 2
    assert both.ws.models["digits"].version == 2

    path = Model.get_model_path("digits", _workspace=both.ws)
    assert path == "azureml-models/digits/2/model.pkl"
    assert Path(path).read_text() == "a better model"
    assert Path(Model.get_model_path("digits", 1, both.ws)).read_text() == "a model"
    assert Model.get_model_path("digits") == path
    assert Path(first.download("here")).read_text() == "a model"


def test_a_folder_comes_back_as_it_was(both: Lab) -> None:
    for name in ("net/weights.bin", "net/deep/er/config.json", "net/with space (ä) & more.txt"):
        both.file(name, name)
    (both.folder / "elsewhere").mkdir()
    both.file("elsewhere/linked.txt", "linked")
    (both.folder / "net" / "link").symlink_to(both.folder / "elsewhere")
    model = Model.register(both.ws, str(both.folder / "net"), "net")
    got = Path(model.download("copy"))
    assert got == Path("copy/net")
    assert {str(file.relative_to(got)): file.read_text() for file in got.rglob("*") if file.is_file()} == {
        "weights.bin": "net/weights.bin",
        "deep/er/config.json": "net/deep/er/config.json",
        "with space (ä) & more.txt": "net/with space (ä) & more.txt",
        "link/linked.txt": "linked",
    }


def test_two_processes_register_at_once(both: Lab) -> None:
    both.file("model.pkl")
    program = (
        "import sys\nfrom aml_provider.sdk.model import Model\nfrom aml_provider.sdk.workspace import Workspace\n"
        "ws = Workspace.from_config()\nws.models\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "for _ in range(3): print('version', Model.register(ws, 'model.pkl', 'digits').version, flush=True)\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=both.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    done = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], done
    versions = [int(line.split()[1]) for out, _ in done for line in out.splitlines() if line.startswith("version")]
    assert sorted(versions) == [1, 2, 3, 4, 5, 6]


def test_tags_properties_and_description_change(both: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    model = both.register(tags={"a": "1", "b": "2"}, properties={"p": "1"})
    other = Model(both.ws, "digits")
    model.add_tags({"c": 3})
    other.add_tags({"d": "4"})
    model.remove_tags(["a", "nothing"])
    assert "nothing not found" in capsys.readouterr().out
    model.add_properties({"q": 2})
    assert model.tags == {"b": "2", "c": "3", "d": "4"}
    model.update_tags_properties(add_tags={"b": "new"}, remove_tags=["c"], add_properties={"r": "3"})
    model.update(description="better")
    for known in (model, Model(both.ws, "digits")):
        assert known.tags == {"b": "new", "d": "4"}
        assert known.properties == {"p": "1", "q": "2", "r": "3"}
        assert known.description == "better"
    model.update(tags={"only": "this"})
    assert Model(both.ws, "digits").tags == {"only": "this"}
    with pytest.raises(WebserviceException, match="properties of a model cannot be changed, and digits:1 has p"):
        model.add_properties({"p": "2", "s": "1"})
    assert Model(both.ws, "digits").properties == {"p": "1", "q": "2", "r": "3"}


def test_a_deleted_version_is_gone_and_its_number_is_not_used_again(both: Lab) -> None:
    first, second = both.register(tags={"t": "1"}), both.register()
    second.delete()
    assert [model.id for model in Model.list(both.ws)] == [first.id]
    assert Model(both.ws, "digits").version == 1
    for use in (second.delete, second.download, lambda: second.add_tags({"a": "b"})):
        with pytest.raises(WebserviceException, match="Model digits:2 is not registered any more"):
            use()
    third = both.register()
    assert (third.version, third.tags) == (3, {})


def test_mlflow_has_no_path_of_this_machine_but_its_own(both: Lab) -> None:
    Model.register(both.ws, str(both.folder / both.file("secret place/model.pkl")), "digits", tags={"a": "b"})
    (version,) = both.mlflow.search_model_versions()
    run = both.mlflow.get_run(version.run_id)
    assert version.source == f"{run.info.artifact_uri}/model.pkl"
    assert run.info.status == "FINISHED"
    assert both.mlflow.get_experiment(run.info.experiment_id).name == "registered-models"
    said = [version.description, *version.tags.values(), *run.data.tags.values(), *run.data.params.values()]
    assert not [text for text in said if text and (str(both.folder) in text or "secret place" in text)]
