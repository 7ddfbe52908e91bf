"""Ending the MLflow runs of a pipeline run whose folder this machine does not see."""

from __future__ import annotations

from collections.abc import Mapping

from . import names
from .client import mlflow_client
from .steps import mlflow_status


def end_open_runs(
    tracking_uri: str, experiment: str, dag_id: str, run_id: str, state: str, states: Mapping[str, str]
) -> None:
    """End those that are still open; what was not sent before stays unsent.

    :param state: Airflow's state of the run, :param states: and of its tasks by their ids.
    :raises TrackingError: MLflow cannot be used.
    """
    whole = "FINISHED" if state == "success" else "FAILED" if "failed" in states.values() else "KILLED"
    with mlflow_client(tracking_uri) as client:
        known = client.get_experiment_by_name(experiment[: names.MAX_EXPERIMENT])
        if known is None:
            return
        filters = f"tags.`aml.dag_id` = {names.quoted(dag_id)} and tags.`aml.run_id` = {names.quoted(run_id)}"
        token: str | None = None
        while True:
            page = client.search_runs([known.experiment_id], filters, max_results=1000, page_token=token)
            for run in page:
                if run.info.status in ("RUNNING", "SCHEDULED"):
                    task = run.data.tags.get("aml.task_id")
                    own = whole if task is None else mlflow_status(states.get(task, "removed"))
                    client.set_terminated(run.info.run_id, own or "KILLED")
            token = page.token
            if not token:
                return
