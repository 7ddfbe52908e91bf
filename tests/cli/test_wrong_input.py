"""What is wrong in a pipeline file, on the command line or in the workspace file: one sentence, exit code not 0."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Aml, make_project, pipeline, run_aml

A = 'a = PipelineData("features", datastore=store)\n'
EPOCHS = 'step = script(name="train", arguments=["--epochs", PipelineParameter("epochs", 3)])\n'

#: what the file does -> what the sentence must name
WRONG = {
    "unknown compute target": ('submit(script(name="train", compute_target="gpu"))', "'train'", "'gpu'", "cpu"),
    "missing script": ('submit(script("trian.py", name="train"))', "'train'", "'trian.py'", "/src"),
    "missing source_directory": ('submit(script(name="train", source_directory="sources"))', "'train'", "'sources'"),
    "cycle": (
        'x = script(name="one")\ny = script(name="two")\nx.run_after(y)\ny.run_after(x)\nsubmit(x, y)',
        "'one' -> 'two' -> 'one'",
    ),
    "unproduced input": (A + 'submit(script(name="train", inputs=[a]))', "'train'", "'features'", "no step produces"),
    "two producers": (
        A + 'submit(script(name="one", outputs=[a]), script(name="two", outputs=[a]))',
        "'features'",
        "'one' and 'two'",
    ),
    "parameter of another type": (
        EPOCHS + 'submit(step, pipeline_parameters={"epochs": "many"})',
        "'epochs'",
        "'many'",
        "int",
    ),
    "unknown parameter": (EPOCHS + 'submit(step, pipeline_parameters={"epoch": 1})', "'epoch'", "'epochs'"),
    "no such datastore": ('Datastore(ws, "images")', "'images'", "workspaceblobstore"),
    "bare dataset": (
        'd = Dataset.File.from_files((store, "x/*.csv"), validate=False)\nsubmit(script(name="train", arguments=[d]))',
        "'train'",
        "as_named_input",
    ),
    "an argument that is no text": ('submit(script(name="train", arguments=[{"a": 1}]))', "'train'", "argument 1"),
    "an argument that no program can be given": (
        'submit(script(name="train", arguments=["--x", "a\\0b"]))',
        "'train'",
        "argument 2",
        "NUL",
    ),
    "an environment as a run configuration": (
        'from azureml.core import Environment\nsubmit(script(name="train", runconfig=Environment("e")))',
        "'train'",
        "runconfig is ",
        "give a RunConfiguration",
    ),
    "allow_reuse as text": ('submit(script(name="train", allow_reuse="no"))', "'train'", "allow_reuse is 'no'"),
    "regenerate_outputs as text": (
        'submit(script(name="train"), regenerate_outputs="yes")',
        "regenerate_outputs is 'yes'; give True or False",
    ),
    "packages as text": (
        "from azureml.core.conda_dependencies import CondaDependencies as C\nC.create(pip_packages='six')",
        "pip_packages is 'six'; give a list of packages",
    ),
    "variables as text": (
        "from azureml.core import Environment\nEnvironment('e').environment_variables = 'A=1'",
        "Environment 'e': environment_variables is 'A=1'; give a mapping",
    ),
    "variables as text from the beginning": (
        "from azureml.core import Environment\nEnvironment('e', environment_variables='A=1')",
        "Environment 'e': environment_variables is 'A=1'; give a mapping",
    ),
    "no steps": ("submit()", "no steps"),
    "no submit": ('Pipeline(ws, [script(name="x")])', "submits no pipeline", "submit(...)"),
    "gives up before it submits": ("import sys\nsys.exit(4)", "exit code 4", "before it submitted"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_pipeline_is_told_in_a_sentence(aml: Aml, project: Path, case: str) -> None:
    code, *named = WRONG[case]
    said = aml(project, "validate", pipeline(project, code))
    assert said.code == 1
    assert said.is_plain(), said.err
    assert said.err.startswith("aml: ")
    assert len(said.err.splitlines()) == 1
    for word in named:
        assert word in said.err


def test_run_and_spec_refuse_what_validate_refuses_and_start_nothing(aml: Aml, project: Path) -> None:
    file = pipeline(project, WRONG["unknown compute target"][0])
    for command in ("run", "spec"):
        said = aml(project, command, file)
        assert (said.code, said.out) == (1, "")
        assert "'gpu'" in said.err
    assert not (project / ".aml" / "runs").exists()


# --- the file itself --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("def helper():\n    return {}['rows']\n\nhelper()", ["in helper", "KeyError: 'rows'"]),
        ('submit(script(name="x")', ["SyntaxError: '(' was never closed"]),
        ("import module_that_is_not_there", ["ModuleNotFoundError: No module named 'module_that_is_not_there'"]),
        ('PythonScriptStep(script="x.py")', ["TypeError", "'script'"]),
    ],
)
def test_an_error_in_the_file_shows_the_files_own_lines(aml: Aml, project: Path, code: str, shown: list[str]) -> None:
    said = aml(project, "validate", pipeline(project, code))
    assert said.code == 1
    assert said.err.startswith("aml: ")
    assert "pipeline.py" in said.err
    assert "/aml_provider/" not in said.err
    assert "runpy" not in said.err
    for text in shown:
        assert text in said.err


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("nowhere.py", None, "there is no file"),
        ("notes.txt", "hello", "neither a Python file (.py) nor a notebook (.ipynb)"),
        ("broken.ipynb", "not json", "is not JSON"),
        ("odd.ipynb", '{"cells": 3}', "has no list of cells"),
        ("src", None, "is a folder"),
    ],
)
def test_a_file_that_is_none(aml: Aml, project: Path, name: str, content: str | None, named: str) -> None:
    if content is not None:
        (project / name).write_text(content)
    said = aml(project, "run", name)
    assert said.code == 1
    assert said.is_plain()
    assert name in said.err
    assert named in said.err


def test_a_notebook_with_magics_is_a_pipeline_file(aml: Aml, project: Path) -> None:
    head = pipeline(project, "").read_text()
    cells = ["%matplotlib inline\n!pip install azureml\n" + head, "%%bash\nls", 'submit(script(name="train"))\nws?']
    notebook = {"cells": [{"cell_type": "code", "source": c} for c in cells], "nbformat": 4}
    (project / "p.ipynb").write_text(json.dumps(notebook))
    said = aml(project, "spec", "p.ipynb", "--json")
    assert said.code == 0, said.err
    assert [s["name"] for s in json.loads(said.out)[0]["steps"]] == ["train"]


def test_a_notebook_writes_the_script_of_its_step_itself(aml: Aml, project: Path) -> None:
    """As nearly all of Microsoft's do, into a folder that an earlier cell has made."""
    head = "from azureml.pipeline.steps import PythonScriptStep\n" + pipeline(project, "").read_text()
    cells = [
        head + "\nimport os\nfolder = 'written'\nos.makedirs(folder, exist_ok=True)",
        "%%writefile $folder/train.py\nprint('one')",
        "%%writefile -a {folder}/train.py\nprint('two')\n",
        "%%time\nmade = PythonScriptStep('train.py', name='train', source_directory=folder, compute_target='local')",
        "%%bash\nls",
        "submit(made)",
    ]
    notebook = {"cells": [{"cell_type": "code", "source": c} for c in cells], "nbformat": 4}
    (project / "p.ipynb").write_text(json.dumps(notebook))
    said = aml(project, "spec", "p.ipynb", "--json")
    assert said.code == 0, said.err
    assert said.err.strip() == "code cell 5 is left out: it is not Python but %%bash"
    assert (project / "written" / "train.py").read_text() == "print('one')\nprint('two')\n"
    notebook["cells"][1]["source"] = "%%writefile $fodler/train.py\nprint('one')"
    (project / "p.ipynb").write_text(json.dumps(notebook))
    said = aml(project, "spec", "p.ipynb", "--json")
    assert said.code == 1
    assert "the notebook has no variable 'fodler' yet" in said.err
    assert said.is_plain()


def test_an_error_in_a_notebook_names_the_cell(aml: Aml, project: Path) -> None:
    cells = [{"cell_type": "code", "source": s} for s in ("x = 1", "y = x / 0")]
    (project / "p.ipynb").write_text(json.dumps({"cells": cells}))
    said = aml(project, "validate", "p.ipynb")
    assert said.code == 1
    assert 'p.ipynb, code cell 2", line 1' in said.err
    assert "/aml_provider/" not in said.err


def test_a_file_with_several_pipelines_and_one_guarded_by_main(aml: Aml, project: Path) -> None:
    code = 'submit(script(name="one"))\nif __name__ == "__main__":\n    submit(script(name="two"))\n'
    said = aml(project, "spec", pipeline(project, code), "--json")
    assert [s["name"] for p in json.loads(said.out) for s in p["steps"]] == ["one", "two"]


# --- the command line -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "code", "named"),
    [
        ("novalue", 2, "NAME=VALUE"),
        ("epochs=many", 1, "'epochs' must be of type integer"),
        ("epochs=1.5", 1, "'epochs' must be of type integer"),
        ("epoch=2", 1, "unknown pipeline parameter 'epoch'"),
    ],
)
def test_a_wrong_parameter_on_the_command_line(aml: Aml, project: Path, value: str, code: int, named: str) -> None:
    said = aml(project, "run", pipeline(project, EPOCHS + "submit(step)"), "-p", value)
    assert said.code == code
    assert said.is_plain()
    assert named in said.err
    assert not (project / ".aml" / "runs").exists()


# --- the workspace ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("name: x\ncompute:\n  cpu: {memory: 1Gi\nlocal: x\n", "line 4", "is not YAML"),
        ("name: x\ncompute:\n  cpu:\n    memry: 1Gi\n", "line 4, key compute.cpu.memry", "did you mean 'memory'"),
        ("name: x\ncompute:\n  cpu:\n    cpus: many\n", "line 4, key compute.cpu.cpus", "'many'"),
        ("default_datastore: nowhere\n", "line 1, key default_datastore", "'nowhere'"),
    ],
)
def test_a_wrong_workspace_file_names_line_and_key(aml: Aml, project: Path, text: str, where: str, what: str) -> None:
    (project / "workspace.yaml").write_text(text)
    said = aml(project, "validate", pipeline(project, 'submit(script(name="x"))'))
    assert said.code == 1
    assert said.is_plain()
    assert f"{project / 'workspace.yaml'} {where}" in said.err
    assert what in said.err


def test_a_named_workspace_file_must_exist(project: Path) -> None:
    file = pipeline(project, 'submit(script(name="x"))')
    said = run_aml(project, "validate", file, AML_WORKSPACE="/nowhere/workspace.yaml")
    assert said.code == 1
    assert "AML_WORKSPACE names /nowhere/workspace.yaml, which does not exist" in said.err


@pytest.mark.parametrize(
    ("workspace", "named"),
    [
        ("compute: {cpu: {kind: docker}}", ["'train'", "'cpu'", "no image", "docker: image:"]),
        ("compute: {cpu: {kind: kubernetes}}", ["'train'", "'cpu'", "no image", "kubernetes: image:"]),
        (
            "compute: {cpu: {kind: kubernetes, image: x, config_file: /nowhere/kubeconfig}}",
            ["'cpu'", "/nowhere/kubeconfig", "does not exist"],
        ),
        (
            "datastores: {workspaceblobstore: {url: 'gopher://host/x'}}\ncompute: {cpu: {}}",
            ["'workspaceblobstore'", "gopher", "s3"],
        ),
    ],
)
def test_validate_sees_what_the_workspace_cannot_do(aml: Aml, project: Path, workspace: str, named: list[str]) -> None:
    (project / "workspace.yaml").write_text(workspace)
    said = aml(project, "validate", pipeline(project, 'submit(script(name="train"))'))
    assert said.code == 1
    assert said.is_plain()
    for word in named:
        assert word in said.err


def test_an_experiment_needs_a_name(aml: Aml, project: Path) -> None:
    """An unset variable of a shell gives an empty one."""
    said = aml(project, "run", pipeline(project, 'submit(script(name="train"))'), "--experiment", "")
    assert said.code == 1
    assert said.is_plain()
    assert "the experiment's name is ''" in said.err
    assert not (project / ".aml" / "runs").exists()


def test_a_source_directory_that_is_too_big_names_its_biggest_files(aml: Aml, project: Path) -> None:
    big = project / "src" / "weights.bin"
    with big.open("wb") as f:
        os.truncate(f.fileno(), 400 * 1024 * 1024)
    file = pipeline(project, 'submit(script(name="train"))')
    said = aml(project, "validate", file)
    assert said.code == 1
    assert "'train'" in said.err
    assert "weights.bin" in said.err
    assert ".amlignore" in said.err
    (project / "src" / ".amlignore").write_text("*.bin\n")
    assert aml(project, "validate", file).code == 0


def test_a_state_folder_that_cannot_be_written(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", "state: /proc/nowhere\ncompute: {cpu: {}}\n")
    said = run_aml(project, "run", pipeline(project, 'submit(script(name="x"))'))
    assert said.code == 1
    assert said.is_plain()
    assert "/proc/nowhere" in said.err
    assert "state:" in said.err
