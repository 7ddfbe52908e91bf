"""Where relative paths are looked for, and that a spec is the same wherever and whenever it is built."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aml_provider.sdk.life import collecting
from aml_provider.sdk.source import PipelineSource, calling_source, find_file, portable
from aml_provider.spec.errors import PipelineError

PIPELINE = """
from azureml.core import Environment, Experiment, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter
from azureml.pipeline.steps import CommandStep, PythonScriptStep

ws = Workspace.from_config()
for name in {"b", "a", "c"}:
    ComputeTarget.create(ws, name, AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2"))
config = RunConfiguration()
config.environment = Environment.from_pip_requirements("e", "requirements.txt")
data, files, store = PipelineData("data"), OutputFileDatasetConfig(), ws.get_default_datastore()
reference = store.path("in")
prep = PythonScriptStep("prep.py", arguments=[data, files, reference, PipelineParameter("p", 1)], inputs=[reference],
    outputs=[data], source_directory="code", compute_target="a", runconfig=config)
one = CommandStep(["cat", data, files.as_input()], inputs=[data], compute_target="b")
two = CommandStep("python prep.py", compute_target="c")
run = Experiment(ws, "same").submit(Pipeline(ws, [one, two], default_source_directory="code"))
"""
COLLECT = """
import runpy, sys
from aml_provider.sdk.life import collecting
with collecting(sys.argv[1]) as found:
    runpy.run_path(sys.argv[1])
print(found[0][0].to_json())
"""


def checkout(folder: Path) -> Path:
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "prep.py").write_text("")
    (folder / "requirements.txt").write_text("scikit-learn\nazureml-core\n")
    (folder / ".azureml").mkdir()
    (folder / ".azureml" / "config.json").write_text(
        '{"subscription_id": "s", "resource_group": "g", "workspace_name": "theirs"}'
    )
    (folder / "pipeline.py").write_text(PIPELINE)
    return folder / "pipeline.py"


def collected(file: Path, cwd: Path, seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "AML_HOME": str(cwd / f"home{seed}")}
    done = subprocess.run(
        [sys.executable, "-c", COLLECT, str(file)], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_checkouts_two_processes_the_same_bytes(tmp_path: Path) -> None:
    first = checkout(tmp_path / "a" / "deep" / "checkout")
    second = checkout(tmp_path / "b")
    text = collected(first, tmp_path, "1")
    assert text == collected(second, second.parent, "2")
    assert '"workspace":"theirs"' in text
    assert '"source_directory":"code"' in text
    assert '"name":"output_prep.py_1"' not in text
    assert '"name":"output_prep_py_1"' in text
    assert str(tmp_path) not in text


def test_a_relative_path_is_looked_for_here_then_beside_the_file(tmp_path: Path, monkeypatch) -> None:
    here, beside = tmp_path / "here", tmp_path / "beside"
    here.mkdir()
    beside.mkdir()
    source = PipelineSource(beside / "p.py", beside)
    monkeypatch.chdir(here)
    assert find_file("x", source) is None
    (beside / "x").touch()
    assert find_file("x", source) == beside / "x"
    (here / "x").touch()
    assert find_file("x", source) == here / "x"


def test_paths_in_a_spec(tmp_path: Path) -> None:
    source = PipelineSource(None, tmp_path / "dags")
    assert portable(str(tmp_path / "dags"), source, absolute=True) == "."
    assert portable(str(tmp_path / "dags" / "a" / "b"), source, absolute=True) == "a/b"
    assert portable(str(tmp_path / "src"), source, absolute=False) == "../src"
    assert portable(str(tmp_path / "src"), source, absolute=True) == (tmp_path / "src").as_posix()


def test_the_pipeline_file_is_the_callers(project: Path) -> None:
    assert calling_source() == PipelineSource(Path(__file__), Path(__file__).parent)
    with collecting(project / "notebook.ipynb"):
        assert calling_source() == PipelineSource(project / "notebook.ipynb", project)


def test_a_directory_with_the_script_is_preferred(ws, project: Path, step, monkeypatch) -> None:
    from aml_provider.sdk.build.pipeline import build

    (project / "elsewhere" / "src").mkdir(parents=True)
    monkeypatch.chdir(project / "elsewhere")
    draft = build(ws, [step("a")], source=PipelineSource(project / "p.py", project))
    assert draft.spec.steps[0].source_directory == "src"


def test_a_default_source_directory(step, build) -> None:
    assert build(step("a", source_directory=None), default_source_directory="src").steps[0].source_directory == "src"
    with pytest.raises(PipelineError, match="script 'prep.py' does not exist in source_directory '.'"):
        build(step("a", source_directory=None))


def test_an_absolute_directory_below_the_file_is_relative(project: Path, step, build) -> None:
    assert build(step("a", source_directory=str(project / "src"))).steps[0].source_directory == "src"


def test_a_step_script_in_a_folder_below(project: Path, step, build) -> None:
    made = build(step("a", source_directory=".", script_name="./src/train.py")).steps[0]
    assert made.source_directory == "."
    assert made.action.script == "src/train.py"
