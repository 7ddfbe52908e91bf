"""A folder with a workspace file and scripts, and the command line run in it as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aml_provider.cli import main

AML = Path(sys.executable).with_name("aml")

HEAD = """\
from azureml.core import Dataset, Datastore, Environment, Experiment, Workspace
from azureml.core.conda_dependencies import CondaDependencies
from azureml.core.runconfig import RunConfiguration
from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter
from azureml.pipeline.steps import CommandStep, PythonScriptStep

ws = Workspace.from_config()
store = ws.get_default_datastore()


def script(script_name="fine.py", **options):
    options = {"source_directory": "src", "compute_target": "cpu", **options}
    return PythonScriptStep(script_name, **options)


def submit(*steps, **options):
    return Experiment(ws, "wrong").submit(Pipeline(ws, list(steps)), **options)


"""

SCRIPTS = {
    "fine.py": "print('fine')\n",
    "exits.py": "import sys\nprint('the third column is missing')\nsys.exit(3)\n",
    "raises.py": "raise ValueError('no such column: age')\n",
    "sleeps.py": "import time\nprint('sleeping', flush=True)\ntime.sleep(300)\n",
    "lists.py": "import os, sys\nprint(os.listdir(sys.argv[1]))\n",
    "tells.py": (
        "import json, os, sys\n"
        "from azureml.core import Run\n"
        "run = Run.get_context()\n"
        "mine = {n: v for n, v in os.environ.items() if n.startswith('MY_')}\n"
        "facts = {'arguments': sys.argv[1:], 'variables': mine,\n"
        "         'experiment': run.experiment.name, 'workspace': run.experiment.workspace.name,\n"
        "         'parent': run.parent.id, 'id': run.id}\n"
        "print(json.dumps(facts))\n"
    ),
}


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def results(self) -> list[dict[str, Any]]:
        """What ``--json`` printed, a result for each pipeline."""
        return [json.loads(line) for line in self.out.splitlines()]

    def steps(self) -> dict[str, dict[str, Any]]:
        """The steps of the only pipeline by name."""
        (result,) = self.results
        return {step["name"]: step for step in result["steps"]}

    def is_plain(self) -> bool:
        """Whether no line is a traceback's of ours."""
        return "/aml_provider/" not in self.err and "Traceback" not in self.err


Aml = Callable[..., Said]


def make_project(folder: Path, workspace: str = "name: lab\ncompute:\n  cpu: {}\n") -> Path:
    """Scripts below ``src`` and a workspace file."""
    (folder / "src").mkdir(parents=True)
    for name, text in SCRIPTS.items():
        (folder / "src" / name).write_text(text)
    (folder / "workspace.yaml").write_text(workspace)
    return folder


def pipeline(folder: Path, code: str, name: str = "pipeline.py") -> Path:
    """A pipeline file: the usual head and ``code``."""
    path = folder / name
    path.write_text(HEAD + code)
    return path


def run_aml(folder: Path, *arguments: str | Path, **environment: str) -> Said:
    """``aml ARGUMENTS`` in ``folder``."""
    done = subprocess.run(
        [str(AML), *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def aml(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Aml:
    """The same in this process, for commands that start nothing: a second faster."""

    def call(folder: Path, *arguments: str | Path) -> Said:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["aml", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as ending:
            code = int(ending.code or 0)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project with scripts and a workspace file."""
    return make_project(tmp_path / "project")
