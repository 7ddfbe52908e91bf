"""What Airflow stores of a pipeline depends on the pipeline alone: else every parse makes a new DAG version."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .machine import eventually
from .server import Server, aml, clean_environment

pytestmark = pytest.mark.airflow
HERE = Path(__file__).parent
FILES = ("digits_pipeline.py", "fan_out_pipeline.py", "hold_pipeline.py")
# Where a file is, Airflow stores too; that is not the pipeline.
PLACES = ("_processor_dags_folder", "fileloc", "relative_fileloc", "bundle_name", "bundle_version")
WORKSPACE = """
name: checkouts
state: STATE
docker: {image: some/image}
kubernetes: {image: some/image}
compute:
  docker: {kind: docker}
  kubernetes: {kind: kubernetes, memory: 1Gi, gpus: 1}
"""
SERIALIZE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
found = {}
for dag_id in sorted(bag.dags):
    found[dag_id] = DagSerialization.serialize_dag(bag.dags[dag_id])
print(json.dumps(found))
"""


@dataclass
class Checkout:
    """What one checkout's files become, each in a process of its own: file -> JSON, and DAG id -> serialized DAG."""

    specs: dict[str, str]
    dags: dict[str, str]


def checkout(folder: Path, state: Path, repository: Path, seed: str) -> Checkout:
    dags = folder / "dags"
    shutil.copytree(repository / "dags", dags, ignore=shutil.ignore_patterns("workspace.yaml", "__pycache__"))
    shutil.copytree(HERE / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    workspace = dags / "workspace.yaml"
    workspace.write_text(WORKSPACE.replace("STATE", str(state)))
    # Sets come in another order in each process, unless told otherwise.
    own = {"AIRFLOW_HOME": str(folder / "airflow"), "PYTHONHASHSEED": seed}
    specs = {}
    for file in FILES:
        done = aml("spec", dags / file, "--json", workspace=workspace, folder=folder, **own)
        assert done.returncode == 0, done.stderr
        specs[file] = done.stdout
    environment = clean_environment() | own | {"AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    command = [sys.executable, "-c", SERIALIZE, str(dags)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = {}
    for dag_id, dag in json.loads(done.stdout.splitlines()[-1]).items():
        # Airflow compares them with sorted keys as well: in its own serialization they come in a set's order.
        found[dag_id] = json.dumps({k: v for k, v in dag.items() if k not in PLACES}, sort_keys=True)
    return Checkout(specs, found)


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory: pytest.TempPathFactory, repository: Path, state: Path) -> list[Checkout]:
    """The same files in two folders with names of different lengths."""
    folders = [tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("another_place") / "deeper"]
    return [checkout(folder, state, repository, str(seed)) for seed, folder in enumerate(folders, 1)]


@pytest.mark.parametrize("file", FILES)
def test_two_checkouts_give_the_same_spec(checkouts: list[Checkout], file: str) -> None:
    one, other = (c.specs[file] for c in checkouts)
    assert one == other
    assert json.loads(one)[0]["steps"]


@pytest.mark.parametrize("dag_id", ["digits", "fan-out", "hold"])
def test_two_checkouts_give_the_same_serialized_dag(checkouts: list[Checkout], dag_id: str) -> None:
    one, other = (c.dags[dag_id] for c in checkouts)
    assert one == other
    assert "pipeline_end" in one


def test_parsing_again_makes_no_new_version(server: Server) -> None:
    # Airflow replaces a version that no run has used, so there has to be one.
    if not server.api.get("dags/fan-out/dagRuns", limit=1)["dag_runs"]:
        run = server.trigger("fan-out", cuont=1)
        assert run.wait() == "failed"

    def parsed() -> str:
        return str(server.api.get("dags/fan-out")["last_parsed_time"])

    before = parsed()
    eventually("the file is parsed again", lambda: parsed() != before, seconds=120)
    versions = server.api.get("dags/fan-out/dagVersions")["dag_versions"]
    assert [v["version_number"] for v in versions] == [1]
