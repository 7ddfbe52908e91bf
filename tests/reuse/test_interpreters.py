"""Which Python of a worker a step gets, and what is in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aml_provider.reuse.interpreters import OURS, Installed, as_it_is, base_interpreter, installed_in, running
from aml_provider.runs.errors import StepError
from tests.wheels import install, make_python, make_wheel, sites

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"


def has(python: Path) -> Installed:
    return installed_in(running(str(python)))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    return make_python(tmp_path / "venv")


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


# --- which one --------------------------------------------------------------------------------------------------


def test_the_workers_own_python_is_what_v1_calls_python() -> None:
    assert {as_it_is(name) for name in ("python", "python3", "")} == {sys.executable}


def test_a_named_interpreter_is_taken_as_it_is(python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert as_it_is(str(python)) == str(python)
    monkeypatch.setenv("PATH", f"{program(python.parent / 'python-of-mine', '').parent}")
    assert as_it_is("python-of-mine") == str(python.parent / "python-of-mine")
    with pytest.raises(StepError, match="'/nowhere/python' does not exist on this worker"):
        as_it_is("/nowhere/python")


@pytest.mark.parametrize("version", [None, OWN, f"{OWN}.99"])
def test_a_version_that_the_worker_itself_has(version: str | None) -> None:
    assert base_interpreter(version, pytest.fail) == sys.executable


def test_a_version_that_is_not_there_is_said_and_the_workers_own_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setenv("PATH", "/nowhere")
    assert base_interpreter("3.99.1", said.append) == sys.executable
    assert said == [
        f"Python 3.99.1 is not installed on this worker: using {OWN}. Local steps take the Pythons that are there."
    ]


def test_a_version_managers_name_for_a_python_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    program(tmp_path / "python3.99", "echo 'not found' >&2; exit 127")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert base_interpreter("3.99", said.append) == sys.executable
    assert len(said) == 1


def test_another_version_that_is_there(tmp_path: Path, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = program(tmp_path / "bin" / "python3.99", f'exec {python} "$@"')
    monkeypatch.setenv("PATH", f"{there.parent}:/usr/bin:/bin")
    assert base_interpreter("3.99.1", pytest.fail) == str(there)


def test_an_interpreter_tells_its_version_whatever_its_start_up_prints(python: Path) -> None:
    (sites(python) / "sitecustomize.py").write_text("print('welcome to the cluster')")
    found = running(str(python))
    assert (found.version, found.minor) == (".".join(map(str, sys.version_info[:3])), OWN)
    assert found.platform == running(sys.executable).platform
    assert sites(python) in [Path(folder) for folder in found.sites]


def test_a_file_that_is_no_python(tmp_path: Path) -> None:
    for text in ("exit 1", "echo hello"):
        with pytest.raises(StepError, match="does not run on this worker"):
            running(str(program(tmp_path / text.replace(" ", "-"), text)))


# --- what is in it ----------------------------------------------------------------------------------------------


def test_packages_have_versions_and_an_upgrade_is_seen(python: Path, tmp_path: Path) -> None:
    assert has(python) == Installed({}, None)
    make_wheel(tmp_path / "index", "tiny_thing", "1.0")
    install(python, "--no-index", "--find-links", tmp_path / "index", "tiny-thing", "--no-build")
    assert has(python) == Installed({"tiny-thing": "1.0"}, None)
    make_wheel(tmp_path / "index", "tiny_thing", "1.1")
    install(python, "--no-index", "--find-links", tmp_path / "index", "--upgrade", "tiny-thing")
    assert has(python) == Installed({"tiny-thing": "1.1"}, None)


def test_a_package_from_a_file_is_known_by_what_is_in_it(python: Path, tmp_path: Path) -> None:
    found = []
    for folder, content in (("one", "x = 1"), ("two", "x = 2"), ("three", "x = 1")):
        install(python, "--reinstall", make_wheel(tmp_path / folder, "tiny", "1.0", content=content))
        found.append(has(python).packages["tiny"])
    assert found[0].startswith("1.0 (content ")
    assert found[0] == found[2] != found[1]


def test_without_a_list_of_its_files_such_a_package_is_not_known(python: Path, tmp_path: Path) -> None:
    install(python, make_wheel(tmp_path, "tiny", "1.0"))
    (sites(python) / "tiny-1.0.dist-info" / "RECORD").unlink()
    assert has(python).changing == "package 'tiny', of whose files there is no list"


PROJECT = """\
[project]
name = "mine"
version = "0.1"
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.build.targets.wheel]
include = ["mine.py"]
"""


def test_an_editable_package_can_change_while_its_version_stays(python: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "mine" / "mine.py").touch()
    install(python, "--editable", tmp_path / "mine")
    assert has(python).changing == "package 'mine', which is installed in editable mode"


def test_a_folder_that_is_added_to_the_path(python: Path, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (sites(python) / "inner").mkdir()
    # What lies inside, is gone, or is a statement adds no folder from elsewhere.
    (sites(python) / "some.pth").write_text(f"inner\n# {tmp_path}/code\n\nimport os\n{tmp_path}/gone\n")
    assert has(python).changing is None
    (sites(python) / "team.pth").write_text(f"{tmp_path}/code\n")
    assert has(python).changing == f"what team.pth adds from {tmp_path}/code"


def test_old_style_packages(python: Path, tmp_path: Path) -> None:
    (sites(python) / f"one-1.2-py{OWN}.egg-info").mkdir()
    (sites(python) / "two.egg-info").mkdir()
    (sites(python) / "two.egg-info" / "PKG-INFO").write_text("Name: two\nVersion: 0.3\n")
    assert has(python) == Installed({"one": "1.2", "two": "0.3"}, None)


def test_how_steps_are_run_is_no_part_of_what_they_compute(python: Path, repository: Path) -> None:
    install(python, "--editable", repository)
    listed = subprocess.run(
        [str(python), "-c", "import aml_provider; print(aml_provider.__file__)"],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert Path(listed.stdout.strip()).is_relative_to(repository)
    assert has(python) == Installed({}, None)
    assert OURS not in installed_in(running(sys.executable)).packages


def test_what_is_around_the_worker_is_not_in_its_pythons(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_python(tmp_path / "other")
    install(tmp_path / "other" / "bin" / "python", make_wheel(tmp_path, "tiny", "1.0"))
    monkeypatch.setenv("PYTHONPATH", str(sites(tmp_path / "other" / "bin" / "python")))
    assert has(python) == Installed({}, None)
