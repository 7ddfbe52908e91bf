"""``DataTransferStep`` and ``DataFactoryCompute`` as authors write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aml_provider.sdk.compute import ComputeTarget, DataFactoryCompute
from aml_provider.sdk.data_reference import DataReference
from aml_provider.sdk.datapath import DataPath, DataPathComputeBinding
from aml_provider.sdk.datastore import Datastore
from aml_provider.sdk.exceptions import ComputeTargetException
from aml_provider.sdk.outputs import OutputFileDatasetConfig
from aml_provider.sdk.parameter import PipelineParameter
from aml_provider.sdk.ports import PipelineData
from aml_provider.sdk.steps.data_transfer import DataTransferStep
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import DatastoreSource, ParameterSource, PipelineSpec, StepOutputSource, Transfer
from tests.sdk.conftest import Build, Step


@pytest.fixture
def ends(ws: Workspace) -> dict[str, DataReference]:
    """A source and a destination."""
    raw = Datastore(ws, "raw")
    return {
        "source_data_reference": DataReference(raw, "titanic", "titanic"),
        "destination_data_reference": DataReference(ws.get_default_datastore(), "copied", "copied/titanic"),
    }


def test_two_places(build: Build, ends: dict[str, Any]) -> None:
    spec = build(DataTransferStep("copy", **ends, compute_target="cpu", source_reference_type="directory"))
    (step,) = spec.steps
    assert step.type == "DataTransferStep"
    assert step.action == Transfer(source_type="directory")
    assert isinstance(step.inputs[0].source, DatastoreSource)
    assert (step.inputs[0].source.location.datastore, step.inputs[0].source.location.path) == ("raw", "titanic")
    assert (step.outputs[0].datastore, step.outputs[0].destination) == ("workspaceblobstore", "copied/titanic")
    assert step.allow_reuse
    assert PipelineSpec.model_validate_json(spec.to_json()) == spec


def test_what_reads_the_output_waits_for_the_transfer(build: Build, ends: dict[str, Any], step: Step) -> None:
    copy = DataTransferStep("copy", **ends, compute_target="cpu")
    out = copy.get_output()
    train = step("train", [out], inputs=[out])
    other = step("other", ["--in", out.as_input("mine")], script_name="score.py", inputs=[out.as_input("mine")])
    spec = build(train, other)
    assert [s.name for s in spec.steps] == ["copy", "train", "other"]
    assert [s.upstream for s in spec.steps] == [(), ("copy",), ("copy",)]


def test_between_steps(build: Build, ws: Workspace, step: Step) -> None:
    made, kept, own = PipelineData("made"), OutputFileDatasetConfig("kept"), PipelineData("own", Datastore(ws, "raw"))
    prep = step("prep", [made, kept], outputs=[made])
    one = DataTransferStep("one", made, own, "cpu", source_reference_type="directory")
    two = DataTransferStep("two", kept.as_input("seen"), OutputFileDatasetConfig("out"), "cpu", allow_reuse=False)
    spec = build(prep, one, two)
    steps = {s.name: s for s in spec.steps}
    assert all(isinstance(steps[name].inputs[0].source, StepOutputSource) for name in ("one", "two"))
    assert (steps["one"].outputs[0].datastore, steps["one"].outputs[0].destination) == (
        "raw",
        "azureml/{run-id}/{output-name}",
    )
    assert (steps["one"].allow_reuse, steps["two"].allow_reuse) == (True, False)


def test_a_source_that_a_parameter_chooses(build: Build, ws: Workspace, ends: dict[str, Any]) -> None:
    chosen = PipelineParameter("from_where", DataPath(Datastore(ws, "raw"), "titanic"))
    ends["source_data_reference"] = (chosen, DataPathComputeBinding())
    (step,) = build(DataTransferStep("copy", **ends, compute_target="cpu")).steps
    assert isinstance(step.inputs[0].source, ParameterSource)


def test_source_and_destination_may_have_one_name(build: Build, ws: Workspace) -> None:
    same = [DataReference(Datastore(ws, name), "data", "x") for name in ("raw", "workspaceblobstore")]
    (step,) = build(DataTransferStep("copy", *same, "cpu")).steps
    assert (step.inputs[0].name, step.outputs[0].name) == ("data", "data_output")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"source_data_reference": None}, "DataTransferStep 'copy': source_data_reference is missing; give"),
        ({"destination_data_reference": None}, "DataTransferStep 'copy': destination_data_reference is missing; give"),
        ({"compute_target": None}, "DataTransferStep 'copy': compute_target is missing; give a DataFactoryCompute"),
        ({"source_data_reference": "raw/titanic"}, "source_data_reference is 'raw/titanic'; give a DataReference"),
        ({"destination_data_reference": "x"}, "destination_data_reference is 'x'; give a DataReference"),
        ({"source_reference_type": "folder"}, "source_reference_type is 'folder'; it can be 'file' or 'directory'"),
        ({"destination_reference_type": ""}, "destination_reference_type is ''; it can be 'file' or 'directory'"),
    ],
)
def test_what_is_wrong_is_told_at_the_authors_line(change: dict[str, Any], says: str, ends: dict[str, Any]) -> None:
    with pytest.raises(PipelineError, match=says):
        DataTransferStep("copy", **{**ends, "compute_target": "cpu", **change})


def test_an_unknown_compute_target(build: Build, ends: dict[str, Any]) -> None:
    with pytest.raises(PipelineError, match="Step 'copy': unknown compute target 'adf'"):
        build(DataTransferStep("copy", **ends, compute_target="adf"))


# --- the data factory ---------------------------------------------------------------------------------------------


def test_a_factory_is_made_when_there_is_none(ws: Workspace, build: Build, ends: dict[str, Any]) -> None:
    with pytest.raises(ComputeTargetException, match="ComputeTargetNotFound"):
        DataFactoryCompute(ws, "adf")
    made = ComputeTarget.create(ws, "adf", DataFactoryCompute.provisioning_configuration(location="westus"))
    made.wait_for_completion(show_output=True)
    assert isinstance(made, DataFactoryCompute)
    assert (made.name, made.type, made.provisioning_state) == ("adf", "DataFactory", "Succeeded")
    spec = build(DataTransferStep("copy", **ends, compute_target=made))
    assert [c.name for c in spec.compute] == ["adf"]


@pytest.mark.parametrize("way", ["configuration", "method"])
def test_a_factory_that_exists_in_azure_is_only_a_name(way: str, ws: Workspace) -> None:
    if way == "method":
        made = DataFactoryCompute.attach(ws, "adf", "/subscriptions/1/factories/f")
    else:
        made = ComputeTarget.attach(ws, "adf", DataFactoryCompute.attach_configuration("group", "f"))
    assert isinstance(made, DataFactoryCompute)
    assert DataFactoryCompute(ws, "adf").serialize()["properties"]["computeType"] == "DataFactory"
    made.detach()
    with pytest.raises(ComputeTargetException):
        DataFactoryCompute(ws, "adf")


def test_a_pipeline_that_moves_data_needs_no_image(project: Path, build: Build, ends: dict[str, Any]) -> None:
    from aml_provider.cli.inspect import problems
    from aml_provider.sdk.source import PipelineSource
    from aml_provider.workspace.discovery import load_workspace

    file = project / "workspace.yaml"
    spec = build(DataTransferStep("copy", **ends, compute_target="cpu"))
    file.write_text(file.read_text() + "default_kind: docker\n")
    assert problems(spec, PipelineSource(project / "pipeline.py", project), load_workspace(file)) == []
