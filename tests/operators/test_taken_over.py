"""A step whose worker could not say for a while that it lives, so that another run has begun to compute the same."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from aml_provider.reuse.claim_files import Claim, new_claim
from tests.reuse.machines import until

pytestmark = pytest.mark.airflow
AML = Path(sys.executable).with_name("aml")
WORKSPACE = """
name: lab
default_kind: KIND
docker: {image: 'testbed/python:3.11', network: none}
compute: {c: {retries: 0}}
reuse: {lease_seconds: 2}
"""
PIPELINE = """
from azureml.core import Experiment, Workspace
from azureml.pipeline.core import Pipeline, PipelineData
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
out = PipelineData("out")
step = PythonScriptStep("step.py", name="step", source_directory="src", compute_target="c",
                        arguments=[out], outputs=[out])
Experiment(ws, "e").submit(Pipeline(ws, [step])).wait_for_completion()
"""
SCRIPT = """
import sys, time

began = time.time()
print("it began", flush=True)
time.sleep(6)
open(sys.argv[1], "w").write(str(began))
print("it ended", flush=True)
"""


@pytest.mark.parametrize("kind", ["local", pytest.param("docker", marks=pytest.mark.docker)])
def test_it_stops_and_waits_for_the_other_run(tmp_path: Path, kind: str) -> None:
    (tmp_path / "workspace.yaml").write_text(WORKSPACE.replace("KIND", kind))
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "step.py").write_text(SCRIPT)
    with open(tmp_path / "said", "w+", encoding="utf-8") as said:

        def text() -> str:
            return (tmp_path / "said").read_text(encoding="utf-8")

        run = subprocess.Popen([AML, "run", "pipeline.py"], cwd=tmp_path, stdout=said, stderr=subprocess.STDOUT)
        until(lambda: "it began" in text(), "the script has begun")
        (file,) = tmp_path.glob(".aml/datastores/workspaceblobstore/.aml/**/claims/*.json")
        held = Claim.from_bytes(file.stem, file.read_bytes())
        # As another machine does it, for which this one was too long away. It dies, too, and its claim becomes stale.
        other = new_claim(held.key, "another", "step", "another-run", 3.0, None, 0.0)
        file.with_suffix(".new").write_bytes(other.content)
        file.with_suffix(".new").replace(file)
        taken = time.time()
        assert run.wait(180) == 0, text()
    assert text().count("it ended") == 1, text()
    (result,) = [p for p in tmp_path.glob(".aml/datastores/workspaceblobstore/azureml/**/out*") if p.is_file()]
    assert float(result.read_text()) > taken
