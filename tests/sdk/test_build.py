"""How a graph is made of steps: dependencies, closure, order, names, and what lands in the spec."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from aml_provider.sdk.compute import AmlCompute, ComputeTarget
from aml_provider.sdk.conda import CondaDependencies
from aml_provider.sdk.data_reference import DataReference
from aml_provider.sdk.datapath import DataPath, DataPathComputeBinding
from aml_provider.sdk.datasets import Dataset
from aml_provider.sdk.datastore import Datastore
from aml_provider.sdk.environment import Environment
from aml_provider.sdk.outputs import OutputFileDatasetConfig
from aml_provider.sdk.parameter import PipelineParameter
from aml_provider.sdk.ports import InputPortBinding, OutputPortBinding, PipelineData
from aml_provider.sdk.runconfig import RunConfiguration
from aml_provider.sdk.script_run_config import ScriptRunConfig
from aml_provider.sdk.steps.base import StepSequence
from aml_provider.sdk.steps.command import CommandStep
from aml_provider.spec.errors import NotSupportedError, PipelineError
from aml_provider.spec.models import (
    Command,
    Concat,
    DataLocation,
    DataMode,
    DatasetSource,
    DatastoreSource,
    InputRef,
    OutputRef,
    ParameterRef,
    ParameterSource,
    ParameterType,
    PythonScript,
    Step,
    StepOutputSource,
    Text,
)


def keys(spec) -> list[str]:
    return [step.key for step in spec.steps]


def arguments(step: Step) -> tuple:
    assert isinstance(step.action, PythonScript)
    return step.action.arguments


# --- the graph ------------------------------------------------------------------------------------------------------


def test_naming_the_last_step_is_enough(step, build) -> None:
    data, model = PipelineData("data"), PipelineData("model")
    step("prep", ["--out", data], outputs=[data])
    check = step("check")
    train = step("train", ["--in", data, "--out", model], inputs=[data], outputs=[model])
    train.run_after(check)
    score = step("score", ["--model", model], inputs=[model])
    spec = build(score)
    assert keys(spec) == ["prep", "check", "train", "score"]
    assert spec.step("train").upstream == ("prep", "check")
    assert spec.step("train").after == ("check",)


def test_independent_steps_keep_the_authors_order(step, build) -> None:
    assert keys(build(step("z"), step("a"), step("m"))) == ["z", "a", "m"]


def test_order_follows_the_data_not_the_list(step, build) -> None:
    data = PipelineData("data")
    reader = step("reader", ["--in", data], inputs=[data])
    writer = step("writer", ["--out", data], outputs=[data])
    assert keys(build(reader, writer)) == ["writer", "reader"]


def test_a_sequence_runs_nested_lists_in_parallel(step, build) -> None:
    spec = build(StepSequence([step("a"), [step("b"), step("c")], step("d")]))
    assert spec.step("b").after == spec.step("c").after == ("a",)
    assert spec.step("d").after == ("b", "c")


def test_steps_with_one_name_get_keys_of_their_own(step, build) -> None:
    spec = build(step("train model"), step("train model"))
    assert keys(spec) == ["train_model", "train_model_2"]
    assert [s.name for s in spec.steps] == ["train model", "train model"]


def test_a_chain_of_thousands_of_steps(step, build) -> None:
    steps = [step(f"s{i}") for i in range(2000)]
    for before, after in pairwise(steps):
        after.run_after(before)
    assert keys(build(steps[-1])) == [s.name for s in steps]


# --- output datasets ------------------------------------------------------------------------------------------------


def test_an_output_dataset_in_the_arguments_is_an_output_there_and_an_input_elsewhere(step, build) -> None:
    data = OutputFileDatasetConfig("prepared")
    spec = build(step("prep", ["--out", data]), step("train", ["--in", data]), step("score", ["--in", data]))
    (written,) = spec.step("prep").outputs
    assert (written.name, written.directory, written.environment_variable) == ("prepared", True, "prepared")
    assert written.destination == "dataset/{run-id}/{output-name}"
    assert written.datastore == "workspaceblobstore"
    for reader in ("train", "score"):
        (read,) = spec.step(reader).inputs
        assert read.source == StepOutputSource(step="prep", output="prepared")
        assert read.is_dataset
        assert arguments(spec.step(reader))[1] == InputRef(name="prepared")


def test_the_readers_alone_lead_to_the_writer(step, build) -> None:
    data = OutputFileDatasetConfig()
    step("prep", ["--out", data])
    assert keys(build(step("train", ["--in", data]))) == ["prep", "train"]


def test_copies_of_an_output_dataset_are_the_same_output(ws, step, build) -> None:
    data = OutputFileDatasetConfig("d", destination=(Datastore(ws, "raw"), "/out/{run-id}"))
    prep = step(
        "prep", outputs=[data.as_upload(overwrite=True, source_globs=["*.csv"]).register_on_complete("prepared")]
    )
    spec = build(prep, step("train", inputs=[data.as_input("given")]))
    (written,) = spec.step("prep").outputs
    assert (written.datastore, written.destination, written.mode) == ("raw", "out/{run-id}", DataMode.UPLOAD)
    assert (written.overwrite, written.source_globs) == (True, ("*.csv",))
    assert written.registration is not None
    assert written.registration.name == "prepared"
    assert spec.step("train").inputs[0].name == "given"
    assert spec.step("train").inputs[0].mode is DataMode.MOUNT


def test_a_name_given_late_counts_for_every_copy(step, build) -> None:
    data = OutputFileDatasetConfig()
    upload = data.as_upload()
    data.name = "late"
    assert build(step("prep", ["--out", upload])).steps[0].outputs[0].name == "late"


def test_unnamed_outputs_are_named_by_their_place(step, build) -> None:
    one, two, named = OutputFileDatasetConfig(), OutputFileDatasetConfig(), OutputFileDatasetConfig("output_my_step_1")
    spec = build(step("my step", [one, two, named]), step("train", [one.as_input(), two]))
    assert [o.name for o in spec.steps[0].outputs] == ["output_my_step_1_2", "output_my_step_2", "output_my_step_1"]
    assert [i.name for i in spec.steps[1].inputs] == ["output_my_step_1_2", "output_my_step_2"]


def test_an_output_read_as_a_table(step, build) -> None:
    data = OutputFileDatasetConfig("rows")
    table = data.read_delimited_files(separator=";")
    spec = build(step("prep", ["--out", data]), step("train", inputs=[table.as_input("table")]))
    (read,) = spec.step("train").inputs
    assert isinstance(read.source, StepOutputSource)
    assert read.source.tabular is not None
    assert (read.source.tabular.format, read.source.tabular.separator) == ("delimited", ";")
    assert read.mode is DataMode.DIRECT


def test_a_notebook_cell_that_is_run_again_leaves_no_trace(step, build) -> None:
    data, mentioned = PipelineData("data"), OutputFileDatasetConfig("files")
    for _ in range(2):  # the cell with the steps, run twice; the data's cell only once
        prep = step("prep", ["--out", data, mentioned], outputs=[data])
        train = step("train", ["--in", data, mentioned.as_input("files")], inputs=[data])
    assert keys(build(train)) == ["prep", "train"]
    assert keys(build(prep, train)) == ["prep", "train"]


# --- pipeline data --------------------------------------------------------------------------------------------------


def test_pipeline_data_and_its_variable(step, build) -> None:
    data = PipelineData("data", pipeline_output_name="result")
    assert str(data) == "$AZUREML_DATAREFERENCE_data" == f"${data.get_env_variable_name()}"
    prep = step("prep", ["--out", f"{data}/part.csv", "--again", str(data)], outputs=[data])
    spec = build(prep, step("train", ["--in", "x=${AZUREML_DATAREFERENCE_data}"], inputs=[data]))
    assert arguments(spec.step("prep"))[1] == Concat(parts=(OutputRef(name="data"), Text(value="/part.csv")))
    assert arguments(spec.step("prep"))[3] == OutputRef(name="data")
    assert arguments(spec.step("train"))[1] == Concat(parts=(Text(value="x="), InputRef(name="data")))
    (written,) = spec.step("prep").outputs
    assert (written.directory, written.destination) == (False, "azureml/{run-id}/{output-name}")
    assert written.environment_variable == "AZUREML_DATAREFERENCE_data"
    assert written.pipeline_output_name == "result"


def test_a_variable_of_other_data_is_left_to_the_script(step, build) -> None:
    data = PipelineData("d")
    spec = build(step("prep", ["$AZUREML_DATAREFERENCE_data2"], outputs=[data]))
    assert arguments(spec.steps[0]) == (Text(value="$AZUREML_DATAREFERENCE_data2"),)


def test_ways_to_read_pipeline_data(step, build) -> None:
    data = OutputPortBinding("data", output_name="port")
    prep = step("prep", ["--out", data], outputs=[data])
    bound = InputPortBinding("bound", data, bind_mode="download", path_on_compute="/tmp/x", overwrite=True)
    spec = build(prep, step("train", ["--in", bound, data], inputs=[bound]))
    (read,) = spec.step("train").inputs
    assert read.source == StepOutputSource(step="prep", output="port")
    assert (read.name, read.mode, read.path_on_compute, read.overwrite) == ("bound", DataMode.DOWNLOAD, "/tmp/x", True)
    assert read.environment_variable == "AZUREML_DATAREFERENCE_bound"
    assert arguments(spec.step("train"))[1:] == (InputRef(name="bound"), InputRef(name="bound"))
    assert arguments(spec.step("prep"))[1] == OutputRef(name="port")


def test_an_equal_binding_in_arguments_need_not_be_the_same_object(step, build) -> None:
    data = PipelineData("data")
    prep = step("prep", outputs=[data])
    spec = build(prep, step("train", [data.as_input("x")], inputs=[data.as_input("x")]))
    assert arguments(spec.step("train")) == (InputRef(name="x"),)


def test_pipeline_data_as_a_registered_dataset(step, build) -> None:
    data = PipelineData("data")
    dataset = data.as_dataset().register("prepared")
    spec = build(
        step("prep", [data], outputs=[dataset]), step("train", [dataset], inputs=[dataset.as_named_input("in")])
    )
    (written,) = spec.step("prep").outputs
    assert written.registration is not None
    assert written.registration.name == "prepared"
    (read,) = spec.step("train").inputs
    assert (read.name, read.is_dataset, read.environment_variable) == ("in", True, "in")
    assert arguments(spec.step("train")) == (InputRef(name="in"),)


# --- data from datastores -------------------------------------------------------------------------------------------


def test_datasets_as_inputs(ws, step, build) -> None:
    files = Dataset.File.from_files([(Datastore(ws, "raw"), "/a/*.csv"), DataPath(Datastore(ws), "b")], validate=False)
    spec = build(
        step("prep", ["--in", files.as_named_input("files").as_mount("/data")]),
        step("two words", [files.as_download(), files.as_mount()]),
    )
    (read,) = spec.step("prep").inputs
    places = (DataLocation(datastore="raw", path="a/*.csv"), DataLocation(datastore="workspaceblobstore", path="b"))
    assert read.source == DatasetSource(locations=places)
    assert (read.mode, read.path_on_compute) == (DataMode.MOUNT, "/data")
    assert [i.name for i in spec.steps[1].inputs] == ["input_two_words_1", "input_two_words_2"]
    assert [i.mode for i in spec.steps[1].inputs] == [DataMode.DOWNLOAD, DataMode.MOUNT]


def test_tabular_datasets_say_how_they_are_read(ws, step, build) -> None:
    table = Dataset.Tabular.from_delimited_files((Datastore(ws), "t.tsv"), separator="\t", header=False, validate=False)
    (read,) = build(step("prep", inputs=[table.as_named_input("t")])).steps[0].inputs
    assert isinstance(read.source, DatasetSource)
    assert read.source.dataset_type == "tabular"
    assert read.source.tabular is not None
    assert (read.source.tabular.separator, read.source.tabular.header) == ("\t", "none")
    assert read.mode is DataMode.DIRECT


def test_data_references(ws, step, build) -> None:
    reference = DataReference(Datastore(ws, "raw"), "ref", "in", mode="download")
    unnamed = Datastore(ws, "raw").path("x/y.csv").as_mount()
    spec = build(step("prep", ["--in", reference, f"{unnamed}"], inputs=[reference, unnamed]))
    first, second = spec.steps[0].inputs
    assert first.source == DatastoreSource(location=DataLocation(datastore="raw", path="in"))
    assert (first.mode, first.environment_variable) == (DataMode.DOWNLOAD, "AZUREML_DATAREFERENCE_ref")
    assert second.name == "raw_x_y_csv"
    assert arguments(spec.steps[0])[1:] == (InputRef(name="ref"), InputRef(name="raw_x_y_csv"))


def test_a_data_path_chosen_per_run(ws, step, build) -> None:
    path = PipelineParameter("where", DataPath(Datastore(ws, "raw"), "today"))
    bound = (path, DataPathComputeBinding(mode="download"))
    spec = build(
        step("prep", ["--in", bound], inputs=[bound]),
        submit={"pipeline_parameters": {"where": DataPath(Datastore(ws), "tomorrow")}},
    )
    (read,) = spec.steps[0].inputs
    assert read.source == ParameterSource(name="where")
    assert read.mode is DataMode.DOWNLOAD
    assert spec.parameters[0].default == {"datastore": "raw", "path": "today"}
    assert spec.submit.parameters == {"where": {"datastore": "workspaceblobstore", "path": "tomorrow"}}


def test_a_dataset_chosen_per_run(ws, step, build) -> None:
    from aml_provider.sdk.consumption import DatasetConsumptionConfig

    dataset = Dataset.File.from_files((Datastore(ws, "raw"), "today"), validate=False)
    chosen = DatasetConsumptionConfig("given", PipelineParameter("which", dataset)).as_mount()
    spec = build(step("prep", ["--in", chosen], inputs=[chosen]))
    assert spec.steps[0].inputs[0].source == ParameterSource(name="which")
    assert spec.parameters[0].type is ParameterType.DATASET
    assert DatasetSource(**spec.parameters[0].default) == dataset.source


# --- parameters, environment, compute -------------------------------------------------------------------------------


def test_parameters_in_arguments_params_and_run_configuration(step, build) -> None:
    rate = PipelineParameter("rate", 0.1)
    nodes = PipelineParameter("nodes", 2)
    config = RunConfiguration()
    spec = build(
        step(
            "train",
            ["--rate", rate, "--flag", True, "--n", 3, "--path", Path("a/b")],
            params={"depth": 3, "rate": rate},
            runconfig=config,
            runconfig_pipeline_params={"NodeCount": nodes},
        ),
        submit={"pipeline_parameters": {"rate": 1}},
    )
    assert [(p.name, p.type) for p in spec.parameters] == [
        ("rate", ParameterType.NUMBER),
        ("nodes", ParameterType.INTEGER),
    ]
    made = spec.steps[0]
    assert arguments(made)[1] == ParameterRef(name="rate")
    assert [a.value for a in arguments(made)[2:]] == ["--flag", "True", "--n", "3", "--path", "a/b"]
    assert made.parameters == {"depth": Text(value="3"), "rate": ParameterRef(name="rate")}
    assert made.runconfig_parameters == {"NodeCount": ParameterRef(name="nodes")}
    assert spec.submit.parameters == {"rate": 1.0}
    assert made.environment is None, "a run configuration that says nothing about the environment asks for none"


def test_the_environment_without_azures_own_packages(project, step, build) -> None:
    (project / "extra.txt").write_text("lightgbm  # fast\n-r more.txt\n")
    (project / "more.txt").write_text(
        "--extra-index-url https://example.org/simple\nshap==0.4 \\\n  --hash=sha256:00\n"
    )
    (project / "conda.yml").write_text(
        "channels: [conda-forge]\ndependencies: [python=3.10, numpy, {pip: [-r extra.txt, 'azureml-dataprep[pandas]']}]"
    )
    config = RunConfiguration()
    config.environment = Environment.from_conda_specification("mine", "conda.yml")
    config.environment.environment_variables["A"] = "1"
    config.environment.docker.base_image = "ghcr.io/me/image:1"
    config.docker.shm_size = "8g"
    made = build(step("prep", runconfig=config)).steps[0].environment
    assert made is not None
    assert (made.name, made.image, made.shm_size, made.variables) == ("mine", "ghcr.io/me/image:1", "8g", {"A": "1"})
    assert made.python.version == "3.10"
    assert made.python.pip_packages == ("lightgbm", "shap==0.4", "pandas")
    assert made.python.pip_options == ("--extra-index-url https://example.org/simple",)
    assert (made.python.conda_packages, made.python.conda_channels) == (("numpy",), ("conda-forge",))


def test_arguments_for_docker_are_refused_and_the_runs_own_memory_wins(step, build) -> None:
    config = RunConfiguration()
    config.environment.docker.shm_size = "256m"
    config.docker.shm_size = "512m"
    made = build(step("prep", runconfig=config)).steps[0].environment
    assert made is not None
    assert made.shm_size == "512m"
    for section in (config.docker, config.environment.docker):
        section.arguments = ["-e", "A=1"]
        with pytest.raises(NotSupportedError, match=r"Step 'prep'.*'-e', 'A=1'.*environment_variables"):
            build(step("prep", runconfig=config))
        section.arguments = []


def test_asking_for_azures_mlflow_plugin_asks_for_mlflow(step, build) -> None:
    config = RunConfiguration()
    packages = ["azureml-defaults", "azureml-mlflow", "packaging"]
    config.environment.python.conda_dependencies = CondaDependencies.create(pip_packages=packages)
    made = build(step("prep", runconfig=config)).steps[0].environment
    assert made is not None
    assert made.python.pip_packages == ("packaging", "mlflow")


def test_v1s_default_image_and_python_are_no_wishes(step, build) -> None:
    from aml_provider.sdk.runconfig import DEFAULT_CPU_IMAGE

    config = RunConfiguration()
    config.environment.docker.base_image = DEFAULT_CPU_IMAGE
    config.environment.python.conda_dependencies.add_pip_package("scikit-learn")
    made = build(step("prep", runconfig=config)).steps[0].environment
    assert made is not None
    assert made.image is None
    assert made.python.version is None
    assert made.python.pip_packages == ("scikit-learn",)


def test_a_dockerfile_is_kept_as_text(project, step, build) -> None:
    (project / "Dockerfile").write_text("FROM python:3.11\nRUN true\n")
    for given in ("Dockerfile", "FROM python:3.11\nRUN true\n"):
        config = RunConfiguration()
        config.environment = Environment.from_dockerfile("d", given)
        made = build(step("prep", runconfig=config)).steps[0].environment
        assert made is not None
        assert made.dockerfile == "FROM python:3.11\nRUN true\n"
        assert made.python.user_managed


def test_targets_that_the_file_creates(ws, step, build) -> None:
    config = AmlCompute.provisioning_configuration(vm_size="standard_nc6", max_nodes=1)
    made = ComputeTarget.create(ws, "gpu", config)
    assert isinstance(made, AmlCompute)
    ComputeTarget.create(ws, "unused", config)
    spec = build(step("a", compute_target=made), step("b", compute_target="gpu"), step("c"))
    assert [(c.name, c.vm_size, c.max_nodes) for c in spec.compute] == [("gpu", "standard_nc6", 1)]
    assert [s.compute_target for s in spec.steps] == ["gpu", "gpu", "cpu"]


def test_a_timeout_and_a_version(step, build) -> None:
    config = RunConfiguration()
    config.max_run_duration_seconds = 60
    made = build(step("a", runconfig=config, version=3, allow_reuse=False)).steps[0]
    assert (made.timeout_seconds, made.version, made.allow_reuse) == (60, "3", False)


# --- commands -------------------------------------------------------------------------------------------------------


def test_commands(ws, project, build) -> None:
    data = PipelineData("data")
    echo = CommandStep("echo hi > $AZUREML_DATAREFERENCE_data", name="echo", outputs=[data], compute_target="cpu")
    (project / "run.sh").write_text("true\n")
    run = CommandStep(["sh", "run.sh", data], inputs=[data], compute_target="cpu")
    spec = build(echo, run)
    assert spec.step("echo").source_directory is None
    assert spec.step("echo").action == Command(words=(Text(value="echo hi > $AZUREML_DATAREFERENCE_data"),))
    assert spec.step("sh").source_directory == "."
    assert spec.step("sh").action == Command(words=(Text(value="sh"), Text(value="run.sh"), InputRef(name="data")))


def test_a_command_from_the_run_configuration(build) -> None:
    config = RunConfiguration(command="ls -l")
    config.target = "cpu"
    made = build(CommandStep(runconfig=config, name="list", source_directory="src")).steps[0]
    assert made.action == Command(words=(Text(value="ls -l"),))
    assert (made.source_directory, made.compute_target) == ("src", "cpu")


def test_a_command_from_a_script_run(project, build) -> None:
    (project / "src" / "list.sh").write_text("ls\n")
    source = ScriptRunConfig("src", command=["sh", "list.sh"], compute_target="cpu", environment=Environment("mine"))
    made = build(CommandStep(name="list", runconfig=source)).steps[0]
    assert (made.source_directory, made.compute_target) == ("src", "cpu")
    assert made.environment is not None
    assert made.environment.name == "mine"
    assert made.action == Command(words=(Text(value="sh"), Text(value="list.sh")))
    with pytest.raises(PipelineError, match="CommandStep 'train': command is missing"):
        CommandStep(name="train", runconfig=ScriptRunConfig("src", script="train.py"))


def test_options_of_a_submission(step, build) -> None:
    spec = build(
        step("a"),
        description="about",
        submit={"tags": {"who": "me", "n": 1}, "continue_on_step_failure": True, "regenerate_outputs": True},
    )
    assert spec.description == "about"
    assert spec.submit.experiment == "exp"
    assert spec.submit.tags == {"who": "me", "n": "1"}
    assert spec.submit.continue_on_step_failure
    assert spec.submit.regenerate_outputs
