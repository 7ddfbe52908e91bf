"""A pipeline whose steps read datasets with operations, in each image as a user has it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.airflow
AML = Path(sys.executable).with_name("aml")
WORKSPACE = """
name: lab
state: STATE
default_kind: KIND
docker: {image: 'IMAGE', network: none}
compute: {c: {}}
"""
PIPELINE = """
from azureml.core import Dataset, Experiment, Workspace
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
store = ws.get_default_datastore()
store.upload("raw", "houses", overwrite=True, show_progress=False)
houses = Dataset.Tabular.from_delimited_files((store, "houses/**"), partition_format="/{month:yyyy/MM}/a.csv")
houses = houses.register(ws, "houses")
dear = houses.filter((houses["price"] > 3) & (houses["month"] > "2023-01-01")).drop_columns("city")
files = Dataset.File.from_files((store, "houses/**"), partition_format="/{month:yyyy/MM}/a.csv")
made = OutputFileDatasetConfig("made").register_on_complete("made")
show = PythonScriptStep(
    "show.py", name="show", source_directory="src", compute_target="c", arguments=["--made", made],
    inputs=[
        houses.as_named_input("all"),
        dear.as_named_input("dear"),
        files.filter(files["month"] > "2024-01-01").as_named_input("new").as_mount(),
        houses.take(2).to_csv_files().as_named_input("csv").as_download(),
    ],
)
again = PythonScriptStep(
    "again.py", name="again", source_directory="src", compute_target="c",
    inputs=[made.read_delimited_files().random_split(0.5, seed=1)[0].as_input("half")],
)
Experiment(ws, "e").submit(Pipeline(ws, [show, again])).wait_for_completion()
"""
SHOW = """
import json, os, sys
from azureml.core import Dataset, Run

run = Run.get_context()
inputs = run.input_datasets
facts = {
    "new": sorted(os.path.join(*path.split(os.sep)[-3:]) for path in
                  (os.path.join(d, f) for d, _, fs in os.walk(inputs["new"]) for f in fs)),
    "csv": open(os.path.join(inputs["csv"], "part-00000.csv")).read(),
    "dear": inputs["dear"].to_pandas_dataframe().astype(str).values.tolist(),
    "all": len(Dataset.get_by_name(run.experiment.workspace, "houses").to_pandas_dataframe()),
}
with open(os.path.join(sys.argv[2], "made.csv"), "w") as file:
    file.write("n\\n" + "".join(f"{i}\\n" for i in range(20)))
print("FACTS " + json.dumps(facts))
"""
AGAIN = """
from azureml.core import Run

half = Run.get_context().input_datasets["half"]
print("HALF", half.to_pandas_dataframe()["n"].tolist())
"""


def project(folder: Path, kind: str, image: str) -> Path:
    text = WORKSPACE.replace("KIND", kind).replace("IMAGE", image).replace("STATE", str(folder / "state"))
    (folder / "workspace.yaml").write_text(text)
    (folder / "pipeline.py").write_text(PIPELINE)
    for path, content in {
        "src/show.py": SHOW,
        "src/again.py": AGAIN,
        "raw/2022/05/a.csv": "id,price,city\n1,9.5,Bern\n2,,Basel\n",
        "raw/2024/06/a.csv": "id,price,city\n3,9.25,Bern\n4,1,\n5,11,Chur\n",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder


def aml(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([AML, *words], cwd=folder, capture_output=True, text=True, timeout=600)


def verdicts(folder: Path) -> dict[str, str]:
    (pipeline,) = json.loads(aml(folder, "plan", "pipeline.py", "--json").stdout)
    return {step["name"]: step["verdict"] for step in pipeline["steps"]}


def said(folder: Path, word: str) -> str:
    logs = sorted((folder / "state").rglob("std_log.txt"), key=lambda p: p.stat().st_mtime)
    (line,) = {ln for log in logs for ln in log.read_text().splitlines() if ln.startswith(word + " ")}
    return line.partition(" ")[2]


@pytest.mark.parametrize("kind", ["local", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_step_has_exactly_the_rows_and_files(tmp_path: Path, kind: str) -> None:
    folder = project(tmp_path, kind, "testbed/ml:latest")
    done = aml(folder, "run", "pipeline.py")
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(said(folder, "FACTS"))
    assert facts["dear"] == [["3", "9.25", "2024-06-01"], ["5", "11.0", "2024-06-01"]]
    assert [Path(path).name for path in facts["new"]] == ["a.csv"]
    assert facts["csv"].splitlines() == ["id,price,city,month", "1,9.5,Bern,2022-05-01", "2,,Basel,2022-05-01"]
    assert facts["all"] == 5
    half = json.loads(said(folder, "HALF"))
    assert 0 < len(half) < 20
    # All of it is reused, until an operation is another one.
    assert verdicts(folder) == {"show": "reuse", "again": "reuse"}
    other = PIPELINE.replace('houses["price"] > 3', 'houses["price"] > 4')
    (folder / "pipeline.py").write_text(other)
    assert verdicts(folder)["show"] == "run"


@pytest.mark.docker
def test_an_image_without_pandas_gives_one_clear_sentence(tmp_path: Path) -> None:
    folder = project(tmp_path, "docker", "testbed/python:3.11")
    done = aml(folder, "run", "pipeline.py")
    assert done.returncode != 0
    assert "dataset 'dear' (input 'dear'): reading it as a table needs pandas" in done.stdout + done.stderr
    assert "Choose an image or environment that has pandas" in done.stdout + done.stderr
