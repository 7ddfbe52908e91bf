"""The environment variables a step's command sees."""

from __future__ import annotations

import os

from .job import Job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

MARK = "AML_STEP_MARK"
"""Carries a value unique to this supervisor: what still has it after the end was started by the command."""

_CONTROL = ("AML_PYTHON", "AML_GRACE_SECONDS", "AML_DIE_WITH_PARENT")


def step_environment(job: Job, base: Mapping[str, str], runtime_folder: str, mark: str) -> dict[str, str]:
    """The image's own variables, then Azure ML's, then those of inputs and outputs, then the author's: later ones win.

    ``PYTHONPATH`` always begins with the runtime and its ``azureml`` shim; an author's own value follows.
    """
    environment = {name: value for name, value in base.items() if name not in _CONTROL}
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PWD"] = job.working_directory
    environment.pop("OLDPWD", None)
    environment.update(azure_ml_variables(job.run))
    for port in job.inputs + job.outputs:
        if port.environment_variable:
            environment[port.environment_variable] = port.path
    environment.update(job.environment)
    environment["AML_JOB_DIR"] = job.folder
    environment[MARK] = mark
    ours = [runtime_folder, os.path.join(runtime_folder, "shim")]
    others = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry and entry not in ours]
    environment["PYTHONPATH"] = os.pathsep.join(ours + others)
    return environment


def azure_ml_variables(run: Mapping[str, Any]) -> dict[str, str]:
    """What Azure ML set in every job, as far as it has a meaning here; what is unknown stays unset."""
    workspace = run.get("workspace") or {}
    facts = {
        "AZUREML_RUN_ID": run.get("id"),
        "AZUREML_ROOT_RUN_ID": run.get("pipeline_run_id"),
        "AZUREML_EXPERIMENT_ID": run.get("experiment"),
        "AZUREML_EXPERIMENT_NAME": run.get("experiment"),
        "AZUREML_ARM_PROJECT_NAME": run.get("experiment"),
        "AZUREML_ARM_WORKSPACE_NAME": workspace.get("name"),
        "AZUREML_ARM_SUBSCRIPTION": workspace.get("subscription_id"),
        "AZUREML_ARM_RESOURCEGROUP": workspace.get("resource_group"),
    }
    return {name: str(value) for name, value in facts.items() if value is not None}
