"""What OpenLineage is told of steps, where its provider is installed: by the provider itself, into a file."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.dag_runs import Airflow

pytest.importorskip("airflow.providers.openlineage", reason="apache-airflow-providers-openlineage is not installed")
pytestmark = pytest.mark.airflow

PIPELINE = """\
from azureml.core import Dataset, Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline, PipelineParameter
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
store = ws.get_default_datastore()
environment = Environment("plain")
environment.python.user_managed_dependencies = True
config = RunConfiguration()
config.environment = environment
raw = Dataset.File.from_files((store, "raw/*.txt"), validate=False)
made = OutputFileDatasetConfig("made", destination=(store, "made/{run-id}"))
make = PythonScriptStep(
    "copy.py", name="make", source_directory="code", runconfig=config, compute_target="local",
    arguments=[raw.as_named_input("raw").as_mount(), made, PipelineParameter("salt", default_value="none")],
)
use = PythonScriptStep(
    "copy.py", name="use", source_directory="code", runconfig=config, compute_target="local",
    arguments=[made.as_input("table"), OutputFileDatasetConfig("used", destination=(store, "used/{run-id}"))],
)
Experiment(ws, "lineage").submit(Pipeline(ws, [make, use]))
"""
SCRIPT = """\
import pathlib, sys
target = pathlib.Path(sys.argv[2])
target.mkdir(parents=True, exist_ok=True)
(target / "out.txt").write_text("".join(f.read_text() for f in sorted(pathlib.Path(sys.argv[1]).rglob("*.txt"))))
"""


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Path]:
    """The file into which OpenLineage writes."""
    file = tmp_path / "lineage.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        # By OpenLineage's own names: the processes of these tests get none of this one's Airflow settings.
        patch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "file")
        patch.setenv("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", str(file))
        patch.setenv("OPENLINEAGE__TRANSPORT__APPEND", "true")
        yield file


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "workspace.yaml").write_text("name: lab\ndefault_kind: local\n")
    (tmp_path / "code").mkdir()
    (tmp_path / "code/copy.py").write_text(SCRIPT)
    raw = tmp_path / ".aml/datastores/workspaceblobstore/raw"
    raw.mkdir(parents=True)
    (raw / "a.txt").write_text("a row\n")
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    return tmp_path / "pipeline.py"


def completed(file: Path, task: str) -> list[dict[str, Any]]:
    """The events of a task's ends, in order."""
    events = [json.loads(line) for line in file.read_text().splitlines()]
    return [e for e in events if e["job"]["name"] == f"lineage.{task}" and e["eventType"] == "COMPLETE"]


def children_of(airflow: Airflow) -> list[int]:
    pid = airflow._process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_a_step_read_and_wrote_and_whose_result_it_has(tmp_path: Path, told: Path, project: Path) -> None:
    store = str(tmp_path / ".aml/datastores/workspaceblobstore")
    airflow = Airflow(tmp_path / "home")
    try:
        first = airflow.run(project)
        assert first.state == "success", first.said
        ended = {task: completed(told, task)[0] for task in ("make", "use")}
        (raw,), (made,) = ended["make"]["inputs"], ended["make"]["outputs"]
        assert [raw["namespace"], raw["name"]] == ["file", f"{store}/raw"]
        assert made["name"].startswith(f"{store}/made/")
        assert made["outputFacets"]["outputStatistics"]["fileCount"] == 1
        (table,) = ended["use"]["inputs"]
        assert [table["namespace"], table["name"]] == ["file", made["name"]]
        assert table["facets"]["version"]["datasetVersion"] == made["facets"]["version"]["datasetVersion"]
        facet = ended["use"]["run"]["facets"]["aml"]
        assert len(facet["fingerprint"]) == 64
        assert len(facet["mlflowRunId"]) == 32
        assert [facet["reused"], facet["pipelineRunId"][:8]] == [False, "lineage-"]
        events = [json.loads(line) for line in told.read_text().splitlines()]
        begun = next(e for e in events if e["job"]["name"] == "lineage.make" and e["eventType"] == "START")
        assert [one["name"] for one in begun["inputs"]] == [f"{store}/raw"]

        # What it would read is what it has read: it starts, and its earlier result stands for its own.
        second = airflow.run(project, salt="another")
        assert second.states["use"] == "skipped", second.said
        again = completed(told, "use")[-1]
        facet = again["run"]["facets"]["aml"]
        assert [facet["reused"], facet["reusedFrom"]] == [True, ended["use"]["run"]["facets"]["aml"]["stepRunId"]]
        assert [one["name"] for one in again["outputs"]] == [one["name"] for one in ended["use"]["outputs"]]
    finally:
        # OpenLineage has a process of its own for what it tells of DAG runs, which would stay.
        others = children_of(airflow)
        airflow.close()
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
