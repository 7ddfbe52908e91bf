"""v1's models in MLflow's registry: registered, found, downloaded, changed, as notebooks do it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aml_provider.sdk.dataset_factory import FileDatasetFactory
from aml_provider.sdk.exceptions import ModelNotFoundException, WebserviceException
from aml_provider.sdk.life import collecting
from aml_provider.sdk.model import Model
from aml_provider.sdk.model_serving import InferenceConfig, ResourceConfiguration
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.errors import NotSupportedError

from .conftest import WORKSPACE, Lab

# --- registering and finding ------------------------------------------------------------------------------------


def test_child_paths_choose_files(lab: Lab) -> None:
    for name in ("out/model.pkl", "out/tokens/vocab.txt", "out/checkpoint"):
        lab.file(name, name)
    model = Model.register(lab.ws, "out", "chosen", child_paths=["model.pkl", "tokens/vocab.txt"])
    got = Path(model.download())
    assert got == Path("chosen")
    assert sorted(p.as_posix() for p in got.rglob("*") if p.is_file()) == [
        "chosen/model.pkl",
        "chosen/tokens/vocab.txt",
    ]


def test_filters_mean_what_they_mean_in_azure(lab: Lab) -> None:
    lab.register("a", tags={"stage": "test"}, properties={"p": "1"}, model_framework="Onnx")
    lab.register("a", tags={"stage": "live", "x": ""})
    lab.register("b", tags={"stage": "test"})

    def ids(**filters: Any) -> list[str]:
        return [model.id for model in Model.list(lab.ws, **filters)]

    assert ids() == ["b:1", "a:2", "a:1"]
    assert ids(name="a") == ["a:2", "a:1"]
    assert ids(latest=True) == ["b:1", "a:2"]
    assert ids(tags=["stage"]) == ["b:1", "a:2", "a:1"]
    assert ids(tags=[["stage", "test"]]) == ["b:1", "a:1"]
    assert ids(tags=["x", ["stage", "live"]]) == ["a:2"]
    assert ids(tags=[["stage", "test"]], latest=True) == ["b:1", "a:1"]
    assert ids(properties=[["p", "1"]]) == ["a:1"]
    assert ids(model_framework="Onnx") == ["a:1"]
    assert ids(run_id="none") == ids(dataset_id="none") == ids(name="c") == []
    assert Model(lab.ws, "a", tags=[["stage", "test"]]).id == "a:1"
    assert Model(lab.ws, id="a:1").id == "a:1"
    assert Model(lab.ws, "a", model_framework="Onnx").version == 1
    assert sorted(lab.ws.models) == ["a", "b"]


def test_names_that_mlflow_does_not_take(lab: Lab) -> None:
    assert lab.register("model.pkl").version == 1
    assert lab.register("model_pkl", "another").version == 1
    assert lab.register("model.pkl", "the second").version == 2
    assert [model.id for model in Model.list(lab.ws, "model.pkl")] == ["model.pkl:2", "model.pkl:1"]
    assert Path(Model(lab.ws, "model_pkl").download("x")).read_text() == "another"
    assert "model_pkl" in {known.name for known in lab.mlflow.search_registered_models()}


def test_keys_that_mlflow_does_not_take(lab: Lab) -> None:
    tags = {"auc%": "1", "auc_": "2", "aml.run_id": "mine", "mlflow.user": "me", "a/../b": "3", "ä" * 300: "4"}
    properties = {"f1%": "5", "f1_": "6"}
    model = lab.register(tags=tags, properties=properties)
    model.add_tags({"auc$": "7"})
    model.remove_tags("auc_")
    again = Model(lab.ws, "digits")
    expected = {**tags, "auc$": "7"}
    del expected["auc_"]
    assert (again.tags, again.properties) == (expected, properties)
    assert again.run_id is None


def test_tags_that_somebody_has_spoilt_in_mlflow_do_no_harm(lab: Lab) -> None:
    lab.register(tags={"a%": "b"})
    for key, value in (("aml.names", "}"), ("aml.datasets", '{"a": 1}'), ("aml.model_name", "digits")):
        lab.mlflow.set_model_version_tag("digits", "1", key, value)
    (model,) = Model.list(lab.ws)
    assert (model.tags, model.datasets) == ({"a_": "b"}, {})
    model.add_tags({"c": "d"})
    assert Model(lab.ws, "digits").tags == {"a_": "b", "c": "d"}


def test_models_that_mlflow_has_itself(lab: Lab) -> None:
    experiment = lab.mlflow.create_experiment("e", (lab.folder / "artifacts").as_uri())
    run = lab.mlflow.create_run(experiment)
    lab.mlflow.log_text(run.info.run_id, "by mlflow", "m/model.txt")
    lab.mlflow.create_registered_model("my model")
    lab.mlflow.create_model_version("my model", f"{run.info.artifact_uri}/m", run.info.run_id)
    model = Model(lab.ws, "my model")
    assert (model.version, model.tags) == (1, {})
    assert (Path(model.download("x")) / "model.txt").read_text() == "by mlflow"
    model.add_tags({"seen": "yes"})
    assert Model.list(lab.ws, tags=["seen"])[0].name == "my model"


# --- more than files --------------------------------------------------------------------------------------------


def test_datasets_of_a_model(lab: Lab) -> None:
    lab.file("data/raw/x.csv", "a\n1\n")
    data = FileDatasetFactory.from_files((lab.ws.datastores["raw"], "x.csv")).register(lab.ws, "numbers")
    model = lab.register(datasets=[("training data", data)], sample_input_dataset=data)
    model.add_dataset_references([("test data", data)])
    again = Model(lab.ws, "digits")
    assert {purpose: [d.id for d in found] for purpose, found in again.datasets.items()} == {
        "training data": ["numbers:1"],
        "test data": ["numbers:1"],
    }
    assert again.sample_input_dataset.id == "numbers:1"
    assert again.sample_output_dataset is None
    assert [m.id for m in Model.list(lab.ws, dataset_id="numbers:1")] == ["digits:1"]
    with pytest.raises(WebserviceException, match="is not registered; register it first"):
        lab.register(datasets=[("training data", FileDatasetFactory.from_files((lab.ws.datastores["raw"], "x.csv")))])


def test_a_model_as_data_and_back(lab: Lab) -> None:
    model = lab.register(tags={"a": "b"}, properties={"p": "q"}, description="d")
    payload = model.serialize()
    assert payload["id"] == "digits:1"
    assert payload["tags"] == {"a": "b"}
    again = Model.deserialize(lab.ws, payload)
    assert again.serialize() == payload
    assert "name=digits, id=digits:1, version=1" in repr(again)
    with pytest.raises(WebserviceException, match="the payload has no version"):
        Model.deserialize(lab.ws, {"name": "digits"})


# --- files that are there ---------------------------------------------------------------------------------------


def test_a_download_replaces_nothing_unless_it_may(lab: Lab) -> None:
    lab.file("net/a.txt", "from the registry")
    model = Model.register(lab.ws, "net", "net")
    target = lab.folder / "out"
    lab.file("out/net/a.txt", "mine")
    lab.file("out/net/b.txt", "mine, too")
    with pytest.raises(WebserviceException, match=r"out/net exists; pass exist_ok=True"):
        model.download(target)
    assert (target / "net/a.txt").read_text() == "mine"
    model.download(target, exist_ok=True)
    model.download(target, exists_ok=True)
    assert (target / "net/a.txt").read_text() == "from the registry"
    assert (target / "net/b.txt").read_text() == "mine, too"
    assert [p.name for p in target.iterdir()] == ["net"]


def test_a_download_goes_nowhere_where_it_cannot_be(lab: Lab) -> None:
    model = lab.register()
    lab.file("in the way")
    lab.file("out/model.pkl/inner", "mine")
    for target, sentence in (
        ("in the way", "The model cannot be written to in the way: "),
        ("out", "out/model.pkl is a folder and the model a file; pass another target_dir"),
    ):
        with pytest.raises(WebserviceException, match=sentence):
            model.download(target, exist_ok=True)
    assert (lab.folder / "out/model.pkl/inner").read_text() == "mine"
    assert [p.name for p in (lab.folder / "out").iterdir()] == ["model.pkl"]


def test_a_model_on_this_machine_needs_no_workspace(lab: Lab) -> None:
    lab.file("azureml-models/digits/9/model.pkl")
    lab.file("azureml-models/digits/10/model.pkl")
    lab.file("plain.pkl")
    assert Model.get_model_path("digits") == "azureml-models/digits/10/model.pkl"
    assert Model.get_model_path("digits", 9) == "azureml-models/digits/9/model.pkl"
    assert Model.get_model_path("plain.pkl") == "plain.pkl"
    with pytest.raises(ModelNotFoundException, match="pass _workspace=ws to download it"):
        Model.get_model_path("other")


# --- wrong input ------------------------------------------------------------------------------------------------

Wrong = Callable[[Lab], Any]
PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text()


@pytest.mark.parametrize(
    ("do", "sentence"),
    [
        (lambda lab: Model.register(lab.ws, "nowhere.pkl", "m"), r"model_path 'nowhere.pkl' does not exist; looked in"),
        (lambda lab: Model.register(lab.ws, "", "m"), "model_path is '', but must be a file or a folder"),
        (lambda lab: Model.register(lab.ws, None, "m"), "model_path is None"),
        (lambda lab: Model.register(lab.ws, "empty", "m"), "the folder 'empty' has no files"),
        (lambda lab: lab.register("a/b"), "the model's name is 'a/b', but must consist of letters"),
        (lambda lab: lab.register(""), "the model's name is ''"),
        (lambda lab: lab.register("x" * 256), "255 characters at most"),
        (lambda lab: lab.register(3), "the model's name is 3"),
        (lambda lab: lab.register(tags={"a": [1, 2]}), r"the value of 'a' in tags is \[1, 2\], but must be text"),
        (lambda lab: lab.register(tags={"a": object}), "the value of 'a' in tags is <class 'object'>"),
        (lambda lab: lab.register(tags={"a": "x" * 100_001}), "has 100001 characters"),
        (lambda lab: lab.register(tags=["a"]), r"tags must be a dictionary of texts, but are \['a'\]"),
        (lambda lab: lab.register(tags={1: "a"}), "a name in tags is 1"),
        (lambda lab: lab.register(properties={"": "a"}), "a name in properties is ''"),
        (lambda lab: lab.register(description=3), "the description must be text"),
        (lambda lab: lab.register(model_framework_version="1"), "is given without model_framework"),
        (lambda lab: lab.register(datasets=["x"]), "datasets must be pairs such as"),
        (lambda lab: lab.register(datasets=[("x", 3)]), "3 is no dataset"),
        (lambda lab: Model.register(lab.ws, "src", "m", child_paths=["no.py"]), "child path 'no.py' is no file in"),
        (lambda lab: Model.register(lab.ws, "src", "m", child_paths=["../model.pkl"]), "child path '../model.pkl'"),
        (
            lambda lab: Model.register(lab.ws, lab.file("50%.pkl"), "m"),
            "cannot keep files with #, % or .* '50%.pkl'; rename",
        ),
        (lambda lab: Model(lab.ws), "give a name, or an id"),
        (lambda lab: Model(lab.ws, "none"), "ModelNotFound: workspace 'lab' has no model 'none'; Model.list"),
        (lambda lab: Model(lab.ws, "there", version=7), "has no model 'there:7'; of this name it has there:1"),
        (lambda lab: Model(lab.ws, "there", tags=["x"]), r"no model 'there', tags \['x'\]; of this name"),
        (lambda lab: Model(lab.ws, id="there:7"), "has no model 'there:7'"),
        (lambda lab: Model(lab.ws, id="there"), "'there' is no id of a model"),
        (lambda lab: Model(lab.ws, "there", version="new"), "the version is 'new', but must be a number"),
        (lambda lab: Model(lab.ws, "there", version=True), "the version is True"),
        (lambda lab: Model.list(lab.ws, tags=[["a", "b", "c"]]), "tags must be a list such as"),
        (lambda lab: Model.list(lab.ws, properties=3), "properties must be a list such as"),
        (lambda lab: Model.get_model_path("there", 7, lab.ws), "has no model 'there:7'"),
        (lambda lab: Model.get_model_path("there", "x"), "the version is 'x'"),
        (lambda lab: Model(lab.ws, "there").update(tags={"a": {}}), "the value of 'a' in tags is {}"),
    ],
)
def test_wrong_input_gets_one_sentence_and_changes_nothing(lab: Lab, do: Wrong, sentence: str) -> None:
    lab.register("there")
    (lab.folder / "empty" / "inner").mkdir(parents=True)
    before = lab.mlflow.search_runs([e.experiment_id for e in lab.mlflow.search_experiments()])
    with pytest.raises(WebserviceException, match=sentence) as caught:
        do(lab)
    assert "\n" not in str(caught.value)
    assert [model.id for model in Model.list(lab.ws)] == ["there:1"]
    after = lab.mlflow.search_runs([e.experiment_id for e in lab.mlflow.search_experiments()])
    assert len(after) == len(before)


@pytest.mark.parametrize(
    ("do", "sentence"),
    [
        (lambda lab: Model.deploy(lab.ws, "service", []), "Model.deploy is not available: .* `mlflow models serve`"),
        (lambda lab: Model.package(lab.ws, []), "Model.package .* `mlflow models serve`"),
        (lambda lab: Model.profile(lab.ws, "p", [], None, None), "Model.profile .* `mlflow models serve`"),
        (
            lambda lab: Model.print_configuration([], None, None, None),
            "Model.print_configuration .* `mlflow models serve`",
        ),
        (lambda lab: lab.register().get_sas_urls(), r"use model.download\(\), or model.url"),
        (lambda lab: InferenceConfig("score.py"), "InferenceConfig .* `mlflow models serve`"),
        (lambda lab: ResourceConfiguration(cpu=1), "ResourceConfiguration .* `mlflow models serve`"),
        (lambda lab: lab.register(resource_configuration=1), "resource_configuration .* leave it out"),
        (lambda lab: lab.register().update(resource_configuration=1), "resource_configuration .* leave it out"),
    ],
)
def test_what_only_azure_has_says_what_to_do(lab: Lab, do: Wrong, sentence: str) -> None:
    with pytest.raises(NotSupportedError, match=sentence):
        do(lab)


def test_a_server_that_is_away_changes_nothing(project: Path) -> None:
    (project / "workspace.yaml").write_text(f"{WORKSPACE}mlflow: {{tracking_uri: 'http://me:secret@127.0.0.1:9'}}\n")
    ws = Workspace.from_config()
    (project / "model.pkl").write_text("x")
    with pytest.raises(WebserviceException, match="MLflow at http.* cannot be used: .*Nothing was changed") as caught:
        Model.register(ws, "model.pkl", "digits")
    assert "secret" not in str(caught.value)
    with pytest.raises(WebserviceException, match="its models are not known now"):
        Model(ws, "digits")


#: Members of v1's Model.
WORK = {
    *("register", "list", "get_model_path", "download", "serialize", "deserialize", "update", "update_tags_properties"),
    *("add_tags", "remove_tags", "add_properties", "add_dataset_references", "delete"),
}
RAISE = {"deploy", "package", "profile", "print_configuration", "get_sas_urls"}


def test_every_member_works_or_says_what_to_do() -> None:
    facts = json.loads((Path(__file__).parents[1] / "facts" / "surface.json").read_text())
    assert set(facts["azureml.core"]["Model"]["methods"]) == WORK | RAISE
    missing = [name for name in RAISE if f"`{name}`" not in PAGE and f"`Model.{name}`" not in PAGE]
    assert not missing, "docs/models.md does not say that they are not there"


# --- a file that is only read -----------------------------------------------------------------------------------


def test_while_a_file_is_read_nothing_is_registered_or_asked(project: Path) -> None:
    ws = Workspace.from_config()
    (project / "model.pkl").write_text("x")
    with collecting(project / "pipeline.py"):
        model = Model.register(ws, "model.pkl", "digits", tags={"a": "b"})
        print(model.name, model.version, model.id)
        model.add_tags({"c": "d"})
        assert not Model(ws, "digits").download(exist_ok=True)
        assert list(Model.list(ws)) == []
        assert ws.models == {}
        assert Model.get_model_path("digits", _workspace=ws)
        Model.register(ws, "not there yet.pkl", "digits")
    assert not (project / ".aml").exists()
    assert not (project / "azureml-models").exists()
