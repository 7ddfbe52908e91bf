"""Child process: how long imports take. Arguments: ``airflow`` or ``azureml``."""

from __future__ import annotations

import sys
import time

from benchmarks.measure import tell


def main(what: str) -> None:
    """Time Airflow's SDK, and after it what a pipeline file imports."""
    start = time.perf_counter()
    import airflow.sdk
    from airflow.sdk import DAG, BaseOperator, Param  # noqa: F401 - its names load on use

    airflow_seconds = time.perf_counter() - start
    if what == "azureml":
        import azureml.core  # noqa: F401
        import azureml.data  # noqa: F401
        import azureml.pipeline.core  # noqa: F401
        import azureml.pipeline.steps  # noqa: F401
        from azureml.core import Dataset, Datastore, Environment, Experiment, Workspace  # noqa: F401
        from azureml.core.compute import AmlCompute, ComputeTarget  # noqa: F401
        from azureml.core.conda_dependencies import CondaDependencies  # noqa: F401
        from azureml.core.runconfig import RunConfiguration  # noqa: F401
        from azureml.data import OutputFileDatasetConfig  # noqa: F401
        from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter  # noqa: F401
        from azureml.pipeline.steps import PythonScriptStep  # noqa: F401
    tell(seconds=time.perf_counter() - start, airflow=airflow_seconds)


if __name__ == "__main__":
    main(sys.argv[1])
