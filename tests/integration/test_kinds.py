"""One unmodified file on three kinds of compute: only the line ``default_kind`` of the workspace file differs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aml_provider.runs.binding import step_run_id

from .machine import containers, pods
from .server import aml

pytestmark = pytest.mark.airflow
KINDS = [
    "local",
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("kubernetes", marks=pytest.mark.kubernetes),
]
WORKSPACE = """
name: kinds
default_kind: KIND
state: STATE
docker: {image: 'testbed/ml:latest', network: none}
kubernetes: {image: 'testbed/ml:latest', namespace: ml, image_pull_policy: Never, config_file: KUBECONFIG}
"""
SHELL = """
from azureml.core import Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data.data_reference import DataReference
from azureml.pipeline.core import Pipeline, PipelineData
from azureml.pipeline.steps import CommandStep

ws = Workspace.from_config()
run_config = RunConfiguration()
run_config.environment = Environment("busybox")
run_config.environment.docker.base_image = "testbed/shell:latest"
said = PipelineData("said", datastore=ws.get_default_datastore())
step = CommandStep(
    name="say", command=["command -v python python3 && exit 1; mkdir", said, "&& cd", said, "&& echo hello > hello"],
    outputs=[said], compute_target="local", runconfig=run_config,
)
linked = DataReference(ws.get_default_datastore(), "linked", path_on_datastore="linked")
read = PipelineData("read", datastore=ws.get_default_datastore())
follow = CommandStep(
    name="follow", command=["cd", linked, "&& cat near far out/far >", read], inputs=[linked], outputs=[read],
    compute_target="local", runconfig=run_config,
)
run = Experiment(ws, "shell").submit(Pipeline(ws, [step, follow]))
run.wait_for_completion()
"""
Done = subprocess.CompletedProcess[str]


class Runs:
    """A run per kind, started when first asked for, so that they go side by side."""

    def __init__(self, folder: Path, state: Path, kubeconfig: Path, file: Path) -> None:
        self.folder, self.state, self.kubeconfig, self.file = folder, state, kubeconfig, file
        self.pool = ThreadPoolExecutor()
        self.started: dict[str, Future[Done]] = {}

    def start(self, kind: str, file: Path | None = None) -> Future[Done]:
        name = kind if file is None else file.stem
        if name not in self.started:
            folder = self.folder / name
            folder.mkdir()
            workspace = folder / "workspace.yaml"
            text = WORKSPACE.replace("KIND", kind).replace("STATE", str(self.state))
            workspace.write_text(text.replace("KUBECONFIG", str(self.kubeconfig)))
            call = (aml, "run", file or self.file, "--json")
            self.started[name] = self.pool.submit(*call, workspace=workspace, folder=folder)
        return self.started[name]

    def result(self, kind: str) -> dict[str, Any]:
        done = self.start(kind).result()
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    def prepared(self, kind: str) -> dict[str, bytes]:
        """The files that the step prep has made."""
        place = self.result(kind)["steps"][0]["outputs"]["prepared"]
        folder = self.state / "datastores" / place["datastore"] / place["path"]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory,
    state: Path,
    kubeconfig: Path,
    repository: Path,
    available: set[str],
) -> Iterator[Runs]:
    """The runs on every kind that this machine has, started."""
    made = Runs(tmp_path_factory.mktemp("kinds"), state, kubeconfig, repository / "dags" / "digits_pipeline.py")
    for kind in sorted({"local", *available}):
        made.start(kind)
    yield made
    made.pool.shutdown()


@pytest.mark.parametrize("kind", KINDS)
def test_it_finishes_with_a_good_model(runs: Runs, kind: str) -> None:
    result = runs.result(kind)
    assert result["state"] == "Finished"
    assert [(s["name"], s["state"]) for s in result["steps"]] == [("prep", "Finished"), ("train", "Finished")]
    assert result["steps"][1]["metrics"]["accuracy"] > 0.95
    assert list((runs.folder / kind / "downloads").rglob("digits.joblib")), "the file's own download of the model"


@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_data_is_equal_byte_for_byte_and_so_is_the_accuracy(runs: Runs, kind: str) -> None:
    local = runs.prepared("local")
    assert set(local) == {"train.csv", "test.csv"}
    assert runs.prepared(kind) == local
    accuracy = {name: runs.result(name)["steps"][1]["metrics"]["accuracy"] for name in ("local", kind)}
    assert accuracy[kind] == accuracy["local"]


@pytest.mark.docker
def test_no_container_is_left(runs: Runs) -> None:
    result = runs.result("docker")
    for step in ("prep", "train"):
        assert containers(step_run_id(result["dag_id"], result["run_id"], step)) == []


@pytest.mark.kubernetes
def test_no_pod_is_left(runs: Runs, kubeconfig: Path) -> None:
    result = runs.result("kubernetes")
    for step in ("prep", "train"):
        left = pods(kubeconfig, step_run_id(result["dag_id"], result["run_id"], step))
        assert [p.metadata.name for p in left if p.metadata.deletion_timestamp is None] == []


@pytest.mark.docker
def test_an_image_without_python_runs_commands_and_finds_what_links_lead_to(runs: Runs, tmp_path: Path) -> None:
    file = tmp_path / "shell.py"
    file.write_text(SHELL)
    store = runs.state / "datastores/workspaceblobstore"
    for path in ("linked/near", "elsewhere/far"):
        (store / path).parent.mkdir(parents=True)
        (store / path).write_text(f"{path}\n")
    (store / "linked/far").symlink_to(store / "elsewhere/far")
    (store / "linked/out").symlink_to("../elsewhere")
    done = runs.start("docker", file).result()
    assert done.returncode == 0, done.stderr
    say, follow = json.loads(done.stdout)["steps"]
    assert (store / say["outputs"]["said"]["path"] / "hello").read_text() == "hello\n"
    # What is outside of the mounted folder is there as well.
    assert (store / follow["outputs"]["read"]["path"]).read_text() == "linked/near\nelsewhere/far\nelsewhere/far\n"
