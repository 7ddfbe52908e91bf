"""Every mistake has one sentence that names the step and says what to do."""

from __future__ import annotations

import pytest

from aml_provider.sdk.compute import AmlCompute, ComputeTarget
from aml_provider.sdk.datapath import DataPath
from aml_provider.sdk.datasets import Dataset
from aml_provider.sdk.datastore import Datastore
from aml_provider.sdk.environment import Environment
from aml_provider.sdk.exceptions import ComputeTargetException, UserErrorException
from aml_provider.sdk.outputs import OutputFileDatasetConfig
from aml_provider.sdk.parameter import PipelineParameter
from aml_provider.sdk.ports import PipelineData
from aml_provider.sdk.runconfig import RunConfiguration
from aml_provider.sdk.steps.base import StepSequence
from aml_provider.sdk.steps.command import CommandStep
from aml_provider.spec.errors import AmlError, NotSupportedError, ParameterError, PipelineError, UnknownParameterError


def test_a_cycle_is_told_as_a_path(step, build) -> None:
    one, two = PipelineData("one"), PipelineData("two")
    a = step("a", inputs=[two], outputs=[one])
    b = step("b", inputs=[one], outputs=[two])
    with pytest.raises(PipelineError, match="'a' -> 'b' -> 'a'|'b' -> 'a' -> 'b'"):
        build(a, b)
    c = step("c")
    c.run_after(c)
    with pytest.raises(PipelineError, match="'c' depends on itself"):
        build(c)
    with pytest.raises(PipelineError, match="depends on itself"):
        build(step("d", inputs=[(loop := PipelineData("loop"))], outputs=[loop]))
    first, second = step("first"), step("second")
    first.run_after(second)
    with pytest.raises(PipelineError, match="in a circle"):
        build(StepSequence([first, second]))


def test_an_input_that_nobody_produces(step, build) -> None:
    with pytest.raises(PipelineError, match="'train' reads 'data', which no step produces"):
        build(step("train", inputs=[PipelineData("data")]))
    with pytest.raises(PipelineError, match="'train' reads input 'in', which no step produces"):
        build(step("train", inputs=[OutputFileDatasetConfig("data").as_input("in")]))


def test_an_output_that_would_leave_its_datastore(ws, step, build) -> None:
    out = OutputFileDatasetConfig("out", destination=(ws.get_default_datastore(), "kept/../../x"))
    with pytest.raises(PipelineError, match=r"'prep': output 'out': path 'kept/../../x' .* leads out of the datastore"):
        build(step("prep", arguments=[out]))


def test_one_output_of_two_steps(step, build) -> None:
    data = PipelineData("data")
    with pytest.raises(PipelineError, match="'data' is produced by two steps, 'a' and 'b'"):
        build(step("a", outputs=[data]), step("b", outputs=[data]))
    with pytest.raises(PipelineError, match="'c' lists output 'data' twice"):
        build(step("c", outputs=[data, data]))


def test_without_closure_every_step_must_be_named(step, build) -> None:
    data = PipelineData("data")
    prep = step("prep", outputs=[data])
    with pytest.raises(PipelineError, match="'train' reads 'data' of step 'prep', which is not in the pipeline"):
        build(step("train", inputs=[data]), resolve_closure=False)
    last = step("last")
    last.run_after(prep)
    with pytest.raises(PipelineError, match="'last' runs after step 'prep', which is not in the pipeline"):
        build(last, resolve_closure=False)


def test_two_parameters_with_one_name(step, build) -> None:
    build(step("a", [PipelineParameter("p", 1)]), step("b", [PipelineParameter("p", 1)]))  # equal ones are one
    for other in (2, "1", 1.0, True):
        with pytest.raises(PipelineError, match="named 'p'.*'a'.*'b'"):
            build(step("a", [PipelineParameter("p", 1)]), step("b", [PipelineParameter("p", other)]))


def test_data_in_arguments_that_is_neither_input_nor_output(ws, step, build) -> None:
    data = PipelineData("data")
    writer = step("w", outputs=[data])
    with pytest.raises(PipelineError, match="'a': argument 2, .*data, is in neither the step's inputs nor its outputs"):
        build(writer, step("a", ["--in", data]))
    with pytest.raises(PipelineError, match="'a': argument 1, .*, is not in the step's inputs"):
        build(step("a", [Datastore(ws).path("x")]))


def test_a_bare_dataset(ws, step, build) -> None:
    dataset = Dataset.File.from_files((Datastore(ws), "x"), validate=False)
    with pytest.raises(PipelineError, match=r"'a': argument 1 is a dataset.*as_named_input\('name'\)"):
        build(step("a", [dataset]))
    with pytest.raises(PipelineError, match="'a': .*as_named_input"):
        build(step("a", inputs=[dataset]))
    with pytest.raises(PipelineError, match="'a': .*DataPathComputeBinding"):
        build(step("a", inputs=[DataPath(Datastore(ws), "x")]))


@pytest.mark.parametrize("wrong", [None, {"a": 1}, ["nested"], object()])
def test_arguments_of_other_types(step, build, wrong) -> None:
    with pytest.raises(PipelineError, match="'a': argument 1 is .* use text, numbers"):
        build(step("a", [wrong]))


def test_missing_code(step, build, project) -> None:
    with pytest.raises(PipelineError, match=r"'a': script 'missing.py' does not exist in source_directory 'src'"):
        build(step("a", script_name="missing.py"))
    with pytest.raises(PipelineError, match=f"'a': source_directory 'nowhere' does not exist; looked in {project}"):
        build(step("a", source_directory="nowhere"))
    with pytest.raises(PipelineError, match="'c': source_directory 'nowhere' does not exist"):
        build(CommandStep("ls", name="c", compute_target="cpu", source_directory="nowhere"))


def test_compute_targets(ws, step, build) -> None:
    with pytest.raises(PipelineError, match="'a': unknown compute target 'gpux'.*cpu, local"):
        build(step("a", compute_target="gpux"))
    with pytest.raises(ValueError, match="'a': compute_target is missing"):
        step("a", compute_target=None)
    with pytest.raises(ComputeTargetException, match="ComputeTargetNotFound.*'gpux'"):
        ComputeTarget(ws, "gpux")
    with pytest.raises(PipelineError, match="STANDARD_D2_V9"):
        ComputeTarget.create(ws, "x", AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V9"))


def test_values_of_parameters(step, build) -> None:
    train = step("a", [PipelineParameter("rate", 0.1), PipelineParameter("name", "x"), PipelineParameter("n", 1)])
    for values, message in (
        ({"rate": "fast"}, "'rate' is of type float .* 'fast' is of type str"),
        ({"name": 3}, "'name' is of type str .* 3 is of type int"),
        ({"n": True}, "'n' is of type int .* True is of type bool"),
        ({"n": 1.5}, "'n' is of type int .* 1.5 is of type float"),
    ):
        with pytest.raises(ParameterError, match=message) as caught:
            build(train, submit={"pipeline_parameters": values})
        assert isinstance(caught.value, TypeError)
    with pytest.raises(UnknownParameterError, match="no parameter 'speed'; it has 'rate', 'name', 'n'"):
        build(train, submit={"pipeline_parameters": {"speed": 1}})
    with pytest.raises(PipelineError, match="must be a dictionary"):
        build(train, submit={"pipeline_parameters": [1]})


def test_an_unknown_keyword_of_submit(step, build) -> None:
    with pytest.raises(ValueError, match="unknown keyword 'pipeline_params'"):
        build(step("a"), submit={"pipeline_params": {}})


def test_names(ws, step, build) -> None:
    with pytest.raises(PipelineError, match="PipelineData cannot be named 'my data'.*'my_data'"):
        PipelineData("my data")
    same = [PipelineData("d"), PipelineData("d")]
    with pytest.raises(PipelineError, match="'a': two outputs are named 'd'"):
        build(step("a", outputs=same))
    with pytest.raises(PipelineError, match="'a': an input and an output are both named 'd'"):
        build(step("w", outputs=[same[0]]), step("a", inputs=[same[0]], outputs=[same[1]]))
    with pytest.raises(PipelineError, match="'r': two inputs are named 'd'"):
        build(step("w", outputs=[same[0]]), step("a", outputs=[same[1]]), step("r", inputs=same))
    one, two = PipelineData("x", pipeline_output_name="r"), PipelineData("y", pipeline_output_name="r")
    with pytest.raises(PipelineError, match="'w' and 'a' both have a pipeline output named 'r'"):
        build(step("w", outputs=[one]), step("a", outputs=[two]))


def test_things_that_are_no_steps_inputs_or_outputs(ws, step, build) -> None:
    with pytest.raises(PipelineError, match="'hello' is no step"):
        build("hello")
    with pytest.raises(PipelineError, match="no steps"):
        build()
    with pytest.raises(PipelineError, match="'a': 'x' cannot be an input"):
        build(step("a", inputs=["x"]))
    with pytest.raises(PipelineError, match="'a': 'x' cannot be an output"):
        build(step("a", outputs=["x"]))
    with pytest.raises(PipelineError, match="'a': inputs is a PipelineData, but must be a list"):
        step("a", inputs=PipelineData("x"))
    with pytest.raises(PipelineError, match="run_after got 'b'"):
        step("a").run_after("b")


def test_an_unknown_datastore(ws, step, build) -> None:
    with pytest.raises(PipelineError, match="unknown datastore 'lake'.*raw"):
        Datastore(ws, "lake")


def test_environments(ws, step, build) -> None:
    with pytest.raises(UserErrorException, match=r"'nope.yml' does not exist; looked in"):
        Environment.from_conda_specification("e", "nope.yml")
    with pytest.raises(UserErrorException, match="'AzureML-Minimal' is one of Azure's own"):
        Environment.get(ws, "AzureML-Minimal")
    config = RunConfiguration()
    config.node_count = 2
    with pytest.raises(NotSupportedError, match="'a': .*node_count 2"):
        build(step("a", runconfig=config))


def test_what_is_not_built_says_what_to_do(ws, step) -> None:
    from aml_provider.sdk.pipeline import Pipeline

    with pytest.raises(NotSupportedError, match="submit the pipeline instead"):
        Pipeline(ws, [step("a")]).publish("p")
    assert not hasattr(ws, "get_default_keyvault")
    with pytest.raises(AmlError, match="keep secrets in Airflow connections"):
        ws.get_default_keyvault()


def test_a_parameter_of_another_type() -> None:
    with pytest.raises(PipelineError, match="'p': its default is a list"):
        PipelineParameter("p", [1])
