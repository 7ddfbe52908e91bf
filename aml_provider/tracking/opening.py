"""Creating a pipeline run's MLflow runs, once, however often and from wherever it is tried."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aml_provider.runs.layout import RunFolder, run_kind

from . import names
from .client import artifact_location
from .details import source_tags
from .hiding import Hiding
from .ledger import Ledger, StepLedger
from .projection import log_params, tolerant
from .remote import KIND_TAG
from .reused import MAX_RUNS, log_reused, reused_results

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Which attempt a run is of; 0 for a step that was not run.
ATTEMPT_TAG = "aml.attempt"
_PAGE = 1000


def create_runs(client: MlflowClient, run_folder: Path, record: dict[str, Any], ledger: Ledger) -> None:
    """Create the experiment, the parent run and one run per step, or find those that are there.

    The ledger is saved when all of them exist. A crash before that leaves runs that are found again by their tags.

    :param record: the content of run.json.
    """
    store_root = RunFolder(run_folder).store_root
    experiment_id = find_or_create_experiment(client, str(record["experiment"]), ledger.tracking_uri, store_root)
    _tag_experiment(client, experiment_id, record)
    parent, steps = _existing(client, experiment_id, record)
    started = int(float(record.get("started") or 0) * 1000) or None
    if parent is None:
        name = str(record.get("display_name") or record["run_id"])
        parent = client.create_run(experiment_id, started, _parent_tags(record), run_name=name).info.run_id
    # The same values again are no conflict, and a crash may have come in between.
    with tolerant(f"parameters of {run_folder}"):
        hiding = Hiding.of(run_folder, record)
        given = record.get("parameters") or {}
        log_params(client, parent, {name: hiding.text(value) for name, value in given.items()})
    reused = reused_results(RunFolder(run_folder), record)
    log_reused(client, parent, reused, len(record["steps"]))
    ledger.experiment_id = experiment_id
    ledger.parent = parent
    for step in record["steps"]:
        task_id = step["task_id"]
        if task_id in steps:
            ledger.steps[task_id] = steps[task_id]
        elif task_id not in reused or len(reused) <= MAX_RUNS:
            # A reused step's run is ended right after this.
            create_step_run(client, record, step, ledger, scheduled=task_id not in reused)
    ledger.save(run_folder)


def create_step_run(
    client: MlflowClient, record: dict[str, Any], step: dict[str, Any], ledger: Ledger, *, scheduled: bool
) -> None:
    """Create one step's MLflow run below the parent.

    :param step: its entry in run.json.
    :param scheduled: show it as not running yet; else as running, which is what MLflow creates.
    """
    assert ledger.experiment_id is not None
    assert ledger.parent is not None
    run = client.create_run(
        ledger.experiment_id, None, step_tags(record, step, ledger.parent), run_name=str(step["name"])
    )
    if scheduled:
        client.update_run(run.info.run_id, status="SCHEDULED")
    ledger.steps[step["task_id"]] = StepLedger(run.info.run_id)


def _tag_experiment(client: MlflowClient, experiment_id: str, record: dict[str, Any]) -> None:
    """Give the experiment what programs said about it before the run."""
    tags = record.get("experiment_tags") or {}
    known = client.get_experiment(experiment_id).tags if tags else {}
    for name, value in tags.items():
        key = names.key(str(name))
        if known.get(key) != value:
            client.set_experiment_tag(experiment_id, key, names.text(value, names.MAX_TAG))


def find_or_create_experiment(client: MlflowClient, name: str, tracking_uri: str, store_root: Path) -> str:
    """The id of an experiment.

    :param store_root: the root of the run store, where artifacts of some stores are.
    """
    from mlflow.exceptions import MlflowException

    name = name[: names.MAX_EXPERIMENT]
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location(tracking_uri, store_root)))
        except MlflowException as error:
            # Another pipeline run of the experiment may have been quicker.
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _existing(
    client: MlflowClient, experiment_id: str, record: dict[str, Any]
) -> tuple[str | None, dict[str, StepLedger]]:
    """The runs that an earlier try made: the parent and, by task id, those of the steps' latest attempts."""
    parent: str | None = None
    steps: dict[str, StepLedger] = {}
    wanted = f"tags.`aml.pipeline_run_id` = {names.quoted(str(record['pipeline_run_id']))}"
    token: str | None = None
    while True:
        page = client.search_runs([experiment_id], wanted, max_results=_PAGE, page_token=token)
        for run in page:
            tags = run.data.tags
            if "aml.task_id" in tags:
                found, known = _found(run.info.run_id, run.info.status, tags), steps.get(tags["aml.task_id"])
                if known is None or (known.attempt or 0) < (found.attempt or 0):
                    steps[tags["aml.task_id"]] = found
            else:
                parent = run.info.run_id
        token = page.token
        if not token:
            return parent, steps


def _found(run_id: str, status: str, tags: dict[str, str]) -> StepLedger:
    """The ledger of a step's run that is there already."""
    attempt = int(tags.get(ATTEMPT_TAG) or 0)
    if attempt:
        return StepLedger(run_id, attempt)
    return StepLedger(run_id, status=status, done=0) if status in ("FINISHED", "KILLED") else StepLedger(run_id)


def _parent_tags(record: dict[str, Any]) -> dict[str, str]:
    user = {names.key(str(key)): value for key, value in (record.get("tags") or {}).items()}
    # Ours go last: an author's tag must not hide which run this is.
    texts = {key: names.text("" if value is None else value, names.MAX_TAG) for key, value in user.items()}
    return texts | source_tags(record) | _ties(record) | {KIND_TAG: run_kind(record)}


def step_tags(record: dict[str, Any], step: dict[str, Any], parent: str) -> dict[str, str]:
    """What an MLflow run says of the step that it belongs to.

    :param step: its entry in run.json.
    """
    return _ties(record) | {
        "mlflow.parentRunId": parent,
        "aml.task_id": str(step["task_id"]),
        "aml.step_run_id": str(step["step_run_id"]),
        "aml.step_name": str(step["name"]),
    }


def _ties(record: dict[str, Any]) -> dict[str, str]:
    """What ties an MLflow run to Airflow's dag run."""
    return {f"aml.{key}": str(record[key]) for key in ("dag_id", "run_id", "pipeline_run_id", "workspace")}
