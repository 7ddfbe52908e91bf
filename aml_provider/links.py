"""Links on a task's page: to its MLflow run, to its outputs, and to the run whose result stands for its own.

Airflow's API server knows neither the workspace nor the run store. So it is the task that makes the addresses, and what
the server shows is an XCom of the task. An address that does not exist (yet) is an empty text, which is shown as none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

    from aml_provider.runs.binding import PipelineBinding


class MLflowRunLink(BaseOperatorLink):
    """The step's run in MLflow's UI; of the head and the closing task, the pipeline's. A database has no such page."""

    name = "MLflow run"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Its address."""
        binding, step = _known(operator)
        return mlflow_page(binding, ti_key, None if step is None else step.key) if binding is not None else ""


class OutputsLink(BaseOperatorLink):
    """Where Airflow's own pages list the step's outputs: datastore, path, digest and size of each."""

    name = "Outputs"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Its address."""
        binding, step = _known(operator)
        return outputs_page(binding, ti_key, step.key) if binding is not None and step is not None else ""


class ReusedFromLink(BaseOperatorLink):
    """The step whose earlier result stands for this one's: its page in Airflow, else its MLflow run."""

    name = "Reused from"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Its address."""
        binding, step = _known(operator)
        return source_page(binding, ti_key, step.key) if binding is not None and step is not None else ""


STEP_LINKS = (MLflowRunLink(), OutputsLink(), ReusedFromLink())
RUN_LINKS = (MLflowRunLink(),)


def mlflow_page(binding: PipelineBinding, ti: Any, key: str | None) -> str:
    """The MLflow run of a step, or of the pipeline.

    :param ti: a task instance of the run.
    """
    from aml_provider.tracking.pages import run_page

    return run_page(binding.store.run(ti.dag_id, str(ti.run_id)).path, key) or ""


def outputs_page(binding: PipelineBinding, ti: Any, key: str) -> str:
    """The page of a step's outputs, once there are some."""
    result = binding.store.run(ti.dag_id, str(ti.run_id)).result(key) or {}
    return f"{_task_page(ti.dag_id, str(ti.run_id), key)}/xcom" if result.get("outputs") else ""


def source_page(binding: PipelineBinding, ti: Any, key: str) -> str:
    """Where the result of a reused step was made.

    :param ti: the task instance that asks Airflow whether it has that run.
    """
    result = binding.store.run(ti.dag_id, str(ti.run_id)).result(key) or {}
    source = result.get("reused")
    if not source or not source.get("dag_id"):
        return ""
    dag_id, run_id = str(source["dag_id"]), str(source["run_id"])
    # runs/<dag>/<run>/steps/<key>/attempts/<number>
    its_key = str(source.get("attempt_folder") or "").split("/")[-3:][0]
    if its_key and its_key in ti.get_task_states(dag_id=dag_id, run_ids=[run_id]).get(run_id, {}):
        return _task_page(dag_id, run_id, its_key)
    from aml_provider.tracking.pages import run_page

    return run_page(binding.store.run(dag_id, run_id).path, its_key or None) or ""


def _task_page(dag_id: str, run_id: str, task_id: str) -> str:
    from airflow.sdk import conf

    # As Airflow itself makes a task's address; see RuntimeTaskInstance.log_url.
    base = conf.get("api", "base_url", fallback="") or "http://localhost:8080"
    return f"{base.rstrip('/')}/dags/{quote(dag_id)}/runs/{quote(run_id)}/tasks/{quote(task_id)}"


def _known(operator: Any) -> tuple[PipelineBinding | None, Any]:
    return getattr(operator, "binding", None), getattr(operator, "step", None)
