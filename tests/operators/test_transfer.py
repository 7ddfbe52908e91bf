"""Moving data in hand-written DAGs and as steps of pipelines: what a user writes, what he sees, and what he gets."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aml_provider.operators.transfer import DataTransferOperator
from aml_provider.spec.errors import PipelineError
from tests import stores
from tests.dag_runs import Airflow
from tests.databases import CONNECTION, PASSWORD, made_warehouse

pytestmark = pytest.mark.airflow

DAG = """\
from airflow.sdk import DAG

from aml_provider.operators.transfer import DataTransferOperator as Move

with DAG("DAG_ID", schedule=None, params={"day": "monday"}):
"""
WORKSPACE = """\
name: lab
default_kind: docker
datastores:
  lake: {url: lake}
  nowhere: {url: 's3://no-such-bucket-at-all/x', conn_id: not_defined}
MORE
"""


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    # The connections of the test-bed's stores, as an operator gives them to workers.
    with pytest.MonkeyPatch.context() as patch:
        if (stores.HOME / "stores.env").is_file():
            stores.set_connection(patch, "my_s3", stores.connection("s3"))
            stores.set_connection(patch, "warehouse", CONNECTION)
            stores.set_connection(patch, "spoiled_s3", stores.connection("s3", password=None, login=None))
        started = Airflow(tmp_path_factory.mktemp("airflow") / "home")
    yield started
    started.close()


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Makes a DAG file of these lines, beside a workspace with some data in datastore ``lake``."""

    def make(*lines: str, more: str = "") -> Path:
        (tmp_path / "workspace.yaml").write_text(WORKSPACE.replace("MORE", more))
        for path, text in {"raw/monday/a.csv": "1\n", "raw/monday/sub/b ü.csv": "2\n", "raw/monday/x.tmp": ""}.items():
            file = tmp_path / "lake" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        file = tmp_path / "dag.py"
        file.write_text(DAG.replace("DAG_ID", f"moves-{tmp_path.name}") + "".join(f"    {line}\n" for line in lines))
        return file

    return make


def blobs(project: Path) -> dict[str, str]:
    """What the default datastore has."""
    root = project.parent / ".aml" / "datastores" / "workspaceblobstore"
    files = (p for p in root.rglob("*") if p.is_file())
    return {p.relative_to(root).as_posix(): p.read_text() for p in files if ".aml" not in p.relative_to(root).parts}


def test_a_folder_is_moved_and_the_task_says_what_it_did(airflow: Airflow, project: Callable[..., Path]) -> None:
    file = project(
        "Move(task_id='move', source='lake:raw/{{ params.day }}/', destination='workspaceblobstore:days/',",
        '     exclude=[\'*.{{ var.value.get("suffix", "tmp") }}\'])',
    )
    first = airflow.run(file)
    assert first.state == "success", first.said
    assert blobs(file) == {"days/a.csv": "1\n", "days/sub/b ü.csv": "2\n"}
    summary = first.xcoms["move"]
    assert {key: summary[key] for key in ("source", "destination", "files", "bytes", "skipped")} == {
        "source": "lake:raw/monday/",
        "destination": "workspaceblobstore:days/",
        "files": 2,
        "bytes": 4,
        "skipped": 0,
    }
    assert "0 of 2 files, 0 bytes of 4 bytes" in first.said
    assert "moved 2 files, 4 bytes, in" in first.said

    again = airflow.run(file)
    assert (again.xcoms["move"]["files"], again.xcoms["move"]["skipped"]) == (0, 2)


def test_what_cannot_be_done_is_one_sentence_each(airflow: Airflow, project: Callable[..., Path]) -> None:
    wrong = {
        "no_place": ("titanic", "workspaceblobstore:x", "source 'titanic' is no place in a datastore; write"),
        "a_url": ("s3://bucket/x", "workspaceblobstore:x", "source 's3://bucket/x' is no place in a datastore; write"),
        "no_store": ("pond:raw", "workspaceblobstore:x", "unknown datastore 'pond'; workspace 'lab'"),
        "nothing": ("lake:gone/", "workspaceblobstore:x", "there is nothing at the source 'gone' of datastore 'lake'"),
        "no_folder": ("lake:raw/monday/a.csv/", "workspaceblobstore:x", "is a file where a directory is declared"),
        "outside": ("lake:../secret", "workspaceblobstore:x", "leads out of the datastore"),
        "absolute": ("lake:raw", "workspaceblobstore:/etc", "is absolute; give it relative to the datastore's root"),
        "inside": ("lake:raw", "lake:raw/copy", "is inside of the other; give places that are apart"),
        "no_connection": ("lake:raw", "nowhere:x", "not_defined"),
    }
    lines = [
        f"Move(task_id={task!r}, source={source!r}, destination={end!r})" for task, (source, end, _) in wrong.items()
    ]
    ended = airflow.run(project(*lines))
    assert set(ended.states.values()) == {"failed"}, ended.said
    for task, (_, _, says) in wrong.items():
        assert says in ended.said, (task, ended.said)
    # None is tried again, and none shows the inside of this package.
    assert "transfer/engine.py" not in ended.said
    assert blobs(project()) == {}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"overwrite": "sometimes"}, "Task 'move': overwrite is 'sometimes'; it can be 'always', 'different'"),
        ({"verify": "hope"}, "Task 'move': verify is 'hope'; it can be 'checksum', 'size'"),
        ({"source_type": "table"}, "Task 'move': source_type is 'table'; it can be 'file', 'directory'"),
        ({"workers": 0}, "Task 'move': workers is 0; give a number of at least 1"),
        ({"mirror": "no"}, "Task 'move': mirror is 'no'; give True or False"),
        ({"include": "*.csv"}, r"Task 'move': include is '\*.csv'; give a list of patterns as in .gitignore"),
        ({"exclude": 5}, "Task 'move': exclude is 5; give a list of patterns"),
        ({"workspace": 5}, "Task 'move': workspace is 5, which is no text"),
        ({"query": 5}, "Task 'move': query is 5, which is no text"),
        ({"memory": "much"}, "Task 'move': memory: 'much' is no amount of memory; write it like 4Gi"),
    ],
)
def test_an_option_that_does_not_exist_is_told_when_the_file_is_read(options: dict[str, Any], says: str) -> None:
    with pytest.raises(PipelineError, match=says):
        DataTransferOperator(task_id="move", source="a:b", destination="c:d", **options)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[stores.Place]:
    with stores.place("s3", tmp_path, monkeypatch) as found:
        yield found


@pytest.mark.stores
def test_a_task_that_is_stopped_goes_on_where_it_was(
    airflow: Airflow, project: Callable[..., Path], bucket: stores.Place
) -> None:
    file = project(
        "Move(task_id='move', source='lake:big', destination='cloud:big', workers=1)",
        more=f"  cloud: {{url: '{bucket.url}', conn_id: my_s3}}",
    )
    big = file.parent / "lake" / "big"
    with big.open("wb") as out:
        out.truncate(64 << 20)
    os.utime(big, (1, 1))
    airflow.start(file)

    def parts() -> int:
        notes = (file.parent / ".aml" / "transfers").glob("*.jsonl")
        return sum(line.startswith('["part"') for note in notes for line in note.read_text().splitlines())

    until(lambda: parts() >= 1)
    airflow.signal(signal.SIGTERM)
    stopped = airflow.ended()
    assert stopped.states == {"move": "failed"}, stopped.said
    assert "the transfer was stopped before its end; what has arrived is whole" in stopped.said
    assert bucket.names() == []

    resumed = airflow.clear(file, stopped.run_id, "move")
    assert resumed.states == {"move": "success"}, resumed.said
    summary = resumed.xcoms["move"]
    assert summary["resumed_bytes"] >= 8 << 20
    assert (summary["files"], summary["bytes"]) == (1, 64 << 20)
    assert bucket.read("big") == bytes(64 << 20)
    for secret in (stores.connection("s3")["password"], stores.connection("s3")["login"]):
        for text in (stopped.said, resumed.said, json.dumps(summary)):
            assert secret not in text


@pytest.mark.stores
def test_credentials_that_are_missing_are_told(
    airflow: Airflow, project: Callable[..., Path], bucket: stores.Place
) -> None:
    file = project(
        "Move(task_id='move', source='lake:raw', destination='cloud:raw')",
        "Move(task_id='bucket', source='lake:raw', destination='gone:raw')",
        more=f"  cloud: {{url: '{bucket.url}', conn_id: nobody}}\n"
        "  gone: {url: 's3://there-is-no-such-bucket/x', conn_id: my_s3}",
    )
    ended = airflow.run(file)
    assert set(ended.states.values()) == {"failed"}
    assert "nobody" in ended.said
    assert "there-is-no-such-bucket" in ended.said


@pytest.mark.stores
def test_the_answer_to_a_query_is_moved_and_what_is_wrong_with_one_is_told(
    airflow: Airflow, project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with made_warehouse(monkeypatch) as warehouse:
        warehouse.run("CREATE TABLE MYSCHEMA.sales (day text, amount numeric(8, 2))")
        warehouse.run("INSERT INTO MYSCHEMA.sales VALUES ('monday', 1.50), ('monday', NULL), ('tuesday', 3)")
        asked = f"SELECT * FROM {warehouse.schema}.sales WHERE day = '{{{{ params.day }}}}' ORDER BY amount"
        file = project(
            f'Move(task_id="sales", source="warehouse:", query="{asked}",',
            '     destination="lake:out/{{ params.day }}.csv")',
            f'Move(task_id="wrong", source="warehouse:", query="SELECT * FROM {warehouse.schema}.sale",',
            '     destination="lake:out/none.csv")',
            'Move(task_id="files", source="lake:", query="SELECT 1", destination="lake:out/none.csv")',
            more=f"  warehouse: {{url: '{warehouse.config.url}', conn_id: warehouse}}",
        )
        ended = airflow.run(file)
    assert ended.states == {"sales": "success", "wrong": "failed", "files": "failed"}, ended.said
    assert (file.parent / "lake/out/monday.csv").read_text() == '"day","amount"\n"monday",1.50\n"monday",\n'
    assert (ended.xcoms["sales"]["files"], ended.xcoms["sales"]["rows"]) == (1, 2)
    assert "there is no such table" in ended.said
    assert "datastore 'lake'" in ended.said
    assert "holds files and cannot be queried" in ended.said
    assert not (file.parent / "lake/out/none.csv").exists()
    assert PASSWORD not in ended.said + json.dumps(ended.xcoms)


# --- steps ----------------------------------------------------------------------------------------------------------

PIPELINE = """\
from azureml.core import Datastore, Experiment, Workspace
from azureml.core.compute import ComputeTarget, DataFactoryCompute
from azureml.data import OutputFileDatasetConfig
from azureml.data.data_reference import DataReference
from azureml.exceptions import ComputeTargetException
from azureml.pipeline.core import Pipeline, PipelineData
from azureml.pipeline.steps import DataTransferStep

ws = Workspace.from_config()
try:
    factory = DataFactoryCompute(ws, "adf")
except ComputeTargetException as e:
    assert "ComputeTargetNotFound" in e.message
    factory = ComputeTarget.create(ws, "adf", DataFactoryCompute.provisioning_configuration())
    factory.wait_for_completion()
lake, blobs = Datastore.get(ws, "lake"), ws.get_default_datastore()

into = DataTransferStep(
    name="into blobs",
    source_data_reference=DataReference(lake, data_reference_name="raw", path_on_datastore="raw"),
    destination_data_reference=DataReference(blobs, data_reference_name="copied", path_on_datastore="copied"),
    source_reference_type="directory",
    destination_reference_type="directory",
    compute_target=factory,
)
own = PipelineData("own", datastore=lake)
back = DataTransferStep(
    name="back",
    source_data_reference=into.get_output().as_input("seen"),
    destination_data_reference=own,
    compute_target=factory,
)
one = DataTransferStep(
    name="one",
    source_data_reference=DataReference(lake, path_on_datastore="raw/monday/a.csv"),
    destination_data_reference=OutputFileDatasetConfig("one", (blobs, "one/{run-id}")).register_on_complete("ones"),
    compute_target="adf",
    source_reference_type="file",
    destination_reference_type="directory",
)
Experiment(ws, "steps").submit(Pipeline(ws, [back, one]))
"""


def test_transfers_are_steps_that_are_reused_until_data_changes(airflow: Airflow, project: Callable[..., Path]) -> None:
    file = project().with_name("pipeline.py")
    file.write_text(PIPELINE.replace('"steps"', f'"steps-{file.parent.name}"'))
    lake = file.parent / "lake"

    first = airflow.run(file)
    assert first.state == "success", first.said
    assert {"into_blobs", "back", "one"} <= set(first.states)
    assert {k: v for k, v in blobs(file).items() if k.startswith("copied/")} == {
        "copied/monday/a.csv": "1\n",
        "copied/monday/sub/b ü.csv": "2\n",
        "copied/monday/x.tmp": "",
    }
    place = first.xcoms["back"]["own"]
    assert place["datastore"] == "lake"
    assert (lake / place["path"] / "monday/sub/b ü.csv").read_text() == "2\n"
    assert blobs(file)[first.xcoms["one"]["one"]["path"] + "/a.csv"] == "1\n"

    # Nothing has changed: nothing is moved, and nothing is even started.
    again = airflow.run(file)
    assert again.state == "success", again.said
    assert {again.states[key] for key in ("into_blobs", "back", "one")} == {"skipped"}
    assert "3 of 3 steps reused" in again.said

    # One file of the source is another: of the others, none is moved again.
    (lake / "raw/monday/sub/b ü.csv").write_text("3\n")
    changed = airflow.run(file)
    assert [changed.states[key] for key in ("into_blobs", "back", "one")] == ["success", "success", "skipped"]
    assert blobs(file)["copied/monday/sub/b ü.csv"] == "3\n"
    assert "moved 1 files, 2 bytes" in changed.said

    # Somebody has taken something away from the destination.
    (file.parent / ".aml/datastores/workspaceblobstore/copied/monday/a.csv").unlink()
    mended = airflow.run(file)
    assert [mended.states[key] for key in ("into_blobs", "back", "one")] == ["success", "skipped", "skipped"]
    assert "output 'copied' of its earlier result has been changed" in mended.said
    assert blobs(file)["copied/monday/a.csv"] == "1\n"


def test_a_step_whose_source_is_gone_says_so(airflow: Airflow, project: Callable[..., Path]) -> None:
    file = project().with_name("pipeline.py")
    text = PIPELINE.replace('"steps"', f'"steps-{file.parent.name}"')
    file.write_text(text.replace("[back, one]", "[into]").replace('path_on_datastore="raw"', 'path_on_datastore="no"'))
    ended = airflow.run(file)
    assert ended.states["into_blobs"] == "failed"
    assert "step 'into blobs': there is nothing at the source 'no' of datastore 'lake'; upload the data" in ended.said


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come to that"
        time.sleep(0.01)
