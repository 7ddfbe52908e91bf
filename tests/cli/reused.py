"""A project whose pipeline has run once, so that there are results; every test gets its own copy of it."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

from tests.cli.conftest import make_project, run_aml

PIPELINE = """\
from azureml.core import Experiment, Workspace
from azureml.data import OutputFileDatasetConfig
from azureml.data.data_reference import DataReference
from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
store = ws.get_default_datastore()
raw = DataReference(store, data_reference_name="raw", path_on_datastore="raw")
clean = OutputFileDatasetConfig("clean")
model = PipelineData("model", datastore=store)
shared = {"source_directory": "shared", "compute_target": "cpu"}
steps = [
    PythonScriptStep("prep.py", name="prep", arguments=[raw, clean], inputs=[raw], **shared),
    PythonScriptStep(
        "train.py",
        name="train",
        arguments=["--epochs", PipelineParameter("epochs", 3), clean.as_input("clean"), "--model", model],
        outputs=[model],
        **shared,
    ),
    PythonScriptStep(
        "report.py", name="report", source_directory="reporting", arguments=[model], inputs=[model],
        compute_target="cpu",
    ),
    PythonScriptStep("audit.py", name="audit", source_directory="reporting", compute_target="cpu", allow_reuse=False),
]
Experiment(ws, "houses").submit(Pipeline(ws, steps))
"""

FILES = {
    "shared/prep.py": "import pathlib, sys\n"
    "rows = [p.read_text() for p in sorted(pathlib.Path(sys.argv[1]).glob('*.csv'))]\n"
    "pathlib.Path(sys.argv[2], 'rows.csv').write_text(''.join(rows).upper())\n",
    "shared/train.py": "import pathlib, sys\npathlib.Path(sys.argv[5]).write_text('a model')\n",
    "reporting/report.py": "print('a report')\n",
    "reporting/audit.py": "print('an audit')\n",
    "pipeline.py": PIPELINE,
    ".aml/datastores/workspaceblobstore/raw/north.csv": "n1\nn2\n",
    ".aml/datastores/workspaceblobstore/raw/south.csv": "s1\n",
}


@functools.cache
def _computed() -> tuple[Path, str]:
    folder = Path(tempfile.mkdtemp(prefix="aml-reused-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    project = make_project(folder / "project")
    write(project, FILES)
    said = run_aml(project, "run", "pipeline.py", "--json")
    assert said.code == 0, said.err
    (result,) = said.results
    assert {step["name"]: step["state"] for step in result["steps"]}.keys() == {"prep", "train", "report", "audit"}
    (record,) = [json.loads(p.read_text()) for p in project.rglob("run.json")]
    return project, str(record["pipeline_run_id"])


def write(project: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def copied_project(folder: Path) -> Path:
    """The project, as if it had run in ``folder``."""
    shutil.copytree(_computed()[0], folder / "project", symlinks=True)
    return folder / "project"


def run_id() -> str:
    """The pipeline run id of the run that computed the results."""
    return _computed()[1]


def new_project(folder: Path) -> Path:
    """The same project before it has run."""
    project = make_project(folder / "new")
    write(project, FILES)
    return project
