"""Imports what parses and tasks of pipelines need before Airflow's long-lived processes fork them.

The dag processor forks for each file that it reads, and the scheduler's LocalExecutor for each task. Without this,
each of those processes imports the same modules again: for a parse that takes longer than most pipelines do, and for a
task, which tells MLflow of its step, two seconds. What is imported before is also in memory only once.

``[aml] preload = False`` in Airflow's configuration leaves it out.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl

_log = logging.getLogger(__name__)

# What every pipeline needs to be parsed and run. What only some stores do is left to them.
MODULES = (
    "aml_provider.azureml_compat.modules",
    "aml_provider.dag_files",
    "aml_provider.sdk.compute",
    "aml_provider.sdk.datasets",
    "aml_provider.sdk.environment",
    "aml_provider.sdk.experiment",
    "aml_provider.sdk.outputs",
    "aml_provider.sdk.pipeline",
    "aml_provider.sdk.steps.python_script",
    "aml_provider.sdk.workspace",
    "aml_provider.submission.declare",
    "aml_provider.workspace.reading",
    "aml_provider.operators.local",
    "aml_provider.execution.lifecycle",
    "aml_provider.execution.outcome",
    "aml_provider.execution.prepare",
    "aml_provider.execution.reusing",
)

# What steps of a kind need. With Kubernetes' own client that is three seconds and 100 MiB.
KIND_MODULES = {
    "docker": "aml_provider.operators.docker",
    "kubernetes": "aml_provider.operators.kubernetes",
}

# What tasks need besides. Airflow's other processes would only have it in memory.
TASK_MODULES = (
    "aml_provider.tracking.attempts",
    "aml_provider.tracking.follower",
    "aml_provider.tracking.recorder",
    "mlflow.data",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
)


@hookimpl
def on_starting(component: object) -> None:
    """When a scheduler, dag processor or triggerer starts: Airflow calls this for the job that it is going to be."""
    from airflow.configuration import conf

    if not conf.getboolean("aml", "preload", fallback=True):
        return
    # Which of them it will be, the job does not say yet.
    forks_tasks = "airflow.jobs.scheduler_job_runner" in sys.modules and "LocalExecutor" in conf.get("core", "executor")
    if forks_tasks:
        # As the tracking itself has it, since MLflow decides this when it is imported.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    texts = _workspace_texts(conf)
    kinds = [name for kind, name in KIND_MODULES.items() if any(kind in text for text in texts)]
    for name in (*MODULES, *kinds, *(TASK_MODULES if forks_tasks else ())):
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a module may raise anything; Airflow's process goes on without it
            # Whoever needs it says so, and why.
            _log.warning("%s cannot be imported: %s", name, error)


def _workspace_texts(conf: Any) -> list[str]:
    """The workspace files that pipelines in Airflow's folder may use, by which what they need is guessed.

    By a wrong guess nothing but time is lost: files elsewhere are not looked at.
    """
    from aml_provider.workspace.discovery import ENVIRONMENT_VARIABLE, FILE_NAMES

    folder = Path(conf.get("core", "dags_folder")).expanduser().resolve()
    named = os.environ.get(ENVIRONMENT_VARIABLE) or conf.get("aml", "workspace", fallback=None)
    files = [Path(named)] if named else [above / name for above in folder.parents for name in FILE_NAMES]
    files += [Path(top) / name for top, _, names in os.walk(folder) for name in FILE_NAMES if name in names]
    return [_text(file) for file in files]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
