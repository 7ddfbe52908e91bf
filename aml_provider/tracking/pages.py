"""Where MLflow's UI shows a run."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit

from .client import is_remote, without_password
from .ledger import Ledger


def run_page(run_folder: Path, task_id: str | None = None) -> str | None:
    """The address of a step's MLflow run, or of the pipeline's; ``None``: there is none, or no server that shows it.

    :param task_id: the step; ``None`` for the pipeline's own run.
    """
    ledger = Ledger.load(run_folder)
    if ledger is None or ledger.parent is None or not is_remote(ledger.tracking_uri):
        return None
    step = ledger.steps.get(task_id) if task_id is not None else None
    # A step that was reused among many has no run of its own.
    run_id = ledger.parent if step is None else step.run_id
    return f"{_without_user(ledger.tracking_uri).rstrip('/')}/#/experiments/{ledger.experiment_id}/runs/{quote(run_id)}"


def where_to_look(run_folder: Path, task_id: str, tracking_uri: str) -> str:
    """The same in words, for a database a command that starts a server for it."""
    ledger = Ledger.load(run_folder)
    page = run_page(run_folder, task_id)
    if page is not None or is_remote(tracking_uri):
        return page or f"{without_password(tracking_uri)} could not be told of the run yet"
    step = None if ledger is None else ledger.steps.get(task_id)
    run = f"run {step.run_id}; " if step is not None else ""
    return f"{run}to look at it: mlflow ui --backend-store-uri {without_password(tracking_uri)}"


def _without_user(uri: str) -> str:
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
