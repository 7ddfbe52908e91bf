"""A pipeline of one step that goes on until a given time, then says when it began."""

from __future__ import annotations

import time
from pathlib import Path

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
while time.time() < UNTIL:
    time.sleep(0.1)
open(sys.argv[1], "w").write(str(began))
print("it ended", flush=True)
"""


def lay_out(folder: Path, workspace: str, seconds: float) -> None:
    """Write the pipeline's file, its script and its workspace file.

    :param seconds: from now on, until when the script goes on.
    """
    (folder / "workspace.yaml").write_text(workspace)
    (folder / "pipeline.py").write_text(PIPELINE)
    (folder / "src").mkdir()
    (folder / "src" / "step.py").write_text(SCRIPT.replace("UNTIL", str(time.time() + seconds)))
