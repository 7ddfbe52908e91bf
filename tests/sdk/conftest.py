"""A project folder with scripts, a workspace file, and ways to build pipelines in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aml_provider.sdk.experiment import Experiment
from aml_provider.sdk.life import collecting
from aml_provider.sdk.pipeline import Pipeline
from aml_provider.sdk.steps.python_script import PythonScriptStep
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.models import PipelineSpec
from tests.mlflow_server import serving

if TYPE_CHECKING:
    from mlflow import MlflowClient

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


# --- models -----------------------------------------------------------------------------------------------------


@dataclass
class Lab:
    """A workspace, its folder (the current directory), and a client of its MLflow."""

    ws: Workspace
    folder: Path
    mlflow: MlflowClient

    def file(self, name: str, text: str = "a model") -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name

    def register(self, name: str = "digits", text: str = "a model", **more: Any) -> Any:
        from aml_provider.sdk.model import Model

        return Model.register(self.ws, self.file("model.pkl", text), name, **more)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Making a database takes seconds, copying one does not."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file.read_bytes()


@pytest.fixture(scope="session")
def mlflow_address(tmp_path_factory: pytest.TempPathFactory, empty_database: bytes) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "mlflow.db").write_bytes(empty_database)
    with serving(f"sqlite:///{folder}/mlflow.db", folder) as address:
        yield address


def _lab(folder: Path, uri: str) -> Lab:
    from mlflow import MlflowClient

    ws = Workspace.from_config()
    return Lab(ws, folder, MlflowClient(uri))


@pytest.fixture
def lab(project: Path, empty_database: bytes) -> Lab:
    """The default: MLflow in a SQLite file in the workspace's state."""
    (project / ".aml").mkdir()
    (project / ".aml" / "mlflow.db").write_bytes(empty_database)
    return _lab(project, f"sqlite:///{project}/.aml/mlflow.db")


@pytest.fixture(params=["file", "server"])
def both(request: pytest.FixtureRequest, project: Path) -> Lab:
    """The default, and a server."""
    if request.param == "file":
        return request.getfixturevalue("lab")
    address = request.getfixturevalue("mlflow_address")
    (project / "workspace.yaml").write_text(f"{WORKSPACE}mlflow: {{tracking_uri: '{address}'}}\n")
    lab = _lab(project, address)
    for known in lab.mlflow.search_registered_models():
        lab.mlflow.delete_registered_model(known.name)
    return lab
