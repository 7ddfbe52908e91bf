"""Workspaces, compute targets and experiments as authors meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aml_provider.sdk.compute import AmlCompute, ComputeInstance, ComputeTarget
from aml_provider.sdk.exceptions import AzureMLException, ComputeTargetException, UserErrorException
from aml_provider.sdk.experiment import Experiment
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.errors import AmlError, NotSupportedError


def test_with_no_file_the_embedded_default_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ws = Workspace.from_config()
    assert ws.name == "local"
    assert set(ws.datastores) == {"workspaceblobstore", "workspacefilestore"}
    assert ws.get_default_datastore().name == "workspaceblobstore"
    assert ws.get_mlflow_tracking_uri().startswith("sqlite:///")
    with pytest.raises(ComputeTargetException):
        AmlCompute(ws, "cpu-cluster")


def test_what_notebooks_print_of_a_workspace_is_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ws = Workspace.from_config()
    assert "Azure region: " + ws.location == "Azure region: local"
    assert ws.subscription_id + ws.resource_group == ""
    ws.write_config()
    assert Workspace.from_config().subscription_id == ""


@pytest.mark.parametrize("folder", ["", ".azureml", "aml_config"])
def test_a_config_json_picks_the_name(project: Path, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / folder).mkdir(exist_ok=True)
    content = {"subscription_id": "s", "resource_group": "g", "workspace_name": "theirs"}
    (project / folder / "config.json").write_text(json.dumps(content))
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    ws = Workspace.from_config()
    assert (ws.name, ws.subscription_id, ws.resource_group) == ("theirs", "s", "g")
    assert "cpu" in ws.compute_targets, "the workspace file still says what there is"
    assert Workspace.from_config(str(project)).name == "theirs"
    assert Workspace.from_config(path=str(project / folder / "config.json")).name == "theirs"


def test_another_tools_config_json_is_not_ours(project: Path) -> None:
    (project / "config.json").write_text("{}")
    assert Workspace.from_config().name == "lab"
    with pytest.raises(UserErrorException, match="names no workspace"):
        Workspace.from_config("config.json")
    with pytest.raises(UserErrorException, match="'nowhere.json' does not exist; looked in"):
        Workspace.from_config("nowhere.json")


def test_other_ways_to_a_workspace(project: Path) -> None:
    assert Workspace("s", "g", "w").resource_group == "g"
    assert Workspace.get("w", location="here").location == "here"
    assert Workspace.create("w", tags={"a": "b"}).tags == {"a": "b"}
    assert list(Workspace.list("s")) == ["lab"]
    assert Workspace.from_config("workspace.yaml").name == "lab"
    Workspace("s", "g", "w").write_config()
    assert Workspace.from_config().get_details()["name"] == "w"


def test_missing_names_are_explained(ws: Workspace) -> None:
    with pytest.raises(KeyError, match=r"no compute target named 'x'; there is \['cpu'\]"):
        ws.compute_targets["x"]
    assert "x" not in ws.datastores
    assert ws.get_default_compute_target("CPU") is None


def test_try_existing_except_create(ws: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert type(ComputeTarget(ws, "cpu")) is AmlCompute
    try:
        target = AmlCompute(workspace=ws, name="new")
    except ComputeTargetException:
        config = AmlCompute.provisioning_configuration(vm_size="Standard_NC6", min_nodes=0, max_nodes=3)
        target = ComputeTarget.create(ws, "new", config)
        target.wait_for_completion(show_output=True, min_node_count=None, timeout_in_minutes=20)
    assert target.type == "AmlCompute"
    status = target.get_status().serialize()
    assert status["vmSize"] == "Standard_NC6"
    assert status["scaleSettings"]["maxNodeCount"] == 3
    assert status["provisioningState"] == "Succeeded"
    target.update(max_nodes=5)
    assert AmlCompute(ws, "new").get_status().max_nodes == 5
    assert [t.name for t in ComputeTarget.list(ws)] == ["cpu", "new"]
    target.delete()
    with pytest.raises(ComputeTargetException):
        ComputeTarget(ws, "new")
    assert "new" in capsys.readouterr().out
    with pytest.raises(NotSupportedError, match=r"declared in .*workspace.yaml; remove it there"):
        ComputeTarget(ws, "cpu").delete()


def test_a_compute_instance_is_one_machine(ws: Workspace) -> None:
    made = ComputeTarget.create(ws, "mine", ComputeInstance.provisioning_configuration(vm_size="STANDARD_D1"))
    assert (made.type, made.get_status().max_nodes) == ("ComputeInstance", 1)


def test_experiments(ws: Workspace) -> None:
    experiment = Experiment(ws, "any name at all")
    experiment.tag("a", 1)
    assert Experiment(ws, "any name at all").tags == {"a": "1"}
    with pytest.raises(UserErrorException, match="name is ''"):
        Experiment(ws, "")
    with pytest.raises(UserErrorException, match="cannot be submitted"):
        experiment.submit("pipeline")


def test_one_except_takes_every_exception_of_v1() -> None:
    assert issubclass(AzureMLException, AmlError)
    error = ComputeTargetException("it is not there")
    assert error.message == str(error) == "it is not there"
