"""One DAG per pipeline: one task per step under the author's name, a head and a closing task around them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, BaseOperator
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
        tasks = {step.key: step_task(step, binding) for step in spec.steps}
        has_downstream = {up for step in spec.steps for up in step.upstream}
        for step in spec.steps:
            _come_after(tasks[step.key], [tasks[key] for key in step.upstream] or [head])
        _come_after(end, [tasks[s.key] for s in spec.steps if s.key not in has_downstream])
        end.as_teardown(on_failure_fail_dagrun=True)
    # Last, because Airflow copies the params a DAG has into every task that is made, deeply and once per class of the
    # task; a run takes them from the DAG anyway.
    dag.params = ParamsDict(airflow_params(spec))
    return dag


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
