"""A step whose result will not be reused although it could have been: whoever looks at the run is told why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow
AML = Path(sys.executable).with_name("aml")
PIPELINE = """
from azureml.core import Experiment, Workspace
from azureml.data.data_reference import DataReference
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import CommandStep

ws = Workspace.from_config()
raw = DataReference(ws.get_default_datastore(), "raw", "raw")
step = CommandStep(["date +%N >>", f"{raw}/log"], "grow", "local", inputs=[raw])
Experiment(ws, "e").submit(Pipeline(ws, [step]))
"""


def test_a_step_that_writes_into_its_own_input(tmp_path: Path) -> None:
    (tmp_path / "workspace.yaml").write_text("name: lab\n")
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    raw = tmp_path / ".aml" / "datastores" / "workspaceblobstore" / "raw"
    raw.mkdir(parents=True)
    (raw / "log").write_text("first\n")

    def aml(*words: str) -> str:
        done = subprocess.run([AML, *words], cwd=tmp_path, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        return done.stdout

    why = "input raw has changed while the step ran"
    assert f"the result of step 'grow' will not be reused: {why}" in aml("run", "pipeline.py")
    (run,) = json.loads(aml("runs", "ls", "--json"))
    assert f"will not be reused: {why}" in aml("runs", "show", run["id"])
    (step,) = json.loads(aml("runs", "show", run["id"], "--json"))["steps"]
    assert step["unrecorded"] == why
