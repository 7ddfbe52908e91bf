"""What finding out that nothing has changed takes: a chain of a hundred stages, here and with DVC."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import cached, dvc
from benchmarks.measure import BIN, ROOT, Failed, Options, alternate, child, clean_environment, middle, program
from benchmarks.table import Row

STAGES = 100
NAME = f"chain: dvc repro over aml plan, {STAGES} stages, no-op"
AGAIN = f"chain: the same without their start-up, {STAGES} stages"
GOAL = 10

PIPELINE = """\
from azureml.core import Dataset, Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
store = ws.get_default_datastore()
run_config = RunConfiguration()
run_config.environment = Environment("chain")
run_config.environment.python.user_managed_dependencies = True

steps, before = [], Dataset.File.from_files((store, "raw/0.csv")).as_named_input("before").as_mount()
for n in range(__STAGES__):
    out = OutputFileDatasetConfig(f"out_{n}")
    steps.append(
        PythonScriptStep(
            "work.py",
            name=f"stage_{n}",
            source_directory="chain",
            arguments=[n, before, out],
            compute_target="local",
            runconfig=run_config,
        )
    )
    before = out.as_input("before")
Experiment(ws, "chain").submit(Pipeline(ws, steps))
"""

STAGE = """\
  stage_{n}:
    cmd: {python} chain/work.py {n} {before} out_{n}.csv
    deps: [{before}, chain/work.py]
    outs: [out_{n}.csv]
"""
# What the stages of DVC really run, once.
SCRIPT = """\
import shutil
import sys

number, before, after = sys.argv[1:]
shutil.copy(before, after)
with open(after, "a") as file:
    file.write(f"stage {number}\\n")
"""


def rows(folder: Path, options: Options) -> Iterator[Row]:
    """The same chain on both sides, computed before."""
    try:
        peer = f"dvc {dvc.version()}"
    except LookupError as reason:
        yield Row(NAME, None, "x", GOAL, str(reason), at_least=True)
        return
    run_dvc, repository = dvc.Dvc(folder / "dvc-home"), folder / "dvc"
    run_dvc.init(repository)
    _write_dvc(repository)
    run_dvc("repro", "--quiet", folder=repository)
    ours = folder / "aml"
    file = _write(ours)
    cached.compute_all(file)
    # The sources of this checkout, whose child is run by its path.
    here = {**clean_environment(folder), "PYTHONPATH": str(ROOT)}
    results = alternate(
        options.runs,
        {
            "dvc": partial(run_dvc, "repro", folder=repository),
            "aml": partial(program, BIN / "aml", "plan", file.name, folder=ours, environment=here),
            "plan": partial(child, "plan", str(file), home=folder),
            "dvc again": partial(run_dvc.again, "repro", folder=repository),
            "aml again": partial(
                program, sys.executable, "-P", dvc.AGAIN, "aml", "plan", file.name, folder=ours, environment=here
            ),
        },
    )
    for did in results["dvc"] + results["dvc again"]:
        if "Running stage" in did["stdout"] or "up to date" not in did["stdout"]:
            raise Failed(f"dvc did not find the chain unchanged:\n{did['stdout'][-2000:]}")
    for said in results["aml"] + results["aml again"]:
        if f"{STAGES} of {STAGES} steps reused" not in said["stdout"]:
            raise Failed(f"aml plan did not find the chain unchanged:\n{said['stdout'][-2000:]}")
    theirs, mine = middle(results["dvc"], "process"), middle(results["aml"], "process")
    cpu = middle(results["dvc"], "cpu") / middle(results["aml"], "cpu")
    detail = f"{peer} {theirs:.3f} s, aml {mine:.3f} s, whole processes; processor time {cpu:.2f} x"
    detail += f"; the plan in it takes {middle(results['plan'], 'seconds'):.3f} s"
    yield Row(NAME, theirs / mine, "x", GOAL, detail, at_least=True)
    theirs, mine = (median(_told(said) for said in results[f"{side} again"]) for side in ("dvc", "aml"))
    detail = f"the second time in one process: {peer} {theirs:.3f} s, aml {mine:.3f} s"
    yield Row(AGAIN, theirs / mine, "x", GOAL, detail, at_least=True)


def _told(said: dict[str, Any]) -> float:
    return float(said["stdout"].splitlines()[-1])


def _write(folder: Path) -> Path:
    (folder / "chain").mkdir(parents=True)
    (folder / "chain" / "work.py").write_text(SCRIPT, encoding="utf-8")
    (folder / "workspace.yaml").write_text("name: bench\n", encoding="utf-8")
    file = folder / "chain_pipeline.py"
    file.write_text(PIPELINE.replace("__STAGES__", str(STAGES)), encoding="utf-8")
    return file


def _write_dvc(folder: Path) -> None:
    (folder / "chain").mkdir()
    (folder / "chain" / "work.py").write_text(SCRIPT, encoding="utf-8")
    (folder / "raw.csv").write_text("0\n", encoding="utf-8")
    stages = []
    for n in range(STAGES):
        before = f"out_{n - 1}.csv" if n else "raw.csv"
        stages.append(STAGE.format(n=n, before=before, python="python3"))
    (folder / "dvc.yaml").write_text("stages:\n" + "".join(stages), encoding="utf-8")
