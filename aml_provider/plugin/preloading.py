"""Imports what parses and tasks of pipelines need before Airflow's long-lived processes fork them.

The dag processor forks for each file that it reads, and the scheduler's LocalExecutor for each task. Without this,
each of those processes imports the same modules again, which takes longer than parsing most pipelines does.
"""

from __future__ import annotations

import importlib

from airflow.listeners import hookimpl

# What every pipeline needs. What only some do (Docker, Kubernetes, stores) or takes long (MLflow) is left to them.
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


@hookimpl
def on_starting(component: object) -> None:
    """When a scheduler, dag processor or triggerer starts: Airflow calls this for the job that it is going to be."""
    for name in MODULES:
        importlib.import_module(name)
