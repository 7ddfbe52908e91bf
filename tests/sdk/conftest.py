"""A project folder with scripts, a workspace file, and ways to build pipelines in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aml_provider.sdk.experiment import Experiment
from aml_provider.sdk.life import collecting
from aml_provider.sdk.pipeline import Pipeline
from aml_provider.sdk.steps.python_script import PythonScriptStep
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.models import PipelineSpec

WORKSPACE = """
name: lab
datastores:
  raw: {url: data/raw}
compute:
  cpu: {vm_size: STANDARD_D2_V2, max_nodes: 2}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with workspace.yaml and src/{prep,train,score}.py; it is the current directory."""
    (tmp_path / "workspace.yaml").write_text(WORKSPACE)
    (tmp_path / "src").mkdir()
    for name in ("prep.py", "train.py", "score.py"):
        (tmp_path / "src" / name).write_text("print('hello')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ws(project: Path) -> Workspace:
    """The project's workspace."""
    return Workspace.from_config()


Step = Callable[..., PythonScriptStep]


@pytest.fixture
def step(ws: Workspace) -> Step:
    """Make a script step from ``src`` on ``cpu``."""

    def make(name: str, arguments: Any = None, **more: Any) -> PythonScriptStep:
        options: dict[str, Any] = {"source_directory": "src", "compute_target": "cpu", **more}
        return PythonScriptStep(options.pop("script_name", "prep.py"), name=name, arguments=arguments, **options)

    return make


Build = Callable[..., PipelineSpec]


@pytest.fixture
def build(ws: Workspace, project: Path) -> Build:
    """The spec of these steps, as a collector gets it."""

    def make(*steps: Any, submit: dict[str, Any] | None = None, **more: Any) -> PipelineSpec:
        with collecting(project / "pipeline.py") as found:
            Experiment(ws, "exp").submit(Pipeline(ws, list(steps), **more), **(submit or {}))
        return found[0][0]

    return make
