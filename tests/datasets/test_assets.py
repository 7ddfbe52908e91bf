"""Registered datasets in Airflow: new data is an event of the dataset's asset, a reused step is none."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from aml_provider.storage.registry import Registry
from tests.dag_runs import Airflow

pytestmark = pytest.mark.airflow
PIPELINE = """
from azureml.core import Dataset, Experiment, Workspace
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
made = OutputFileDatasetConfig("made").register_on_complete("numbers")
make = PythonScriptStep("make.py", name="make", source_directory="src", compute_target="local", arguments=[made])
read = PythonScriptStep(
    "read.py", name="read", source_directory="src", compute_target="local",
    inputs=[Dataset.get_by_name(ws, "start").take(1).as_named_input("start").as_mount()],
)
Experiment(ws, "assets").submit(Pipeline(ws, [make, read]))
"""
REGISTER = """
from azureml.core import Dataset, Workspace

ws = Workspace.from_config()
Dataset.File.from_files((ws.get_default_datastore(), "start"), validate=False).register(ws, "start")
"""


def events(home: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(home / "airflow.db") as database:
        return database.execute(
            "select asset.uri, asset_event.source_task_id from asset_event "
            "join asset on asset.id = asset_event.asset_id"
        ).fetchall()


def extras(home: Path) -> list[dict[str, Any]]:
    with sqlite3.connect(home / "airflow.db") as database:
        return [json.loads(extra) for (extra,) in database.execute("select extra from asset_event")]


def test_new_data_is_an_event_and_reused_data_is_none(tmp_path: Path) -> None:
    import subprocess
    import sys

    dags = tmp_path / "dags"
    for name, text in {
        "workspace.yaml": "name: lab\n",
        "pipeline.py": PIPELINE,
        "src/make.py": "import sys; open(sys.argv[1] + '/n', 'w').write('1')\n",
        "src/read.py": "print('read')\n",
        ".aml/datastores/workspaceblobstore/start/x": "x",
        "register.py": REGISTER,
    }.items():
        (dags / name).parent.mkdir(parents=True, exist_ok=True)
        (dags / name).write_text(text)
    subprocess.run([sys.executable, "register.py"], cwd=dags, check=True, capture_output=True)
    (dags / "register.py").unlink()
    airflow = Airflow(tmp_path / "airflow")
    try:
        first = airflow.run(dags / "pipeline.py")
        assert (first.states["make"], first.states["read"]) == ("success", "success"), first.said
        assert events(tmp_path / "airflow") == [("aml://lab/numbers", "make")]
        (extra,) = extras(tmp_path / "airflow")
        (version,) = Registry(dags / ".aml/registry/lab/datasets").versions("numbers")
        assert (extra["dataset"], extra["version"], extra["digest"]) == ("numbers", 1, version[1]["pin"]["digest"])
        (dags / ".aml/datastores/workspaceblobstore/start/x").write_text("another")
        second = airflow.run(dags / "pipeline.py")
        assert (second.states["make"], second.states["read"]) == ("skipped", "success"), second.said
        assert events(tmp_path / "airflow") == [("aml://lab/numbers", "make")]
        assert "dataset 'start' version 1: its data is not what was registered: changed: start/x" in second.said
    finally:
        airflow.close()
