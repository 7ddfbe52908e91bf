"""From a spec to Airflow's tasks: kinds, limits, pools, params, rules, and what a parse does not import."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.definitions.context import _AIRFLOW_PARSING_CONTEXT_DAG_ID, _AIRFLOW_PARSING_CONTEXT_TASK_ID
from airflow.sdk.exceptions import ParamValidationError
from airflow.sdk.execution_time import task_runner

from aml_provider.spec.models import (
    DataLocation,
    DatasetSource,
    EnvironmentSpec,
    Parameter,
    ParameterSource,
    ParameterType,
    PipelineSpec,
    PythonScript,
    Registration,
    Step,
    StepInput,
    StepOutput,
    SubmitOptions,
)
from aml_provider.translate.dag import build_dag
from aml_provider.workspace.discovery import load_workspace

WORKSPACE = """
name: lab
docker: {image: "python:3.11"}
kubernetes: {image: "python:3.11", namespace: ml}
compute:
  here: {kind: local, pool: desk}
  box: {kind: docker, cpus: 2, memory: 2Gi, timeout_seconds: 60, network: none, retries: 1}
  gpus: {kind: docker, gpus: 2, max_nodes: 3}
  pod: {kind: kubernetes, node_selector: {disk: ssd}, service_account: steps, retry_delay_seconds: 7}
  watched: {kind: kubernetes, deferrable: false, image: "ml:1"}
"""


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., DAG]:
    """The DAG of steps on these targets."""
    (tmp_path / "workspace.yaml").write_text(WORKSPACE)

    def make(*steps: Step, parameters: tuple[Parameter, ...] = (), **submit: Any) -> DAG:
        spec = PipelineSpec(
            workspace="lab",
            default_datastore="workspaceblobstore",
            steps=steps,
            parameters=parameters,
            submit=SubmitOptions(experiment="e", **submit),
        )
        return build_dag(spec, tmp_path, load_workspace(tmp_path / "workspace.yaml"), "e")

    return make


def step(key: str, target: str, **more: Any) -> Step:
    options: dict[str, Any] = {"name": key, "type": "PythonScriptStep", "action": PythonScript(script="t.py"), **more}
    return Step(key=key, compute_target=target, **options)


def test_a_task_is_what_its_compute_target_says(build: Callable[..., DAG]) -> None:
    image = EnvironmentSpec(name="e", image="mine:2")
    dag = build(
        step("a", "here"),
        step("b", "box"),
        step("c", "gpus", environment=image),
        step("d", "pod"),
        step("f", "watched"),
    )
    a, b, c, d, f = (dag.task_dict[k] for k in "abcdf")
    assert [type(t).__name__ for t in (a, b, d)] == [
        "LocalStepOperator",
        "DockerStepOperator",
        "KubernetesStepOperator",
    ]
    assert [(t.pool, t.pool_slots) for t in (a, b, c)] == [("desk", 1), ("aml_box", 1), ("aml_gpus", 2)]
    assert (b.image, c.image, f.image) == ("python:3.11", "mine:2", "ml:1")
    assert (b.retries, b.retry_delay, d.retries, d.retry_delay) == (1, timedelta(seconds=5), 2, timedelta(seconds=7))
    # The runtime keeps the limit; Airflow's comes later, so that there is time to collect.
    assert b.execution_timeout > timedelta(seconds=60)
    assert a.execution_timeout is None
    assert (d.namespace, d.node_selector, d.service_account_name) == ("ml", {"disk": "ssd"}, "steps")
    assert (d.deferrable, f.deferrable) == (True, False)
    assert not d.do_xcom_push


def test_names_rules_and_what_is_never_rendered(build: Callable[..., DAG]) -> None:
    dag = build(step("prep_data", "here", name="prep data / ✓"), step("train", "box", after=("prep_data",)))
    prep, train = dag.task_dict["prep_data"], dag.task_dict["train"]
    assert prep.task_display_name == "prep data / ✓"
    assert train.task_display_name == "train"
    assert train.upstream_task_ids == {"prep_data"}
    assert {prep.trigger_rule, train.trigger_rule} == {"none_failed"}
    assert [tuple(t.template_fields) for t in (prep, train)] == [(), ()]
    assert prep.upstream_task_ids == {"reuse"}
    assert dag.task_dict["pipeline_end"].upstream_task_ids == {"train"}


def test_a_tasks_own_process_makes_only_what_is_next_to_it(
    build: Callable[..., DAG], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each task of a wide pipeline reads the file once more, and only for itself."""
    chain = [step("s0", "here"), *(step(f"s{n}", "here", after=(f"s{n - 1}",)) for n in range(1, 9))]
    whole = build(*chain)
    assert len(whole.task_dict) == 11
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", object(), raising=False)
    for key, wanted in {"s4": {"s3", "s4", "s5"}, "reuse": {"s0"}, "pipeline_end": {"s8"}}.items():
        parsing_for(monkeypatch, "e", key)
        dag = build(*chain)
        assert set(dag.task_dict) == {"reuse", "pipeline_end", *wanted}
        task, same = dag.task_dict[key], whole.task_dict[key]
        assert (task.upstream_task_ids, task.downstream_task_ids) == (same.upstream_task_ids, same.downstream_task_ids)
        assert type(task) is type(same)
        dag.validate()
        dag.check_cycle()
    parsing_for(monkeypatch, "another", "s4")
    assert set(build(*chain).task_dict) == set(whole.task_dict)


def test_what_a_task_starts_makes_the_whole_pipeline(
    build: Callable[..., DAG], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that a task starts inherits what Airflow says of the task, and may run the same pipeline itself."""
    parsing_for(monkeypatch, "e", "b")
    assert {"a", "b", "c"} < set(build(step("a", "here"), step("b", "here"), step("c", "here")).task_dict)


def parsing_for(monkeypatch: pytest.MonkeyPatch, dag_id: str, task_id: str) -> None:
    """As Airflow does it in the process of a task."""
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, dag_id)
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_TASK_ID, task_id)


def test_parameters_are_typed(build: Callable[..., DAG]) -> None:
    kinds = {"text": "a", "count": 3, "rate": 0.5, "fast": True}
    types = dict(zip(kinds, ("string", "integer", "number", "boolean"), strict=True))
    data = Parameter(name="data", type=ParameterType.DATAPATH, default={"datastore": "d", "path": "p"})
    parameters = tuple(Parameter(name=n, type=ParameterType(types[n]), default=v) for n, v in kinds.items())
    dag = build(step("a", "here"), parameters=(*parameters, data))
    options = {"regenerate_outputs": False, "assume_unchanged": []}
    assert dict(dag.params) == {**kinds, "data": {"datastore": "d", "path": "p"}, **options}
    wrong_values: dict[str, Any] = {"text": 1, "count": "3", "rate": "x", "fast": "yes", "data": "folder"}
    for name, wrong in {**wrong_values, "regenerate_outputs": "yes", "assume_unchanged": "a"}.items():
        with pytest.raises(ParamValidationError):
            dag.params.get_param(name).resolve(wrong)
    assert dag.params.get_param("rate").resolve(2) == 2


def test_what_a_run_can_be_told_starts_with_what_submit_was_told(build: Callable[..., DAG]) -> None:
    dag = build(step("a", "here"), regenerate_outputs=True, assume_unchanged=("a",))
    assert dict(dag.params) == {"regenerate_outputs": True, "assume_unchanged": ["a"]}


def test_a_pipelines_own_parameter_of_that_name_stays_its_own(build: Callable[..., DAG]) -> None:
    own = Parameter(name="regenerate_outputs", type=ParameterType.INTEGER, default=3)
    dag = build(step("a", "here"), parameters=(own,), regenerate_outputs=True)
    assert dict(dag.params) == {"regenerate_outputs": 3, "assume_unchanged": []}


LOADED = """
import sys
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag
bag = BundleDagBag(dag_folder=sys.argv[1], bundle_path=Path(sys.argv[1]).parent, bundle_name="b")
assert not bag.import_errors, bag.import_errors
assert list(bag.dags) == ["e"], bag.dags
print(*sorted({m.partition(".")[0] for m in sys.modules} & {"kubernetes", "kubernetes_asyncio", "docker", "mlflow"}))
"""
FILE = """
from azureml.core import Experiment, Workspace
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
step = PythonScriptStep("t.py", name="a", source_directory="src", compute_target="TARGET")
run = Experiment(ws, "e").submit(Pipeline(ws, [step]))
AFTER
"""
# What authors write after submit; while Airflow reads the file it must pass, whatever it asks.
AFTER = """
print(run, run.id, run.get_portal_url(), run.get_status())
run.wait_for_completion(show_output=True)
for child in run.get_steps():
    child.get_output_data("model").download("x")
for found in run.find_step_run("a"):
    print(found.get_metrics()["accuracy"])
details = run.get_details()
with open("/dev/null", "w") as f:
    f.write(str(details.get("status")))
if run.get_status() == "Failed":
    raise SystemExit(1)
run.tag("a", "b")
print(len(list(run.get_children())), sorted(run.get_metrics()), run.get_tags().items(), f"{run.number}")
output = run.get_pipeline_output("x")
output.download(local_path=".")
run.cancel()
"""


@pytest.mark.parametrize(("target", "loads"), [("box", {"docker"}), ("watched", {"kubernetes"}), ("here", set())])
def test_a_parse_imports_only_what_its_steps_need(tmp_path: Path, target: str, loads: set[str]) -> None:
    (tmp_path / "workspace.yaml").write_text(WORKSPACE)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "t.py").touch()
    file = tmp_path / "pipeline.py"
    file.write_text(FILE.replace("TARGET", target).replace("AFTER", AFTER))
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(file)], capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded - {"kubernetes_asyncio"} == loads


def test_registered_datasets_are_assets(build: Callable[..., DAG]) -> None:
    read = DatasetSource(locations=(DataLocation(datastore="d", path="p"),), name="Häuser 1/2", version=3)
    part = read.model_copy(update={"derived": True, "operations": ({"op": "take", "count": 1},)})
    unnamed = DatasetSource(locations=(DataLocation(datastore="d", path="q"),))
    inputs = tuple(StepInput(name=n, source=s) for n, s in {"a": read, "b": part, "c": unnamed}.items())
    output = StepOutput(name="o", datastore="d", destination="x", registration=Registration(name="made"))
    dag = build(step("s", "here", inputs=inputs, outputs=(output,)), step("t", "here"))
    (inlet,), (outlet,) = dag.get_task("s").inlets, dag.get_task("s").outlets
    assert (inlet.name, inlet.uri) == ("lab/H%C3%A4user%201%2F2", "aml://lab/H%C3%A4user%201%2F2")
    assert (outlet.name, outlet.uri) == ("lab/made", "aml://lab/made")
    assert not dag.get_task("t").inlets


def test_a_dataset_that_a_parameter_chooses_has_its_default_as_inlet(build: Callable[..., DAG]) -> None:
    inputs = tuple(StepInput(name=n, source=ParameterSource(name=n)) for n in ("data", "place"))
    parameters = (
        Parameter(
            name="data",
            type=ParameterType.DATASET,
            default={"name": "houses", "version": 2, "locations": [{"datastore": "d", "path": "p"}]},
        ),
        Parameter(name="place", type=ParameterType.DATAPATH, default={"datastore": "d", "path": "q"}),
    )
    dag = build(step("s", "here", inputs=inputs), parameters=parameters)
    assert [inlet.uri for inlet in dag.get_task("s").inlets] == ["aml://lab/houses"]
