"""Credentials of datastores are in connections and nowhere else: all that a run leaves or shows is searched."""

from __future__ import annotations

import base64
import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from aml_provider.runs.layout import AttemptFolder, RunStore
from aml_provider.sdk.datastore import Datastore
from aml_provider.sdk.workspace import Workspace
from aml_provider.workspace.discovery import load_workspace
from tests.stores import Place, addresses, client, connection, place

from .conftest import KUBERNETES, TARGETS
from .machine import _docker, containers, eventually, pods
from .server import FINAL, Run, Server

pytestmark = [pytest.mark.airflow, pytest.mark.stores]
# Nobody else has this one, and it is another text when it is part of a URL.
S3_SECRET = f"s3 secret/{uuid.uuid4().hex}+of=the&test"
DAG = """
from azureml.core import Dataset, Datastore, Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config("WORKSPACE")
environment = Environment("plain")
environment.python.user_managed_dependencies = True
run_config = RunConfiguration()
run_config.environment = environment
raw = Dataset.File.from_files((Datastore.get(ws, "buckets"), "raw/**"), validate=False)
steps = []
for kind in KINDS:
    made = OutputFileDatasetConfig("made", destination=(Datastore.get(ws, "lake"), kind + "/{run-id}"))
    steps.append(
        PythonScriptStep(
            "tell.py", name=kind, source_directory="FOLDER/code", compute_target=kind, runconfig=run_config,
            arguments=["--raw", raw.as_named_input("raw").as_download(), "--made", made.as_upload()],
        )
    )
Experiment(ws, "secrets").submit(Pipeline(ws, steps))
"""
# All that a script can get at is in its log.
SCRIPT = """
import argparse, os, pathlib, time
from azureml.core import Run
parser = argparse.ArgumentParser()
for name in ("--raw", "--made"):
    parser.add_argument(name, type=pathlib.Path)
given = parser.parse_args()
print(dict(os.environ), pathlib.Path("/proc/self/mounts").read_text())
for file in pathlib.Path(os.environ["AML_JOB_DIR"]).rglob("*"):
    if file.is_file():
        print(file, file.read_bytes())
(given.made / "copy").write_text(next(given.raw.rglob("file.txt")).read_text())
Run.get_context().log("rows", 1)
print("ready", flush=True)
while not pathlib.Path(os.environ["AML_JOB_DIR"], "seen").exists():
    time.sleep(0.05)
"""


@dataclass
class Project:
    """A workspace with a bucket that Airflow has a connection to, and a container that a program has registered."""

    folder: Path
    server: Server
    kinds: list[str]
    places: dict[str, Place]

    @property
    def workspace_file(self) -> Path:
        return self.folder / "workspace.yaml"

    @property
    def state(self) -> Path:
        return load_workspace(self.workspace_file).state

    def attempt(self, run: Run, kind: str) -> AttemptFolder:
        store = RunStore.of(load_workspace(self.workspace_file), "workspaceblobstore")
        return store.run(run.dag_id, run.run_id).step(kind).attempt(1)

    def log(self, run: Run, kind: str) -> str:
        log = self.attempt(run, kind).log
        return log.read_text() if log.is_file() else ""


@pytest.fixture
def project(
    server: Server,
    pools: None,
    available: set[str],
    kubeconfig: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("secrets")
    kinds = ["local", *sorted(available)]
    with place("s3", folder, monkeypatch) as bucket, place("azure", folder, monkeypatch) as container:
        # Of the bucket's connection only Airflow knows.
        monkeypatch.delenv("AIRFLOW_CONN_MY_S3")
        known = {**connection("s3"), "password": S3_SECRET}
        body = {**known, "extra": json.dumps(known["extra"]), "connection_id": "secret_s3"}
        server.api.post("connections", body)
        targets = "".join(f"  {kind}: {TARGETS[kind]}\n" for kind in kinds[1:]).replace("KUBERNETES", KUBERNETES)
        (folder / "workspace.yaml").write_text(
            f"name: secrets\nairflow: {{url: '{server.url}'}}\ndatastores:\n"
            f"  buckets: {{url: '{bucket.url}', conn_id: secret_s3}}\n"
            "reuse: {trusted_images: ['testbed/*']}\ncompute:\n  local: {kind: local}\n"
            + targets.replace("KUBECONFIG", str(kubeconfig))
        )
        (folder / "code").mkdir()
        (folder / "code/tell.py").write_text(SCRIPT)
        made = Project(folder, server, kinds, {"s3": bucket, "azure": container})
        bucket.write("raw/file.txt", b"a row\n")
        yield made
        server.api.delete("connections/secret_s3")


@pytest.fixture
def registered(project: Project) -> Iterator[str]:
    """The id of the connection that a registration has made."""
    known = addresses()
    workspace = Workspace.of(load_workspace(project.workspace_file))
    name = f"aml-secrets-{uuid.uuid4().hex[:10]}"
    made = Datastore.register_azure_blob_container(
        workspace,
        "lake",
        name,
        known["AZURE_STORAGE_ACCOUNT"],
        account_key=known["AZURE_STORAGE_KEY"],
        endpoint=f"http://127.0.0.1:5910/{known['AZURE_STORAGE_ACCOUNT']}",
        create_if_not_exists=True,
    )
    yield name
    made.unregister()
    client("azure").drop(name)


def secrets() -> list[str]:
    return [S3_SECRET, addresses()["AZURE_STORAGE_KEY"]]


def forms(secret: str) -> set[bytes]:
    """How a text may stand somewhere."""
    found = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    encoded = {text.encode() for text in found}
    for shift in range(3):
        # Wherever it begins inside of what was encoded; the ends depend on their neighbours.
        whole = base64.b64encode(b"\0" * shift + secret.encode())
        encoded |= {whole[4:-4], whole[4:-4].replace(b"+", b"-").replace(b"/", b"_")}
    return encoded


def leaks(named: Iterator[tuple[str, bytes]]) -> list[str]:
    """Where a credential stands."""
    wanted = [form for secret in secrets() for form in forms(secret)]
    return sorted({name for name, content in named if any(form in content for form in wanted)})


def files(*folders: Path) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file() and not file.is_symlink() and not file.name.startswith("airflow.db"):
                yield str(file), file.read_bytes()


def tables(database: Path) -> Iterator[tuple[str, bytes]]:
    """Every row of Airflow's database but of the table that credentials are for: DAGs, XComs, rendered fields, ..."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
        for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if name != "connection":
                rows = opened.execute(f'SELECT * FROM "{name}"').fetchall()
                yield from ((f"table {name}", text) for row in rows for text in map(_bytes, row))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def started(project: Project, run: Run) -> list[tuple[str, bytes]]:
    """What Docker and the cluster say about the steps while they run."""

    def ready() -> bool:
        assert run.state() not in FINAL, {kind: (run.log(kind), project.log(run, kind)) for kind in project.kinds}
        return all("\nready" in project.log(run, kind) for kind in project.kinds)

    eventually("all steps are under way", ready, seconds=400, every=0.5)
    found = []
    for kind in project.kinds:
        identity = run.step_run_id(kind)
        if kind == "docker":
            (container,) = containers(identity)
            found.append(("docker inspect", json.dumps(_docker().api.inspect_container(container["Id"])).encode()))
        if kind == "kubernetes":
            (pod,) = pods(project.server.kubeconfig, identity)
            found.append(("pod", json.dumps(pod.to_dict(), default=str).encode()))
    assert len(found) == len(project.kinds) - 1
    return found


def parsed(server: Server, file: Path) -> bool:
    """Whether Airflow has the DAG of a file, which has no error."""
    errors = [error for error in server.import_errors() if error.startswith(file.name)]
    assert not errors, errors
    return "secrets" in {dag["dag_id"] for dag in server.api.get("dags", limit=100)["dags"]}


def test_no_credential_is_anywhere_but_in_its_connection(project: Project, registered: str) -> None:
    server = project.server
    file = server.dags / "secrets_pipeline.py"
    text = DAG.replace("WORKSPACE", str(project.workspace_file)).replace("FOLDER", str(project.folder))
    file.write_text(text.replace("KINDS", repr(project.kinds)))
    try:
        eventually("Airflow knows the pipeline", lambda: parsed(server, file), seconds=300, every=0.5)
        assert {task["task_id"] for task in server.api.get("dags/secrets/tasks")["tasks"]} >= set(project.kinds)
        server.api.patch("dags/secrets", {"is_paused": False})
        run = server.trigger("secrets")
        shown = started(project, run)
        for kind in project.kinds:
            (project.attempt(run, kind).path / "seen").touch()
        assert run.wait(400) == "success", run.states()
    finally:
        file.unlink()
    # The data went where it was to go, with these credentials.
    stored = [key for key in client("azure").keys(registered, "") if key.endswith("/copy")]
    assert sorted(key.partition("/")[0] for key in stored) == sorted(project.kinds)
    assert client("azure").get(registered, stored[0]) == b"a row\n"
    # The search itself finds what it looks for.
    kept = project.state / "connections.json"
    assert leaks(iter([(kept.name, kept.read_bytes())])) == ["connections.json"]
    for secret in secrets():
        assert leaks(iter([("", base64.b64encode(b"xy" + secret.encode() + b"z")), (" ", quote(secret).encode())]))

    everything: list[tuple[str, bytes]] = [
        *shown,
        *tables(server.home / "airflow.db"),
        *(item for item in files(server.home, server.dags, project.folder) if item[0] != str(kept)),
        *((f"blob {key}", client("azure").get(registered, key)) for key in client("azure").keys(registered, "")),
        *((f"object {name}", project.places["s3"].read(name)) for name in project.places["s3"].names()),
    ]
    names = " ".join(name for name, _ in everything)
    for place_of_it in ("table serialized_dag", "table xcom", "table task_instance", "table log", "mlflow.db"):
        assert place_of_it in names
    for place_of_it in (
        "/.aml/reuse/",
        "std_log.txt",
        "fingerprint.json",
        "facts.json",
        "artifacts/snapshot/tell.py",
        "job.json",
        "attempt=1.log",
        "datastores.json",
    ):
        assert place_of_it in names
    assert leaks(iter(everything)) == []


def test_airflow_has_the_connection_only_as_long_as_the_datastore_is_registered(
    project: Project, registered: str
) -> None:
    api = project.server.api
    found = api.get("connections/aml_secrets_lake")
    assert (found["conn_type"], found["login"]) == ("wasb", "devstoreaccount1")
    workspace = Workspace.of(load_workspace(project.workspace_file))
    known = addresses()
    Datastore.register_azure_data_lake_gen2(workspace, "lake", registered, "people", "t", "c", "s", overwrite=True)
    changed = api.get("connections/aml_secrets_lake")
    assert changed["login"] == "c"
    assert json.loads(changed["extra"])["tenant_id"] == "t"
    assert known["AZURE_STORAGE_KEY"] not in json.dumps(changed)
