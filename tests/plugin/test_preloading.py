"""What Airflow's long-lived processes have loaded before they fork one for each file and each task."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PIPELINE = """\
from azureml.core import Experiment, Workspace
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
out = OutputFileDatasetConfig("out")
prep = PythonScriptStep("prep.py", arguments=[out], compute_target="local", source_directory="code")
Experiment(ws, "preloaded").submit(Pipeline(ws, [prep]))
"""

# As the scheduler and the dag processor begin: their job is made, and Airflow tells the listeners of it.
PROGRAM = """\
import sys
if sys.argv[2] == "scheduler":
    import airflow.jobs.scheduler_job_runner
from airflow.jobs.job import Job
Job()
print(*sorted({"mlflow", "docker", "kubernetes", "pandas", "s3fs"} & set(sys.modules)))
before = set(sys.modules)
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
print(bag.import_errors or list(bag.dags["preloaded"].task_ids))
from aml_provider.execution.lifecycle import begin_run, record_end
from aml_provider.execution.prepare import prepare_attempt
from aml_provider.execution.outcome import conclude
print(*sorted(module for module in set(sys.modules) - before if module.startswith("aml_provider")))
"""


def started(tmp_path: Path, kind: str, workspace: str = "", **changed: str) -> list[str]:
    """What a process of Airflow has loaded of what takes long, a pipeline's tasks, and what was imported too late."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "prep.py").write_text("print('prep')\n")
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "workspace.yaml").write_text(f"name: preloading\n{workspace}")
    own = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "pipeline.py"), kind],
        env=os.environ | own | changed,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


TASKS = "['reuse', 'pipeline_end', 'prep.py']"


def test_a_parse_finds_everything_imported(tmp_path: Path) -> None:
    assert started(tmp_path, "dag-processor") == ["", TASKS, ""]


def test_a_task_finds_mlflow_imported_too(tmp_path: Path) -> None:
    assert started(tmp_path, "scheduler") == ["mlflow pandas", TASKS, ""]


def test_tasks_that_are_no_children_of_the_scheduler_leave_it_small(tmp_path: Path) -> None:
    assert started(tmp_path, "scheduler", AIRFLOW__CORE__EXECUTOR="CeleryExecutor") == ["", TASKS, ""]


def test_it_can_be_left_out(tmp_path: Path) -> None:
    heavy, tasks, late = started(tmp_path, "scheduler", AIRFLOW__AML__PRELOAD="False")
    assert (heavy, tasks) == ("", TASKS)
    assert "aml_provider.sdk.pipeline" in late.split()


def test_what_kubernetes_takes_is_loaded_where_a_workspace_file_speaks_of_it(tmp_path: Path) -> None:
    cluster = "compute:\n  cluster: {kind: kubernetes}\n"
    assert started(tmp_path, "dag processor", cluster) == ["kubernetes", TASKS, ""]
