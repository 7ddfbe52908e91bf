"""Which workspace file is used, and that asking again costs nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aml_provider.spec.errors import WorkspaceFileError
from aml_provider.workspace.discovery import load_workspace

from .conftest import Write

ROOT = Path(__file__).resolve().parents[2]


def test_the_search_order(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "project/pipelines"
    elsewhere.mkdir(parents=True)
    assert load_workspace().path is None

    write("name: current")
    assert load_workspace().name == "current"
    write("name: above", "project/workspace.yml")
    assert load_workspace(beside=elsewhere).name == "above"
    write("name: beside", "project/pipelines/workspace.yaml")
    assert load_workspace(beside=elsewhere).name == "beside"
    monkeypatch.setenv("AIRFLOW__AML__WORKSPACE", str(write("name: airflow", "airflow.yaml")))
    assert load_workspace(beside=elsewhere).name == "airflow"
    monkeypatch.setenv("AML_WORKSPACE", str(write("name: variable", "variable.yaml")))
    assert load_workspace(beside=elsewhere).name == "variable"
    named = write("name: named", "named/workspace.yaml")
    assert load_workspace(named, beside=elsewhere).name == "named"
    assert load_workspace(named.parent).path == named
    assert load_workspace("named/workspace.yaml").folder == named.parent


def test_airflows_option_is_asked_where_airflow_is_loaded(write: Write, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    file = write("name: from airflow", "ws.yaml")
    (tmp_path / "home/airflow.cfg").write_text(f"[aml]\nworkspace = {file}\n")
    program = """
import sys
from aml_provider.workspace.discovery import load_workspace
assert load_workspace().name == "local"
assert "airflow" not in sys.modules
import airflow.{module}configuration
assert load_workspace().name == "from airflow"
"""
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    environment.pop("AIRFLOW__AML__WORKSPACE", None)
    for module in ("", "sdk."):
        command = [sys.executable, "-c", program.replace("{module}", module)]
        subprocess.run(command, check=True, env=environment, cwd=tmp_path, timeout=120)


def test_a_named_file_must_exist(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkspaceFileError, match=r"gone\.yaml, which does not exist"):
        load_workspace(tmp_path / "gone.yaml")
    with pytest.raises(WorkspaceFileError, match=r"a folder without a workspace\.yaml or workspace\.yml"):
        load_workspace(tmp_path)
    monkeypatch.setenv("AML_WORKSPACE", "gone.yaml")
    with pytest.raises(WorkspaceFileError, match=r"environment variable AML_WORKSPACE names .*gone\.yaml"):
        load_workspace()
    monkeypatch.delenv("AML_WORKSPACE")
    monkeypatch.setenv("AIRFLOW__AML__WORKSPACE", "gone.yaml")
    with pytest.raises(WorkspaceFileError, match=r"Airflow's option \[aml\] workspace names"):
        load_workspace()


def test_a_file_is_read_once_and_again_when_it_changed(write: Write) -> None:
    file = write("name: one")
    first = load_workspace(file)
    assert load_workspace(file) is first
    write("name: another")
    assert load_workspace(file).name == "another"


def test_an_empty_file_means_all_defaults(write: Write) -> None:
    file = write("# nothing yet\n")
    loaded = load_workspace()
    assert loaded.path == file
    assert loaded.name == "local"
    assert loaded.state == file.parent / ".aml"


def test_loading_is_quick(write: Write) -> None:
    lines = "\n".join(f"  target{n}: {{vm_size: STANDARD_NC6, environment: {{A: b}}}}" for n in range(30))
    file = write("compute:\n" + lines)
    load_workspace(file)
    best = float("inf")
    for n in range(5):
        os.utime(file, ns=(n, n))
        started = time.perf_counter()
        load_workspace(file)
        best = min(best, time.perf_counter() - started)
    assert best < 0.02


def test_importing_costs_little_more_than_pydantic() -> None:
    program = """
import sys, pydantic
class Model(pydantic.BaseModel): a: int  # pydantic looks for plugins when it builds its first model
before = set(sys.modules)
import aml_provider.workspace.discovery, aml_provider.workspace.resolved
new = {name.split(".")[0] for name in set(sys.modules) - before}
assert not new & {"yaml", "airflow", "mlflow", "fsspec", "http", "email", "ssl", "asyncio", "difflib"}, new
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, timeout=60)
