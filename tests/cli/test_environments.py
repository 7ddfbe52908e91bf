"""``aml env``: which versions steps get, and how somebody asks for newer ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Aml, pipeline, run_aml
from tests.wheels import Index, make_wheel, serving

SCRIPT = "import tiny\nfrom azureml.core import Run\nRun.get_context().log('tiny', float(tiny.__version__))\n"
CODE = """\
def step(name, *packages, conda=(), options=()):
    environment = Environment(name + "-packages")
    wanted = CondaDependencies.create(pip_packages=list(packages), conda_packages=list(conda))
    for option in options:
        wanted.set_pip_option(option)
    environment.python.conda_dependencies = wanted
    config = RunConfiguration()
    config.environment = environment
    return script("uses.py", name=name, runconfig=config)


"""


@pytest.fixture
def index(tmp_path: Path) -> Path:
    make_wheel(tmp_path / "index", "tiny", "1.0")
    make_wheel(tmp_path / "index", "needy", "0.1", "tiny>=1")
    return tmp_path / "index"


@pytest.fixture
def options(index: Path) -> str:
    return f'options=["--no-index", "--find-links {index}"]'


def make_pipeline(project: Path, *steps: str, name: str = "pipeline.py") -> Path:
    (project / "src" / "uses.py").write_text(SCRIPT)
    return pipeline(project, f"{CODE}submit({', '.join(steps)})\n", name)


def listed(aml: Aml, project: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    said = aml(project, "env", *arguments, "--json")
    assert said.code == 0, said.err
    found: list[dict[str, Any]] = json.loads(said.out)
    return found


def test_a_newer_version_makes_steps_run_only_after_a_refresh(
    aml: Aml, project: Path, index: Path, options: str
) -> None:
    file = make_pipeline(project, f'step("train", "tiny", {options})')

    def planned() -> tuple[str, str]:
        said = aml(project, "plan", file, "--json")
        assert said.code == 0, said.err
        (found,) = json.loads(said.out)[0]["steps"]
        return found["verdict"], found["reason"]

    def run() -> Any:
        said = run_aml(project, "run", file, "--json")
        assert said.code == 0, said.err
        return said.steps()["train"]["metrics"]["tiny"]

    verdict, reason = planned()
    assert verdict == "run"
    assert "the packages of environment 'train-packages' have not been resolved to versions yet" in reason
    # The first step that needs the versions resolves them, so its own result can be reused already.
    assert run() == 1.0
    assert planned()[0] == "reuse"
    make_wheel(index, "tiny", "1.1")
    assert planned()[0] == "reuse"
    said = aml(project, "env", "refresh", "train-packages")
    assert (said.code, said.is_plain()) == (0, True)
    assert said.out.startswith("train-packages (")
    assert said.out.endswith("): tiny 1.0 -> 1.1\n")
    assert planned()[0] == "run"
    assert run() == 1.1


def test_before_the_first_run_and_after_the_first_resolving(aml: Aml, project: Path, index: Path, options: str) -> None:
    said = aml(project, "env", "ls")
    assert (said.code, said.out) == (0, "")
    assert "no environment has been resolved" in said.err
    assert listed(aml, project, "ls") == []

    file = make_pipeline(
        project, f'step("prep", "needy", {options})', f'step("train", "tiny", {options})', 'script(name="plain")'
    )
    said = aml(project, "env", "ls", "--file", file)
    assert [line.split()[1:] for line in said.out.splitlines()] == [
        ["prep-packages", "not", "resolved", "yet"],
        ["train-packages", "not", "resolved", "yet"],
    ]
    assert "not resolved yet" in aml(project, "env", "show", "prep-packages", "--file", file).out

    said = aml(project, "env", "refresh", "prep-packages", "--file", file)
    assert said.out.endswith("): resolved, 2 packages\n")
    (prep,) = listed(aml, project, "ls")
    assert prep["resolved"]["packages"] == {"needy": "0.1", "tiny": "1.0"}
    assert prep["resolved"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (prep["name"], prep["asked"], prep["datastore"]) == ("prep-packages", ["needy"], "workspaceblobstore")
    assert sorted(prep["options"]) == [f"--find-links {index}", "--no-index"]
    assert [item["resolved"] is None for item in listed(aml, project, "ls", "--file", file)] == [False, True]

    shown = aml(project, "env", "show", prep["key"][:6]).out.splitlines()
    assert shown[0] == f"environment prep-packages, key {prep['key']}, in datastore workspaceblobstore"
    assert [line.strip() for line in shown[-2:]] == ["needy==0.1", "tiny==1.0"]
    assert listed(aml, project, "show", "prep-packages") == [prep]
    (line,) = aml(project, "env", "ls").out.splitlines()
    assert line.startswith(f"{prep['key'][:12]}  prep-packages  Python ")
    assert "2 packages, resolved 20" in line


def test_a_refresh_says_what_changed_and_what_did_not(aml: Aml, project: Path, index: Path, options: str) -> None:
    file = make_pipeline(project, f'step("prep", "needy", {options})', f'step("train", "tiny<1.1", {options})')
    assert aml(project, "env", "refresh", "-f", file).code == 0
    (index / "needy-0.1-py3-none-any.whl").unlink()
    make_wheel(index, "needy", "0.2", "other")
    make_wheel(index, "other", "7")
    make_wheel(index, "tiny", "1.1")
    said = aml(project, "env", "refresh", "--all")
    assert said.code == 0
    told = {line.split(" ")[0]: line.partition("): ")[2] for line in said.out.splitlines()}
    assert told == {
        "prep-packages": "needy 0.1 -> 0.2; other 7 is new; tiny 1.0 is gone",
        "train-packages": "nothing has changed",
    }


def test_when_packages_cannot_be_resolved_any_more_the_versions_stay(
    aml: Aml, project: Path, index: Path, options: str
) -> None:
    file = make_pipeline(project, f'step("prep", "needy", {options})', f'step("train", "tiny", {options})')
    aml(project, "env", "refresh", "-f", file)
    before = listed(aml, project, "show", "prep-packages")
    (index / "needy-0.1-py3-none-any.whl").unlink()
    make_wheel(index, "tiny", "1.1")
    said = aml(project, "env", "refresh", "--all")
    assert (said.code, said.is_plain()) == (1, True)
    assert "aml: prep-packages (" in said.err
    assert ") keeps its versions: the Python environment 'prep-packages' could not be built" in said.err
    assert "needy was not found" in said.err
    # One that fails keeps no other from being refreshed.
    assert "tiny 1.0 -> 1.1" in said.out
    assert listed(aml, project, "show", "prep-packages") == before


def test_forgetting(aml: Aml, project: Path, index: Path, options: str) -> None:
    file = make_pipeline(project, f'step("train", "tiny", {options})')
    aml(project, "env", "refresh", "-f", file)
    make_wheel(index, "tiny", "1.1")
    said = aml(project, "env", "forget", "train-packages")
    assert (said.code, said.out.partition("): ")[2]) == (0, "forgotten\n")
    assert listed(aml, project, "ls") == []
    assert aml(project, "env", "forget", "train-packages", "-f", file).out.endswith("had not been resolved\n")
    aml(project, "env", "refresh", "-f", file)
    (found,) = listed(aml, project, "ls")
    assert found["resolved"]["packages"] == {"tiny": "1.1"}


def test_a_conda_environment_file(aml: Aml, project: Path, index: Path) -> None:
    (project / "conda.yml").write_text(
        "name: train\nchannels: [conda-forge]\ndependencies:\n"
        f"  - python={sys.version_info.major}.{sys.version_info.minor}\n  - conda-forge::tiny=1\n"
        f"  - pip:\n    - --no-index\n    - --find-links {index}\n    - needy\n    - azureml-defaults\n"
    )
    make_wheel(index, "tiny", "2.0")
    code = (
        'config = RunConfiguration()\nconfig.environment = Environment.from_conda_specification("train", "conda.yml")\n'
        'submit(script(name="train", runconfig=config))\n'
    )
    aml(project, "env", "refresh", "-f", pipeline(project, code))
    (found,) = listed(aml, project, "ls")
    assert found["asked"] == ["needy", "tiny==1.*"]
    assert found["resolved"]["packages"] == {"needy": "0.1", "tiny": "1.0"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "predict"), "no environment has the name 'predict' or a key that begins so; there are: "),
        (("forget", "predict"), "no environment has the name 'predict'"),
        (("refresh", "predict"), "no environment has the name 'predict'"),
        (("show", ""), "the keys of 2 environments begin with ''. Write more of the key."),
        (("ls", "-f", "plain.py"), "plain.py: no local step has an environment with packages to install"),
    ],
)
def test_what_is_not_there(aml: Aml, project: Path, options: str, arguments: tuple[str, ...], sentence: str) -> None:
    file = make_pipeline(project, f'step("prep", "needy", {options})', f'step("train", "tiny", {options})')
    make_pipeline(project, 'script(name="plain")', name="plain.py")
    aml(project, "env", "refresh", "-f", file)
    said = aml(project, "env", *arguments)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("aml: ")
    assert sentence in said.err
    assert len(said.err.splitlines()) == 1


def test_a_refresh_of_nothing_in_particular_is_refused(aml: Aml, project: Path) -> None:
    said = aml(project, "env", "refresh")
    assert said.code == 2
    assert "--all" in said.err


def test_with_passwords_the_pipeline_file_is_needed_and_nothing_shows_them(
    aml: Aml, project: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with serving(Index({"ann": "s3cret"}, {"ann": index})) as private:
        option = f'options=["--index-url {private.url("ann")}/simple"]'
        file = make_pipeline(project, f'step("train", "tiny", {option})')
        said = [aml(project, "env", "refresh", "-f", file)]
        make_wheel(index, "tiny", "1.1")
        said.append(aml(project, "env", "refresh", "train-packages"))
        assert said[-1].code == 1
        assert "Refresh it through the pipeline file" in said[-1].err
        said.append(aml(project, "env", "refresh", "-f", file))
        assert said[-1].out.endswith("): tiny 1.0 -> 1.1\n")
        said += [aml(project, "env", "ls"), aml(project, "env", "show", "train-packages", "-f", file)]
        said.append(aml(project, "env", "show", "train-packages", "-f", file, "--json"))
    for answer in said:
        assert "s3cret" not in answer.out + answer.err
    assert "--index-url http://***@127.0.0.1" in said[-1].out
