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


def test_a_parse_and_a_local_step_find_everything_imported(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "prep.py").write_text("print('prep')\n")
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "workspace.yaml").write_text("name: preloading\n")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "pipeline.py")],
        env=os.environ | {"AIRFLOW_HOME": str(tmp_path / "airflow"), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    heavy, tasks, late = done.stdout.splitlines()
    assert (heavy, late) == ("", "")
    assert tasks == "['reuse', 'pipeline_end', 'prep.py']"
