"""``import azureml...`` inside a step: the real SDK wins where it is installed, the shim fills the gaps."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SOURCE, Step

MakeStep = Callable[..., Step]


def test_what_scripts_commonly_import_can_be_imported(step: MakeStep) -> None:
    done = step(
        script="""
        import azureml.core
        from azureml.core import Dataset, Datastore, Environment, Experiment, Keyvault, Model, Run, Workspace
        from azureml.core import ComputeTarget, RunConfiguration, ScriptRunConfig
        from azureml.core.authentication import MsiAuthentication, ServicePrincipalAuthentication
        from azureml.core.compute import AmlCompute
        from azureml.core.conda_dependencies import CondaDependencies
        from azureml.core.model import Model as SameModel
        from azureml.core.run import Run as SameRun, _OfflineRun, _SubmittedRun, get_run
        from azureml.core.runconfig import DEFAULT_CPU_IMAGE
        from azureml.core.workspace import Workspace as W
        from azureml.data.dataset_factory import FileDatasetFactory
        from azureml.data import OutputFileDatasetConfig
        from azureml.data.dataset_error_handling import DatasetValidationError
        from azureml.exceptions import UserErrorException, WorkspaceException, RunEnvironmentException
        from azureml._restclient.exceptions import ServiceException
        from msrest.exceptions import HttpOperationError
        from azureml.pipeline.core import PipelineData
        from azureml.pipeline.steps import PythonScriptStep
        print(azureml.core.VERSION, azureml.core.__version__)
        assert SameRun is Run and isinstance(Run.get_context(), Run)
        assert not isinstance(Run.get_context(), (_OfflineRun, Workspace))
        def annotated(workspace: Workspace) -> Dataset: ...
        try:
            1 / 0
        except (ServiceException, HttpOperationError, DatasetValidationError):
            raise SystemExit("it was none of these")
        except ZeroDivisionError:
            pass
        """
    ).run()
    assert done.exit_code == 0, done.log.decode()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "from azureml.core import Workspace; Workspace.from_config()",
            "Workspace.from_config is not available",
        ),
        (
            "from azureml.core import Workspace; Workspace('a', 'b', 'c')",
            "Workspace(...) is not available",
        ),
        ("from azureml.core import Dataset; Dataset.File.from_files(1)", "input_datasets[name]"),
        ("from azureml.core import Dataset; Dataset.get_by_name(1, 'x')", "get_by_name(ws, 'x').as_named_input('x')"),
        ("from azureml.core.model import Model; Model.get_model_path('m')", "environment variable AZUREML_MODEL_DIR"),
        ("from azureml.core import Model; Model(1, 'm')", "register_model"),
        ("from azureml.core.model import Model; Model.register(1, 'm', 'm')", "register_model"),
        ("from azureml.core.run import get_run; get_run(1, 'x')", "Run.get_context()"),
        ("from azureml.core import get_run; get_run(1, 'x')", "not available inside a step"),
        ("import azureml.core; azureml.core.Nonsense", "has no attribute 'Nonsense'"),
        ("import azureml.nonsense", "azureml.nonsense"),
    ],
)
def test_what_needs_a_workspace_says_so_when_used(step: MakeStep, code: str, words: str) -> None:
    done = step(script=code).run()
    assert done.exit_code == 1
    assert words in done.log.decode()


REAL = {
    "azureml/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)",
    "azureml/core/__init__.py": (
        "from azureml.core.run import Run\nfrom azureml.core.workspace import Workspace\nVERSION = 'real'"
    ),
    "azureml/core/workspace.py": "class Workspace:\n    kind = 'real'",
    "azureml/core/run.py": (
        "class Run:\n"
        "    @classmethod\n"
        "    def get_context(cls, allow_offline=True): raise RuntimeError('would ask the service')\n"
        "    @classmethod\n"
        "    def get_submitted_run(cls): raise RuntimeError('would ask the service')\n"
        "    def real_method(self): return 'real'"
    ),
    "azureml/train/__init__.py": "kind = 'real'",
}


@pytest.fixture
def real_sdk(tmp_path: Path) -> Path:
    """A folder that looks like site-packages with Azure ML's SDK."""
    for name, text in REAL.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return tmp_path / "site"


def test_the_real_sdk_wins_and_its_run_reports_to_the_step(step: MakeStep, real_sdk: Path) -> None:
    job = step(
        script="""
        import azureml.core, azureml.train
        from azureml.core import Run, Workspace
        from azureml.core.run import Run as Same
        assert azureml.core.VERSION == Workspace.kind == azureml.train.kind == "real"
        assert Run is Same and hasattr(Run, "real_method")
        Run.get_context().log("loss", 1)
        Run.get_submitted_run().log("loss", 2)
        import azureml.exceptions                       # a gap that the shim fills
        from azureml.core.model import Model            # another one
        """
    )
    job.job["environment"] = {"PYTHONPATH": str(real_sdk)}
    assert job.run().exit_code == 0, job.log.decode()
    assert [event["value"] for event in job.events] == [1, 2]


def test_a_real_sdk_without_core_gets_the_shims(step: MakeStep, real_sdk: Path) -> None:
    import shutil

    shutil.rmtree(real_sdk / "azureml" / "core")
    job = step(
        script="""
        import azureml.train
        from azureml.core import Run
        assert azureml.train.kind == "real"
        Run.get_context().log("loss", 1)
        """
    )
    job.job["environment"] = {"PYTHONPATH": str(real_sdk)}
    assert job.run().exit_code == 0, job.log.decode()
    assert [event["value"] for event in job.events] == [1]


def test_the_shim_wins_over_a_finder_at_the_end(step: MakeStep, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name.startswith('azureml'): print('asked for', name)\n"
        "sys.meta_path.append(Finder)\n"
    )
    job = step(
        script="from azureml.core import Run; import azureml.exceptions; print(type(Run.get_context()).__module__)"
    )
    job.job["environment"] = {"PYTHONPATH": str(tmp_path / "site")}
    assert job.run().exit_code == 0
    assert job.log == b"aml_runtime.run\n"


FILES = sorted(path for path in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_python_38_reads_every_file(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


def test_only_the_standard_library_is_imported() -> None:
    allowed = sys.stdlib_module_names | {"aml_runtime", "azureml", "__future__"}
    # Tables are read with the libraries of the step's image, when they are read.
    for_tables = {"numpy", "pandas", "pyarrow"}
    for path in FILES:
        tree = ast.parse(path.read_text())
        assert {name for node in tree.body for name in imported(node)} <= allowed, path
        in_functions = allowed | for_tables if path.parent.name == "tables" else allowed
        assert {name for node in ast.walk(tree) for name in imported(node)} <= in_functions, path


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name.split(".")[0] for name in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [(node.module or "").split(".")[0]]
    return []


def old_pythons() -> list[str]:
    """Interpreters of other versions on this machine that start."""
    found = {}
    for minor in (8, 9, 10, 12, 13):
        for path in (*Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3"), Path(f"/usr/bin/python3.{minor}")):
            if path.exists() and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
                found[minor] = str(path)
    return list(found.values())


@pytest.mark.parametrize("python", old_pythons() or [pytest.param("", marks=pytest.mark.skip("no other Python here"))])
def test_other_pythons_run_steps(step: MakeStep, python: str) -> None:
    job = step(
        script="""
        from azureml.core import Run, Workspace
        from azureml.core.model import Model
        run = Run.get_context()
        run.log("loss", 0.5); run.log_table("t", {"a": [1]}); run.child_run().complete()
        run.upload_file("f", __file__)
        print(run.get_metrics(), run.get_file_names(), run.input_datasets, run)
        """
    )
    job.job["command"]["interpreter"] = python
    job.environment["AML_PYTHON"] = python
    assert job.run().exit_code == 0, job.log.decode()
    assert len(job.events) == 5
