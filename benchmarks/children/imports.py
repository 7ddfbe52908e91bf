"""Child process: how long Airflow's SDK takes to import, and after it what a pipeline file imports."""

from __future__ import annotations

import importlib
import time

from benchmarks.measure import tell

# Importing one of azureml's modules costs nothing until a name is taken from it, so names are taken, as files do.
NAMES = {
    "azureml.core": ("Dataset", "Datastore", "Environment", "Experiment", "Workspace"),
    "azureml.core.compute": ("AmlCompute", "ComputeTarget"),
    "azureml.core.compute_target": ("ComputeTargetException",),
    "azureml.core.conda_dependencies": ("CondaDependencies",),
    "azureml.core.runconfig": ("RunConfiguration",),
    "azureml.data": ("OutputFileDatasetConfig",),
    "azureml.data.datapath": ("DataPath", "DataPathComputeBinding"),
    "azureml.pipeline.core": ("Pipeline", "PipelineData", "PipelineParameter", "StepSequence"),
    "azureml.pipeline.steps": ("CommandStep", "PythonScriptStep"),
}


def main() -> None:
    """Time the imports and tell the seconds."""
    start = time.perf_counter()
    importlib.import_module("airflow.sdk")
    airflow = time.perf_counter()
    for module, names in NAMES.items():
        for name in names:
            getattr(importlib.import_module(module), name)
    tell(airflow=airflow - start, azureml=time.perf_counter() - airflow)


if __name__ == "__main__":
    main()
