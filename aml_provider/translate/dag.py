"""One DAG per pipeline: one task per step under the author's name, a head and a closing task around them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator, get_parsing_context
from airflow.sdk.definitions.param import ParamsDict

from aml_provider.operators.run import PipelineEndOperator
from aml_provider.runs.binding import PipelineBinding
from aml_provider.sensors.pipeline import PipelineReuseSensor
from aml_provider.spec.models import PipelineSpec
from aml_provider.spec.names import END_KEY, HEAD_KEY
from aml_provider.translate.params import airflow_params
from aml_provider.translate.tasks import step_task
from aml_provider.workspace.resolved import LoadedWorkspace

# A run's record must not stay open because one worker was lost; a failure of the pipeline itself is not retried.
LOST_WORKER: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=5)}


def build_dag(spec: PipelineSpec, folder: Path, workspace: LoadedWorkspace, dag_id: str) -> DAG:
    """The DAG of a pipeline.

    The graph between head and closing task is the author's. The closing task is a teardown: it runs
    however the steps ended, and also when the run is cancelled. It fails when a step did, and the run with it.

    :param folder: the pipeline file's folder.
    """
    binding = PipelineBinding(spec, folder, workspace)
    with DAG(
        dag_id,
        description=spec.description,
        schedule=None,
        catchup=False,
        tags=["aml", spec.workspace],
        doc_md=_doc(spec),
    ) as dag:
        head = PipelineReuseSensor(task_id=HEAD_KEY, binding=binding, **LOST_WORKER)
        end = PipelineEndOperator(task_id=END_KEY, binding=binding, **LOST_WORKER)
        tasks: dict[str, BaseOperator] = {HEAD_KEY: head, END_KEY: end}
        edges = {step.key: step.upstream or (HEAD_KEY,) for step in spec.steps}
        edges[END_KEY] = tuple(edges.keys() - {key for keys in edges.values() for key in keys})
        own = _own_task(dag_id, {HEAD_KEY, *edges})
        near = _next_to(own, edges)
        for step in spec.steps:
            if own is None or step.key == own:
                tasks[step.key] = step_task(step, binding)
            elif step.key in near:
                tasks[step.key] = BaseOperator(task_id=step.key)
        for key, upstream in edges.items():
            if key in tasks:
                _come_after(tasks[key], [tasks[other] for other in upstream if other in tasks])
        end.as_teardown(on_failure_fail_dagrun=True)
    # Last, because Airflow copies the params a DAG has into every task that is made, deeply and once per class of the
    # task; a run takes them from the DAG anyway.
    dag.params = ParamsDict(airflow_params(spec))
    return dag


def _own_task(dag_id: str, keys: Collection[str]) -> str | None:
    """The task that is about to run in this process, which reads the file for it alone; ``None``: this is no task's.

    Then only that task is made; what is next to it has no more than a name. Making a task takes a tenth of a
    millisecond, and wide pipelines have thousands; of one in Kubernetes, the first takes seconds, for what it imports.
    """
    context = get_parsing_context()
    return context.task_id if context.dag_id == dag_id and context.task_id in keys and _in_task_process() else None


def _next_to(own: str | None, edges: Mapping[str, Sequence[str]]) -> Collection[str]:
    """The tasks before and behind one."""
    if own is None:
        return ()
    return {*edges.get(own, ()), *(key for key, upstream in edges.items() if own in upstream)}


def _in_task_process() -> bool:
    """Whether this process is that of a task.

    What Airflow says of the task, it says by the environment, and that is also what any program has that the task
    starts, another run of the same pipeline for example. This is how Airflow itself finds out.
    """
    return hasattr(sys.modules.get("airflow.sdk.execution_time.task_runner"), "SUPERVISOR_COMMS")


def _come_after(task: BaseOperator, upstream: Sequence[BaseOperator]) -> None:
    """What ``task.set_upstream`` does, for tasks that are known to be of one DAG.

    To find that out, it hashes the DAG once per edge, and a DAG's hash takes as long as it has tasks.
    """
    for other in upstream:
        other.downstream_task_ids.add(task.task_id)
        task.upstream_task_ids.add(other.task_id)


def _doc(spec: PipelineSpec) -> str:
    lines = [f"Pipeline of experiment **{spec.submit.experiment}** in workspace **{spec.workspace}**."]
    if spec.description:
        lines += ["", spec.description]
    return "\n".join(lines)
