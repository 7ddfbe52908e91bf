"""Variables by which a script's own ``mlflow`` calls land in its step's run."""

from __future__ import annotations

from pathlib import Path

from aml_provider.runs.layout import RunFolder

from .attempts import is_own_run
from .client import is_remote
from .ledger import Ledger


def mlflow_variables(
    run_folder: Path, task_id: str, tracking_uri: str, *, attempt: int = 1, same_machine: bool = False
) -> dict[str, str]:
    """What a step's environment gets; empty when the step could not reach the store anyway.

    :param attempt: the attempt; where its own run could not be made, none is named: that of another must not be used.
    :param same_machine: the step sees the worker's files, so a store in a file is of use to it.
    """
    ledger = Ledger.load(run_folder)
    if not (same_machine or is_remote(tracking_uri)):
        return {}
    variables = {"MLFLOW_TRACKING_URI": tracking_uri}
    step = ledger.steps.get(task_id) if ledger is not None and ledger.tracking_uri == tracking_uri else None
    earlier = [found.number for found in RunFolder(run_folder).step(task_id).attempts()]
    if step is not None and not is_own_run(step, attempt, earlier):
        step = None
    if ledger is not None and step is not None and ledger.experiment_id is not None:
        variables |= {"MLFLOW_RUN_ID": step.run_id, "MLFLOW_EXPERIMENT_ID": ledger.experiment_id}
    return variables
