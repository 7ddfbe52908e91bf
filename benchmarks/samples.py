"""The files that are measured: a pipeline as an Azure ML author writes it, and the same by hand for Airflow."""

from __future__ import annotations

from pathlib import Path

STEPS = 100
IMAGE = "testbed/python:3.11"

# Chains of ten, each step reading what the one before it wrote; all chains start from one step and end in one.
PIPELINE = """\
from azureml.core import Environment, Experiment, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.compute_target import ComputeTargetException
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
datastore = ws.get_default_datastore()
try:
    cluster = ComputeTarget(workspace=ws, name="cpu-cluster")
except ComputeTargetException:
    config = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=4)
    cluster = ComputeTarget.create(ws, "cpu-cluster", config)
    cluster.wait_for_completion(show_output=True)

environment = Environment("bench")
environment.python.user_managed_dependencies = True
run_config = RunConfiguration()
run_config.target = cluster
run_config.environment = environment

rate = PipelineParameter("rate", default_value=0.1)


def step(name, inputs, output):
    return PythonScriptStep(
        name=name,
        script_name="work.py",
        source_directory="code",
        arguments=["--rate", rate, "--number", 3, "--output", output, "--inputs", *inputs],
        inputs=inputs,
        outputs=[output],
        compute_target=cluster,
        runconfig=run_config,
    )


first = PipelineData("first", datastore=datastore)
steps = [step("first", [], first)]
ends = []
width = (__STEPS__ - 2) // 10
rest = (__STEPS__ - 2) - width * 10
for chain in range(10):
    before = first
    for link in range(width + (1 if chain < rest else 0)):
        after = PipelineData(f"data_{chain}_{link}", datastore=datastore)
        steps.append(step(f"work {chain} {link}", [before], after))
        before = after
    ends.append(before)
steps.append(step("last", ends, PipelineData("last", datastore=datastore)))

pipeline = Pipeline(workspace=ws, steps=steps)
pipeline.validate()
run = Experiment(ws, "bench").submit(pipeline)
run.wait_for_completion(show_output=True)
"""

# What a careful author writes by hand for the same: graph, pool, limits, retries.
BY_HAND = """\
from datetime import timedelta

from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk import DAG, Param
from docker.types import Mount


def step(name, upstream, inputs, output):
    task = DockerOperator(
        task_id=name,
        image="__IMAGE__",
        command=["python", "work.py", "--rate", "{{ params.rate }}", "--number", "3", "--output", output,
                 "--inputs", *inputs],
        mounts=[Mount(target="/data", source="/tmp", type="bind")],
        mount_tmp_dir=False,
        pool="aml_cpu-cluster",
        retries=2,
        retry_delay=timedelta(seconds=5),
        trigger_rule="none_failed",
        cpus=2,
        mem_limit=7 * 1024**3,
        doc_md=f"Runs work.py, writes {output}",
    )
    if upstream:
        task.set_upstream(upstream)
    return task


with DAG("bench", schedule=None, catchup=False, params={"rate": Param(0.1, type="number")}, tags=["bench"]):
    first = step("first", [], [], "/data/first")
    ends = []
    width = (__STEPS__ - 2) // 10
    rest = (__STEPS__ - 2) - width * 10
    for chain in range(10):
        before = first
        for link in range(width + (1 if chain < rest else 0)):
            before = step(f"work_{chain}_{link}", [before], [f"/data/{before.task_id}"], f"/data/{chain}_{link}")
        ends.append(before)
    step("last", ends, [f"/data/{e.task_id}" for e in ends], "/data/last")
"""

EMPTY = """\
from airflow.sdk import DAG

with DAG("empty", schedule=None):
    pass
"""

WORKSPACE = """\
name: bench
default_kind: docker
docker:
  image: __IMAGE__
"""


def write(folder: Path, steps: int = STEPS) -> dict[str, Path]:
    """Write the files into ``folder``; the pipelines are ``pipeline.py``, ``by_hand.py`` and ``empty.py``."""
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "work.py").write_text("print('work')\n", encoding="utf-8")
    (folder / "workspace.yaml").write_text(_filled(WORKSPACE, steps), encoding="utf-8")
    files = {"pipeline": PIPELINE, "by_hand": BY_HAND, "empty": EMPTY}
    for name, text in files.items():
        (folder / f"{name}.py").write_text(_filled(text, steps), encoding="utf-8")
    return {name: folder / f"{name}.py" for name in files}


def _filled(text: str, steps: int) -> str:
    return text.replace("__STEPS__", str(steps)).replace("__IMAGE__", IMAGE)
