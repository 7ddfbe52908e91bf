"""``import azureml`` works without the SDK, costs nothing where nobody imports it, and never hides a real one."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aml_provider.azureml_compat import install
from aml_provider.azureml_compat.bootstrap import AzureMLFinder
from aml_provider.azureml_compat.table import MODULES
from aml_provider.spec.errors import NotSupportedError


@pytest.fixture(autouse=True)
def _installed() -> None:
    install()


def python(code: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_finder_is_there_once_and_last() -> None:
    install()
    install()
    assert sys.meta_path.count(AzureMLFinder) == 1


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_imports_with_all_its_names(module: str) -> None:
    names: dict[str, object] = {}
    exec(f"from {module} import *", names)
    assert set(MODULES[module]) <= set(names)
    assert set(MODULES[module]) <= set(dir(importlib.import_module(module)))


def test_one_class_under_several_names() -> None:
    from azureml.core import ComputeTarget, Dataset, Run, Workspace
    from azureml.core.compute import ComputeTarget as FromCompute
    from azureml.core.compute_target import ComputeTargetException
    from azureml.exceptions import ComputeTargetException as FromExceptions

    from aml_provider.sdk import workspace

    assert ComputeTarget is FromCompute
    assert ComputeTargetException is FromExceptions
    assert Workspace is workspace.Workspace
    assert Dataset.File
    assert Run.get_context().id.startswith("OfflineRun_")


def test_import_of_a_package_reaches_its_modules() -> None:
    import azureml.core

    assert azureml.core.runconfig.RunConfiguration
    assert azureml.core.VERSION.startswith("1.")
    assert azureml.core.__version__ == azureml.core.VERSION


def test_a_script_that_also_runs_outside_of_steps_asks_for_the_type_of_its_run() -> None:
    from azureml.core.environment import CondaDependencies
    from azureml.core.run import Run, _OfflineRun

    assert type(Run.get_context()) is _OfflineRun
    assert CondaDependencies().serialize_to_string()


@pytest.mark.parametrize(
    "statement",
    [
        "from azureml.pipeline.core import Schedule",
        "from azureml.pipeline.steps import ParallelRunStep",
        "from azureml.pipeline.steps.parallel_run_step import ParallelRunStep",
        "from azureml.core import Webservice",
        "import azureml.core.webservice",
        "from azureml.train.hyperdrive import HyperDriveConfig",
        "import azureml.train.automl",
        "from azureml.data.dataset_error_handling import DatasetValidationError",
        "from azureml._restclient.models.error_response import ErrorResponseException",
        "from azureml.pipeline.core._restclients.aeva.models.error_response import ErrorResponseException",
    ],
)
def test_a_known_name_that_is_not_built_can_be_imported(statement: str) -> None:
    exec(statement, {})


def test_using_a_name_that_is_not_built_gets_a_sentence() -> None:
    from azureml.core import Keyvault
    from azureml.pipeline.core import Schedule
    from azureml.train.hyperdrive import HyperDriveConfig

    sentence = r"azureml\.[\w.]+ is not available in this version of airflow-provider-aml .* docs/not-supported.md"
    for use in (lambda: Keyvault("k"), lambda: Schedule.create(1), lambda: HyperDriveConfig(max_total_runs=3)):
        with pytest.raises(NotSupportedError, match=sentence):
            use()
    assert not isinstance(3, Schedule)


@pytest.mark.parametrize(
    "statement",
    [
        "from azureml.exceptions import ServiceException as E",
        "from azureml._restclient.exceptions import E_Exception as E",
    ],
)
def test_an_exception_that_is_not_built_can_be_caught(statement: str) -> None:
    with pytest.raises(ZeroDivisionError):
        exec(f"{statement}\ntry:\n    1 / 0\nexcept E:\n    pass", {})


def test_notebooks_that_opt_in_to_diagnostics_go_on() -> None:
    from azureml.telemetry import get_telemetry_log_handler, set_diagnostics_collection

    assert set_diagnostics_collection(send_diagnostics=True) is None
    with pytest.raises(NotSupportedError, match=r"azureml\.telemetry\.get_telemetry_log_handler is not available"):
        get_telemetry_log_handler()


def test_an_unknown_name_is_pythons_own_error() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Wrkspace'"):
        exec("from azureml.core import Wrkspace", {})
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'azureml\.cor'"):
        importlib.import_module("azureml.cor")


def test_an_installed_sdk_wins_module_by_module(tmp_path: Path) -> None:
    package = tmp_path / "azureml" / "core"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("Workspace = 'the real one'\n")
    code = """
import aml_provider.azureml_compat.bootstrap
from azureml.core import Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.pipeline.core import Pipeline
print(Workspace, RunConfiguration.__module__, Pipeline.__module__)
"""
    found = python(code, tmp_path, PYTHONPATH=str(tmp_path))
    assert found == "the real one aml_provider.sdk.runconfig aml_provider.sdk.pipeline"


def test_starting_an_interpreter_stays_cheap(tmp_path: Path) -> None:
    code = """
import sys
before = set(sys.modules)
import aml_provider.azureml_compat.bootstrap
print(sorted(m for m in set(sys.modules) - before if not m.startswith("aml_provider")))
print("aml_provider.azureml_compat.table" in sys.modules)
"""
    assert python(code, tmp_path).splitlines() == ["[]", "False"]


def test_a_pipeline_file_loads_nothing_heavy(tmp_path: Path) -> None:
    code = """
import sys
import aml_provider.azureml_compat.bootstrap
from azureml.core import Dataset, Environment, Experiment, Model, Workspace
from azureml.core.compute import AmlCompute
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import CommandStep, PythonScriptStep
from azureml.widgets import RunDetails
ws = Workspace.from_config()
Dataset.File.from_files((ws.get_default_datastore(), "x"), validate=False)
heavy = ("airflow", "mlflow", "docker", "kubernetes", "pandas", "numpy", "fsspec", "rich", "requests")
print([m for m in heavy if m in sys.modules])
"""
    assert python(code, tmp_path, AML_HOME=str(tmp_path)) == "[]"
