"""Queries to a database in pipelines whose steps run in containers and pods, which see no database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import CONNECTION, PASSWORD, Warehouse, made_warehouse
from tests.stores import Place, connection, place

from .staging import Project

pytestmark = [pytest.mark.airflow, pytest.mark.stores]
WORKSPACE = """
name: queries
default_kind: KIND
DATASTORES
  warehouse: {url: 'WAREHOUSE', conn_id: warehouse}
docker: {image: 'testbed/ml:latest', network: none}
kubernetes: {image: 'testbed/ml:latest', namespace: ml, image_pull_policy: Never, config_file: KUBECONFIG}
reuse: {trusted_images: ['testbed/*']}
"""
SHARED = "datastores:"
APART = "default_datastore: blobs\ndatastores:\n  blobs: {url: 'URL', conn_id: my_s3}"
# Its pods share no volume with the worker; the test-bed's stores listen on the node.
STAGED = "kubernetes: {shared_volume: false, staging_image: 'testbed/python:3.11', network: host}"
PIPELINE = """
from azureml.core import Dataset, Datastore, Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data.data_reference import DataReference
from azureml.data.sql_data_reference import SqlDataReference
from azureml.pipeline.core import Pipeline, PipelineData
from azureml.pipeline.steps import DataTransferStep, PythonScriptStep

ws = Workspace.from_config()
store, warehouse = ws.get_default_datastore(), Datastore.get(ws, "warehouse")
environment = Environment("plain")
environment.python.user_managed_dependencies = True
run_config = RunConfiguration()
run_config.environment = environment
options = {"source_directory": "code", "compute_target": "there", "runconfig": run_config}

sales = Dataset.Tabular.from_sql_query((warehouse, "SELECT * FROM SCHEMA.sales ORDER BY id"))
exported = DataTransferStep(
    "export", SqlDataReference(warehouse, "dear", sql_query="SELECT id, name FROM SCHEMA.sales WHERE price > 2"),
    DataReference(store, "dear", "exports/dear.csv"), "local", destination_reference_type="file",
).get_output()
seen = PipelineData("seen", datastore=store)
look = PythonScriptStep("look.py", name="look", arguments=["--exported", exported, "--seen", seen],
                        inputs=[sales.as_named_input("sales"), exported], outputs=[seen], **options)
Experiment(ws, "queries").submit(Pipeline(ws, [look])).wait_for_completion()
"""
LOOK = """
import argparse, os
from azureml.core import Run

parser = argparse.ArgumentParser()
parser.add_argument("--exported"), parser.add_argument("--seen")
given = parser.parse_args()
frame = Run.get_context().input_datasets["sales"].to_pandas_dataframe()
file = given.exported
lines = open(os.path.join(file, "dear.csv") if os.path.isdir(file) else file, encoding="utf-8").read()
with open(given.seen, "w", encoding="utf-8") as out:
    print(frame["id"].tolist(), frame["name"].fillna("nothing").tolist(), frame["price"].sum(), repr(lines), file=out)
"""


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    with made_warehouse(monkeypatch) as made:
        made.run("CREATE TABLE MYSCHEMA.sales (id int, name text, price numeric(8, 2))")
        made.run("INSERT INTO MYSCHEMA.sales VALUES (1, 'näme', 1.5), (2, NULL, 2.25), (3, '', 4)")
        yield made


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with place("s3", tmp_path, monkeypatch) as found:
        yield found


def project(folder: Path, kind: str, kubeconfig: Path, warehouse: Warehouse, datastores: str, **known: Any) -> Project:
    text = WORKSPACE.replace("KIND", kind).replace("KUBECONFIG", str(kubeconfig))
    text = text.replace("DATASTORES", datastores).replace("WAREHOUSE", str(warehouse.config.url))
    pipeline = PIPELINE.replace("SCHEMA", warehouse.schema)
    made = Project(folder, text, {"pipeline.py": pipeline, "code/look.py": LOOK}, {"warehouse": CONNECTION, **known})
    made.say("compute: {there: {}}")
    return made


def verdicts(made: Project) -> dict[str, str]:
    done = made.aml("plan", "pipeline.py", "--json")
    assert done.returncode == 0, done.stderr
    (pipeline,) = json.loads(done.stdout)
    return {step["name"]: step["verdict"] for step in pipeline["steps"]}


EXPECTED = "[1, 2, 3] ['näme', 'nothing', ''] 7.75 '\"id\",\"name\"\\n2,\\n3,\"\"\\n'\n"


@pytest.mark.docker
def test_a_step_in_a_container_reads_answers_and_is_reused_until_they_change(
    tmp_path: Path, kubeconfig: Path, warehouse: Warehouse
) -> None:
    made = project(tmp_path / "project", "docker", kubeconfig, warehouse, SHARED)
    assert shared(made) == EXPECTED
    kept = [path for path in made.folder.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert kept == []
    assert verdicts(made) == {"export": "reuse", "look": "reuse"}

    warehouse.run("UPDATE MYSCHEMA.sales SET price = 1 WHERE id = 3")
    assert verdicts(made) == {"export": "run", "look": "depends"}


@pytest.mark.kubernetes
def test_a_step_in_a_pod_reads_answers(tmp_path: Path, kubeconfig: Path, warehouse: Warehouse) -> None:
    made = project(tmp_path / "project", "kubernetes", kubeconfig, warehouse, SHARED)
    assert shared(made) == EXPECTED


@pytest.mark.kubernetes
@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_the_answers_travel_to_pods_that_share_nothing(
    tmp_path: Path, testbed_home: Path, warehouse: Warehouse, bucket: Place
) -> None:
    datastores, kubeconfig = APART.replace("URL", bucket.url), testbed_home / "kubeconfig"
    made = project(tmp_path / "project", "kubernetes", kubeconfig, warehouse, datastores, my_s3=connection("s3"))
    made.say(STAGED)
    assert bucket.read(made.run()["steps"]["look"]["outputs"]["seen"]["path"]).decode() == EXPECTED
    assert verdicts(made) == {"export": "reuse", "look": "reuse"}


def shared(made: Project) -> str:
    """What a run of the pipeline has left in a folder of this machine."""
    place = made.run()["steps"]["look"]["outputs"]["seen"]["path"]
    return (made.folder / ".aml/datastores/workspaceblobstore" / place).read_text()
