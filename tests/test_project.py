"""The distribution: what it installs, what it declares to Airflow, and what the repository promises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import jsonschema
import pytest

from aml_provider import __version__

PTH = "aml_provider_azureml.pth"


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with its output as text."""
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert built.returncode == 0, built.stderr
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


def test_the_wheel_has_the_package_its_data_files_and_the_pth_file(wheel: zipfile.ZipFile, repository: Path) -> None:
    names = set(wheel.namelist())
    package = {
        path.relative_to(repository).as_posix()
        for path in (repository / "aml_provider").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert package - names == set(), "files of the package that the wheel lacks (is one of them in .gitignore?)"
    assert {PTH, "aml_provider/py.typed", "aml_provider/runtime/launch.sh"} <= names
    assert not [name for name in names if name.startswith(("tests/", "dags/", "docs/"))]


def test_azureml_can_be_imported_in_every_process_of_the_environment() -> None:
    # -I: not from the current directory and not by PYTHONPATH, only by what is installed.
    done = run(sys.executable, "-I", "-c", "from azureml.core import Workspace; print(Workspace.__name__)")
    assert (done.stdout.strip(), done.stderr) == ("Workspace", "")


def test_starting_the_interpreter_loads_nothing_heavy() -> None:
    done = run(sys.executable, "-I", "-c", "import sys; print(*sys.modules)")
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "aml_provider" in loaded
    assert not loaded & {"airflow", "pydantic", "yaml", "fsspec", "mlflow", "docker", "kubernetes", "azureml"}
    ours = [name for name in done.stdout.split() if name.startswith("aml_provider.")]
    assert len(ours) <= 4, f"the .pth file is paid by every process: {ours}"


def test_a_half_removed_install_does_not_disturb_python(repository: Path, tmp_path: Path) -> None:
    (tmp_path / PTH).write_text((repository / "packaging" / PTH).read_text())
    (tmp_path / "aml_provider").mkdir()  # what an uninstall leaves when somebody added files
    site = f"import site; site.addsitedir({str(tmp_path)!r}); print('started')"
    done = run(sys.executable, "-I", "-S", "-c", site)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "started", "")


def test_airflow_knows_the_provider() -> None:
    from airflow import __file__ as airflow

    (entry,) = [e for e in entry_points(group="apache_airflow_provider") if e.value.startswith("aml_provider.")]
    info = entry.load()()
    schema = json.loads((Path(airflow).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(info, schema)
    assert info["package-name"] == "airflow-provider-aml"


def test_airflows_configuration_has_the_workspace_option() -> None:
    airflow = Path(sys.executable).with_name("airflow")
    assert run(airflow, "config", "get-value", "aml", "workspace").stdout.strip() == ""
    told = run(airflow, "config", "get-value", "aml", "workspace", AIRFLOW__AML__WORKSPACE="/srv/workspace.yaml")
    assert told.stdout.strip() == "/srv/workspace.yaml"


def test_airflow_reads_the_pipelines_and_not_the_scripts_of_their_steps(repository: Path) -> None:
    from airflow.utils.file import list_py_file_paths

    dags = repository / "dags"
    found = {Path(path).relative_to(dags).as_posix() for path in list_py_file_paths(dags, safe_mode=True)}
    assert found == {"digits_pipeline.py", "fan_out_pipeline.py"}


@pytest.mark.parametrize(
    ("file", "dag_id", "steps"),
    [
        ("digits_pipeline.py", "digits", {"prep": set(), "train": {"prep"}}),
        (
            "fan_out_pipeline.py",
            "fan-out",
            {
                "draw": set(),
                "estimate": {"draw"},
                "histogram": {"draw"},
                "smallest": {"draw"},
                "report": {"estimate", "histogram", "smallest"},
            },
        ),
    ],
)
def test_a_sample_read_by_airflow_becomes_the_authors_graph(
    repository: Path, file: str, dag_id: str, steps: dict[str, set[str]]
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(repository / "dags" / file, load_op_links=False)
    assert bag.import_errors == {}
    assert list(bag.dags) == [dag_id]
    tasks = bag.dags[dag_id].task_dict
    graph = {name: tasks[name].upstream_task_ids & set(steps) for name in tasks if name in steps}
    assert graph == steps


def test_versions_are_pinned_without_an_address(repository: Path) -> None:
    text = (repository / "constraints.txt").read_text()
    assert "://" not in text
    assert "index" not in re.sub(r"[\w.-]*index[\w.-]*==", "", text)
    pinned = {line.split("==")[0] for line in text.split()}
    wanted = (repository / "pyproject.toml").read_text()
    listed = re.search(r"\ndependencies = \[(.*?)\]", wanted, re.DOTALL)
    assert listed is not None
    assert {re.split(r"[<>=]", name)[0] for name in re.findall(r'"(.+?)"', listed[1])} <= pinned


def test_modules_are_short(repository: Path) -> None:
    long = {
        path.relative_to(repository).as_posix(): lines
        for path in (repository / "aml_provider").rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 500
    }
    assert long == {}


def test_the_two_commands_are_there(repository: Path) -> None:
    for target in ("demo", "test", "lint", "bench", "constraints", "clean"):
        planned = run("make", "--directory", repository, "--dry-run", target)
        assert planned.returncode == 0, planned.stderr
    assert run("bash", "-n", repository / ".ci" / "run").returncode == 0


def test_the_change_log_speaks_of_this_version(repository: Path) -> None:
    text = (repository / "CHANGELOG.md").read_text()
    assert "## Unreleased" in text or f"## {__version__}" in text
