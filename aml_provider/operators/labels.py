"""Labels by which containers and pods are found again: by their retry, and by ``aml reap``."""

from __future__ import annotations

import os

from aml_provider.runs.binding import StepRun
from aml_provider.runs.embedded import EMBEDDED_VARIABLE

OWNER = "airflow-provider-aml"
OWNER_LABEL = "aml.owner"
STEP_LABEL = "aml.step-run"
ATTEMPT_LABEL = "aml.attempt"
DAG_LABEL = "aml.dag-id"
RUN_LABEL = "aml.run-id"
TASK_LABEL = "aml.task-id"
STORE_LABEL = "aml.run-store"
#: Runs of several Airflows may have the same ids.
PLACE_LABEL = "aml.place"
EMBEDDED_LABEL = "aml.embedded-run"


def labels_of(run: StepRun, attempt: int) -> dict[str, str]:
    """Who owns a container, for which task instance and which attempt, and where its run is recorded."""
    return {
        **labels_of_step_run(run),
        ATTEMPT_LABEL: str(attempt),
        DAG_LABEL: run.dag_id,
        RUN_LABEL: run.run_id,
        TASK_LABEL: run.step.key,
        STORE_LABEL: str(run.binding.store.root),
        EMBEDDED_LABEL: os.environ.get(EMBEDDED_VARIABLE, ""),
    }


def labels_of_step_run(run: StepRun, owner: str = "") -> dict[str, str]:
    """The labels that all containers and pods of a step run have, whatever the attempt.

    :param owner: another step run that has computed the same, as its claim names it; default: ``run`` itself.
    """
    from aml_provider.reuse.keeping import whose

    name, place = whose(owner or run.step_run_id, run.binding.store)
    return {OWNER_LABEL: OWNER, STEP_LABEL: name, PLACE_LABEL: place}
