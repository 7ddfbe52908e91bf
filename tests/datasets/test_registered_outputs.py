"""What a step writes is registered as what its author reads it as: files, or a table of some columns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PIPELINE = """
from azureml.core import Experiment, Workspace
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
outputs = [
    OutputFileDatasetConfig("files").register_on_complete("files"),
    OutputFileDatasetConfig("table").read_delimited_files().register_on_complete("table"),
    OutputFileDatasetConfig("early").register_on_complete("early").as_upload().read_delimited_files(),
    OutputFileDatasetConfig("some").read_delimited_files().register_on_complete("some", tags={"by": "us"}),
]
outputs[3] = outputs[3].KEPT
step = PythonScriptStep("write.py", name="write", arguments=outputs, compute_target="local", source_directory="src")
run = Experiment(ws, "registering").submit(Pipeline(ws, [step]))
run.wait_for_completion(show_output=True)
"""
SCRIPT = """
import sys

for folder in sys.argv[1:]:
    with open(f"{folder}/rows.csv", "w") as file:
        file.write("name,number\\nfirst,1\\nsecond,2\\n")
"""
LATER = """
import json
from azureml.core import Dataset, Workspace

ws = Workspace.from_config()
found = {name: Dataset.get_by_name(ws, name) for name in ("files", "table", "early", "some")}
tables = {n: d.to_pandas_dataframe().to_dict("list") for n, d in found.items() if hasattr(d, "to_pandas_dataframe")}
print(json.dumps({"tables": tables, "versions": [d.version for d in found.values()], "tags": found["some"].tags}))
"""
ROWS = {"name": ["first", "second"], "number": [1, 2]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("registering")
    (place / "workspace.yaml").write_text("name: lab\n")
    (place / "src").mkdir()
    (place / "src" / "write.py").write_text(SCRIPT)
    return place


def python(folder: Path, code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def registered(folder: Path) -> Any:
    return json.loads(python(folder, LATER).splitlines()[-1])


def test_a_table_is_registered_as_a_table_also_by_a_step_that_is_reused(folder: Path) -> None:
    python(folder, PIPELINE.replace("KEPT", 'keep_columns(["number"])'))
    one = registered(folder)
    assert one["tables"] == {"table": ROWS, "early": ROWS, "some": {"number": [1, 2]}}
    assert one["versions"] == [1, 1, 1, 1]
    assert one["tags"] == {"by": "us"}
    said = python(folder, PIPELINE.replace("KEPT", 'drop_columns(["number"])'))
    assert "reused" in said
    two = registered(folder)
    assert two["tables"]["some"] == {"name": ["first", "second"]}
    assert two["versions"] == [1, 1, 1, 2]
