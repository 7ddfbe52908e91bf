"""Child process: what a step costs over the bare operator. Arguments: the kind, how many steps.

One file declares both: a pipeline of steps and a DAG of bare operators that run the same script in the same image.
Airflow runs each DAG in this process (``dag.test``), in turns, and every ``execute`` is timed from Airflow's call to
its return. The first turn only warms up. Each turn has another value of a parameter, so that no step is reused: what
making its fingerprint, claiming it and recording its result take is in its time.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import tell
from benchmarks.samples import IMAGE

TURNS = 3

FILE = """\
import sys

from azureml.core import Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.pipeline.core import Pipeline, PipelineParameter
from azureml.pipeline.steps import PythonScriptStep

run_config = RunConfiguration()
run_config.environment = Environment("bench")
run_config.environment.python.user_managed_dependencies = True
ws = Workspace.from_config()
turn = PipelineParameter("turn", default_value=0)
steps = [
    PythonScriptStep(name=f"step_{n}", script_name="work.py", source_directory="code", compute_target="target",
                     runconfig=run_config, arguments=[turn, n])
    for n in range(__STEPS__)
]
Experiment(ws, "steps").submit(Pipeline(workspace=ws, steps=steps))

from airflow.sdk import DAG

with DAG("bare", schedule=None):
    for n in range(__STEPS__):
        __BARE__
"""

BARE = {
    "local": """\
from airflow.providers.standard.operators.bash import BashOperator
        BashOperator(task_id=f"bare_{n}", bash_command=f"{sys.executable} __CODE__/work.py")
""",
    "docker": """\
from airflow.providers.docker.operators.docker import DockerOperator
        from docker.types import Mount
        DockerOperator(task_id=f"bare_{n}", image="__IMAGE__", command=["python3", "/code/work.py"],
                       mounts=[Mount(target="/code", source="__CODE__", type="bind")], mount_tmp_dir=False,
                       network_mode="none", auto_remove="success")
""",
    "kubernetes": """\
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
        from kubernetes.client import models as k8s
        code = k8s.V1HostPathVolumeSource(path="__CODE__")
        KubernetesPodOperator(task_id=f"bare_{n}", name=f"bench-bare-{n}", image="__IMAGE__",
                              cmds=["python3", "/code/work.py"], config_file="__KUBECONFIG__",
                              namespace="__NAMESPACE__", image_pull_policy="Never", do_xcom_push=False,
                              deferrable=False, on_finish_action="delete_pod",
                              volumes=[k8s.V1Volume(name="code", host_path=code)],
                              volume_mounts=[k8s.V1VolumeMount(name="code", mount_path="/code", read_only=True)])
""",
}

WORKSPACE = """\
name: bench
default_kind: __KIND__
compute:
  target: {retries: 0, max_nodes: 64}
docker: {image: "__IMAGE__", network: none}
kubernetes:
  image: "__IMAGE__"
  namespace: __NAMESPACE__
  config_file: __KUBECONFIG__
  image_pull_policy: Never
  deferrable: false
"""


def main(kind: str, steps: int) -> None:
    """Run the DAGs in turns and tell how long each ``execute`` took."""
    dags = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    _write(dags, kind, steps)
    seconds: dict[str, list[float]] = {}

    from airflow.models.pool import Pool
    from airflow.utils.db import upgradedb

    upgradedb()
    Pool.create_or_update_pool("aml_target", slots=64, description="", include_deferred=True)
    for operator in _operators(kind):
        _time(operator, seconds)
    for turn in range(TURNS + 1):
        if turn == 1:
            for times in seconds.values():
                times.clear()
        _run(dags / "file.py", "bare", {})
        _run(dags / "file.py", "steps", {"turn": turn})
    bare, step = (seconds[operator.__name__] for operator in _operators(kind))
    if len(bare) != TURNS * steps or len(step) != TURNS * steps:
        raise SystemExit(f"{len(bare)} bare and {len(step)} step executions instead of {TURNS * steps} of each")
    tell(bare=bare, step=step)


def _write(dags: Path, kind: str, steps: int) -> None:
    (dags / "code").mkdir(parents=True)
    (dags / "code" / "work.py").write_text("print('work')\n", encoding="utf-8")
    values = {
        "BARE": BARE[kind].strip(),
        "STEPS": str(steps),
        "KIND": kind,
        "CODE": str(dags / "code"),
        "IMAGE": IMAGE,
        "NAMESPACE": os.environ.get("BENCH_NAMESPACE", "default"),
        "KUBECONFIG": os.environ.get("BENCH_KUBECONFIG", ""),
    }
    for name, text in (("file.py", FILE), ("workspace.yaml", WORKSPACE)):
        for key, value in values.items():
            text = text.replace(f"__{key}__", value)
        (dags / name).write_text(text, encoding="utf-8")


def _operators(kind: str) -> tuple[type[Any], type[Any]]:
    """The bare operator and the step operator of a kind."""
    if kind == "docker":
        from airflow.providers.docker.operators.docker import DockerOperator

        from aml_provider.operators.docker import DockerStepOperator

        return DockerOperator, DockerStepOperator
    if kind == "kubernetes":
        from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

        from aml_provider.operators.kubernetes import KubernetesStepOperator

        return KubernetesPodOperator, KubernetesStepOperator
    from airflow.providers.standard.operators.bash import BashOperator

    from aml_provider.operators.local import LocalStepOperator

    return BashOperator, LocalStepOperator


def _time(operator: type[Any], seconds: dict[str, list[float]]) -> None:
    """Have every ``execute`` of exactly this class timed; a step operator also calls its base class's."""
    original = operator.execute
    times = seconds.setdefault(operator.__name__, [])

    def execute(self: Any, context: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(self, context)
        finally:
            if type(self) is operator:
                times.append(time.perf_counter() - start)

    operator.execute = execute


def _run(file: Path, dag_id: str, conf: dict[str, Any]) -> None:
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(dag_folder=str(file), safe_mode=False, bundle_path=file.parent, bundle_name="dags-folder")
    if bag.import_errors:
        raise SystemExit(str(bag.import_errors))
    run = bag.dags[dag_id].test(run_conf=conf)
    if str(run.state) != "success":
        raise SystemExit(f"the run of {dag_id} ended as {run.state}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
