"""Runs as MLflow knows them, for programs that see nothing else of them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import names
from .client import mlflow_client
from .details import SNAPSHOT, SYSTEM
from .projection import CHILD_OF_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PAGE = 1000
# Which run of MLflow is a pipeline run, and of which kind.
KIND_TAG = "aml.kind"
_CHILD_TAG = "aml.child_run_id"
# What the tracking code leaves in a run's artifacts for the eyes of MLflow's users.
_OURS = ("metrics.json", "reused_steps.json", "environment.json", f"{SNAPSHOT}.json")
_OUR_FOLDERS = ("metrics/", "logs/std_log.txt", f"{SNAPSHOT}/")


@dataclass(frozen=True)
class TrackedRun:
    """A pipeline run.

    :param started: in seconds since the epoch.
    """

    pipeline_run_id: str
    dag_id: str
    run_id: str
    kind: str
    experiment: str
    workspace: str
    started: float


def tracked_runs(tracking_uri: str, *, experiment: str | None = None, run_id: str | None = None) -> list[TrackedRun]:
    """Pipeline runs, the newest first.

    :param experiment: of this experiment only.
    :param run_id: with this pipeline run id, or with a step run of this id.
    :raises TrackingError: MLflow cannot be reached.
    """
    with mlflow_client(tracking_uri) as client:
        experiments = {e.experiment_id: e.name for e in client.search_experiments()}
        wanted = [i for i, name in experiments.items() if experiment in (None, name)]
        if run_id is not None:
            run_id = _pipeline_run_id(client, wanted, run_id)
        text = f"tags.`{KIND_TAG}` LIKE '%'"
        if run_id is not None:
            text += f" and tags.`aml.pipeline_run_id` = {names.quoted(run_id)}"
        return [_tracked(run, experiments) for run in _search(client, wanted, text)]


def _pipeline_run_id(client: MlflowClient, experiments: list[str], run_id: str) -> str:
    steps = _search(client, experiments, f"tags.`aml.step_run_id` = {names.quoted(run_id)}")
    return next((str(step.data.tags["aml.pipeline_run_id"]) for step in steps), run_id)


def _search(client: MlflowClient, experiments: list[str], text: str) -> Iterator[Run]:
    token: str | None = None
    while experiments:
        page = client.search_runs(
            experiments, text, max_results=_PAGE, order_by=["attributes.start_time DESC"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _tracked(run: Run, experiments: dict[str, str]) -> TrackedRun:
    tags = run.data.tags
    return TrackedRun(
        tags["aml.pipeline_run_id"],
        tags.get("aml.dag_id", ""),
        tags.get("aml.run_id", ""),
        tags[KIND_TAG],
        experiments.get(run.info.experiment_id, ""),
        tags.get("aml.workspace", ""),
        run.info.start_time / 1000,
    )


def find_mlflow_run(client: MlflowClient, pipeline_run_id: str, task_id: str | None) -> Run | None:
    """The MLflow run of a pipeline run, or of the latest attempt of one of its steps."""
    experiments = [e.experiment_id for e in client.search_experiments()]
    text = f"tags.`aml.pipeline_run_id` = {names.quoted(pipeline_run_id)} and "
    text += f"tags.`{KIND_TAG}` LIKE '%'" if task_id is None else f"tags.`aml.task_id` = {names.quoted(task_id)}"
    return next(_search(client, experiments, text), None)


def reported(client: MlflowClient, run: Run, child: str | None = None) -> Iterator[dict[str, Any]]:
    """What was reported to an MLflow run and its child runs, as events of the runtime's journal."""
    for key, value in run.data.tags.items():
        if key.startswith("aml.property."):
            yield {"type": "property", "key": key.removeprefix("aml.property."), "value": value, "child": child}
        elif key == "mlflow.runName" and child is not None:
            yield {"type": "display_name", "value": value, "child": child}
        elif key == "mlflow.note.content":
            yield {"type": "description", "value": value, "child": child}
        elif not key.startswith(("aml.", "mlflow.")):
            yield {"type": "tag", "key": key, "value": value, "child": child}
    for key in (key for key in run.data.metrics if not key.startswith(SYSTEM)):
        for point in client.get_metric_history(run.info.run_id, key):
            metric = {"kind": "scalar", "name": key, "value": point.value, "step": point.step}
            yield {"type": "metric", **metric, "child": child, "time": point.timestamp / 1000}
    if child is None:
        yield from _reported_by_children(client, run)


def _reported_by_children(client: MlflowClient, run: Run) -> Iterator[dict[str, Any]]:
    text = f"tags.`{CHILD_OF_TAG}` = '{run.info.run_id}'"
    # Those that began first come first, so that a child run is told of before those that are part of it.
    found = sorted(_search(client, [run.info.experiment_id], text), key=lambda inner: inner.info.start_time)
    known = {inner.info.run_id: inner.data.tags[_CHILD_TAG] for inner in found}
    for inner in found:
        status = {"FINISHED": "Completed", "FAILED": "Failed", "KILLED": "Canceled"}.get(inner.info.status, "Running")
        told = {"id": known[inner.info.run_id], "name": inner.info.run_name, "status": status}
        yield {"type": "child_run", **told, "child": known.get(inner.data.tags["mlflow.parentRunId"])}
        yield from reported(client, inner, known[inner.info.run_id])


def metrics_besides(client: MlflowClient, run_id: str, known: Container[str]) -> dict[str, Any]:
    """What else was logged to an MLflow run: a value, or a list when it was logged several times.

    :param known: the metrics that are left out.
    """
    found: dict[str, Any] = {}
    for key in sorted(client.get_run(run_id).data.metrics):
        if not key.startswith(SYSTEM) and key not in known:
            points = sorted(client.get_metric_history(run_id, key), key=lambda point: (point.step, point.timestamp))
            found[key] = points[0].value if len(points) == 1 else [point.value for point in points]
    return found


def artifact_names(client: MlflowClient, run_id: str, folder: str | None = None) -> Iterator[str]:
    """Names of the files that a script or a program gave to a run."""
    for entry in client.list_artifacts(run_id, folder):
        if entry.is_dir:
            yield from artifact_names(client, run_id, entry.path)
        elif entry.path not in _OURS and not entry.path.startswith(_OUR_FOLDERS):
            yield entry.path
