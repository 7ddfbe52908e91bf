"""A run that is tracked by an MLflow server: what its tasks' pages and logs say, what MLflow has, however it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MLflowRun

from aml_provider.runs.binding import pipeline_run_id
from aml_provider.runs.layout import RunFolder, RunStore
from aml_provider.workspace.discovery import load_workspace
from tests.mlflow_server import serving

from .conftest import KUBERNETES, TARGETS
from .machine import eventually
from .server import FINAL, Run, Server, aml, clean_environment, kill_worker

pytestmark = pytest.mark.airflow
DAG = """
from azureml.core import Dataset, Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline, PipelineParameter
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config("WORKSPACE")
store = ws.get_default_datastore()
environment = Environment("plain")
environment.python.user_managed_dependencies = True
run_config = RunConfiguration()
run_config.environment = environment
salt, holds = PipelineParameter("salt", default_value="none"), PipelineParameter("holds", default_value="no")
raw = Dataset.File.from_files((store, "raw/*.txt"), validate=False)
made = OutputFileDatasetConfig("made", destination=(store, "made/{run-id}"))
used = OutputFileDatasetConfig("used", destination=(store, "used/{run-id}"))
common = dict(source_directory="FOLDER/code", runconfig=run_config)
make = PythonScriptStep(
    "step.py", name="make", compute_target="local", **common,
    arguments=["--reads", raw.as_named_input("raw").as_mount(), "--writes", made, "--salt", salt, "--holds", holds],
)
use = PythonScriptStep(
    "step.py", name="use", compute_target="TARGET", **common,
    arguments=["--reads", made.as_input("table"), "--writes", used],
)
Experiment(ws, "tracked").submit(Pipeline(ws, [make, use]))
if "POD":
    kept = OutputFileDatasetConfig("kept", destination=(store, "kept/{run-id}"))
    pod = PythonScriptStep(
        "step.py", name="held", compute_target="POD", allow_reuse=False, **common,
        arguments=["--reads", "-", "--writes", kept, "--holds", holds],
    )
    Experiment(ws, "streamed").submit(Pipeline(ws, [pod]))
"""
ELSEWHERE = """
import json, sys
from azureml.core import Experiment, Run, Workspace

ws = Workspace.from_config()
(run,) = [run for run in Experiment(ws, "tracked").get_runs() if run.id == sys.argv[1]]
(make,) = run.find_step_run("make")
said = {"status": run.get_status(), "steps": [step.get_status() for step in run.get_steps()], "url": run.portal_url}
if said["status"] == "Finished":
    make.download_file("logs/made.txt", "made.txt")
    make.tag("checked", "elsewhere")
    make.log("rows", 4)
    make.upload_file("extra/notes.txt", "workspace.yaml")
    data = make.get_output_data("made")
    said["output"] = [data.datastore_name, data.path_on_datastore]
    said["same"] = Run.get(ws, make.id) == make
    said["files"], said["tags"] = make.get_file_names(), make.get_tags()
    said["log"] = make.get_job_log()
said["metrics"] = make.get_metrics("rows")
if "cancel" in sys.argv:
    run.cancel()
    said["cancelled"] = run.wait_for_completion(show_output=False, raise_on_error=False)
print(json.dumps(said))
"""
SCRIPT = """
import argparse, os, pathlib, time
from azureml.core import Run
parser = argparse.ArgumentParser()
for name in ("--reads", "--writes", "--salt", "--holds"):
    parser.add_argument(name)
given = parser.parse_args()
run = Run.get_context()
os.makedirs("logs", exist_ok=True)
pathlib.Path("logs/made.txt").write_text("made")
print("reading", given.reads, "in", os.getcwd(), flush=True)
pathlib.Path(given.writes).mkdir(parents=True, exist_ok=True)
pathlib.Path(given.writes, "out.txt").write_text("the same whatever the salt is")
run.log("rows", 3)
print("ready", flush=True)
while given.holds == "yes" and not pathlib.Path(os.environ["AML_JOB_DIR"], "go").exists():
    time.sleep(0.05)
"""


@dataclass
class Tracked:
    server: Server
    folder: Path
    address: str
    target: str
    client: MlflowClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = MlflowClient(self.address)

    @property
    def state(self) -> Path:
        return load_workspace(self.folder / "workspace.yaml").state

    def folder_of(self, run: Run) -> RunFolder:
        store = RunStore.of(load_workspace(self.folder / "workspace.yaml"), "workspaceblobstore")
        return store.run(run.dag_id, run.run_id)

    def runs(self, run: Run) -> dict[tuple[str | None, str | None], MLflowRun]:
        """MLflow's runs of a run, by task and attempt."""
        known = self.client.get_experiment_by_name(run.dag_id)
        if known is None:
            return {}
        found = self.client.search_runs([known.experiment_id], f"tags.`aml.run_id` = '{run.run_id}'")
        return {(one.data.tags.get("aml.task_id"), one.data.tags.get("aml.attempt")): one for one in found}

    def statuses(self, run: Run) -> dict[tuple[str | None, str | None], str]:
        return {key: found.info.status for key, found in self.runs(run).items()}

    def streamed(self, run: Run, task: str) -> bool:
        """Whether MLflow has the metric of a step that still runs."""
        found = [one for (step, _), one in self.runs(run).items() if step == task]
        return any("rows" in one.data.metrics and one.info.status == "RUNNING" for one in found)

    def links(self, run: Run, task: str) -> dict[str, str]:
        """The links on a task's page that lead somewhere."""
        found: dict[str, str | None] = self.server.api.get(f"{run.path}/taskInstances/{task}/links")["extra_links"]
        return {name: address for name, address in found.items() if address}

    def page(self, run: Run, task: str) -> str:
        return f"{self.server.url}/dags/tracked/runs/{quote(run.run_id)}/tasks/{task}"

    def elsewhere(self, run: Run, *arguments: str) -> dict[str, Any]:
        """What a program says of a run that sees neither the run's folder nor the datastores."""
        folder = self.folder / "elsewhere"
        folder.mkdir(exist_ok=True)
        (folder / "workspace.yaml").write_text(
            f"name: tracked\nairflow: {{url: '{self.server.url}'}}\nmlflow: {{tracking_uri: '{self.address}'}}\n"
        )
        (folder / "program.py").write_text(ELSEWHERE)
        command = [sys.executable, "program.py", pipeline_run_id(run.dag_id, run.run_id), *arguments]
        done = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return said

    def await_ready(self, run: Run, attempt: int = 1, step: str = "make") -> Path:
        """The folder of a held attempt that has begun."""
        found = self.folder_of(run).step(step).attempt(attempt)

        def ready() -> bool:
            assert run.state() not in FINAL, run.log(step, attempt)
            return found.log.is_file() and "ready" in found.log.read_text()

        eventually("the step is held", ready, seconds=240)
        return found.path

    def texts(self) -> Iterator[tuple[str, str]]:
        """All that MLflow has, but for where it keeps files."""
        for experiment in self.client.search_experiments():
            for run in self.client.search_runs([experiment.experiment_id]):
                name = f"{run.info.run_name} ({run.info.run_id})"
                yield f"{name}: data", json.dumps(run.data.to_dictionary())
                for item in run.inputs.dataset_inputs:
                    yield f"{name}: dataset", json.dumps(item.to_dictionary(), default=str)
                folder = Path(self.client.download_artifacts(run.info.run_id, ""))
                for file in folder.rglob("*"):
                    if file.is_file():
                        yield f"{name}: {file.relative_to(folder)}", file.read_text(errors="replace")


@pytest.fixture(scope="module")
def tracked(
    server: Server, pools: None, available: set[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tracked]:
    folder = tmp_path_factory.mktemp("tracked")
    target = "docker" if "docker" in available else "local"
    file = server.dags / "tracked_pipeline.py"
    with serving(f"sqlite:///{folder}/mlflow.db", folder) as address:
        pod = "deferred" if "kubernetes" in available else ""
        more = f"  docker: {TARGETS['docker']}\n" if target == "docker" else ""
        if pod:
            target_of_pods = TARGETS["deferred"].replace("KUBERNETES", KUBERNETES)
            more += f"  deferred: {target_of_pods.replace('KUBECONFIG', str(server.kubeconfig))}\n"
        (folder / "workspace.yaml").write_text(
            f"name: tracked\nairflow: {{url: '{server.url}'}}\nmlflow: {{tracking_uri: '{address}'}}\n"
            "local: {retry_delay_seconds: 1}\nreuse: {trusted_images: ['testbed/*']}\n"
            "compute:\n  local: {kind: local, max_nodes: 8}\n" + more
        )
        (folder / "code").mkdir()
        (folder / "code/step.py").write_text(SCRIPT)
        made = Tracked(server, folder, address, target)
        raw = made.state / "datastores/workspaceblobstore/raw"
        raw.mkdir(parents=True)
        (raw / "a.txt").write_text("a row\n")
        text = DAG.replace("POD", pod).replace("WORKSPACE", str(folder / "workspace.yaml"))
        file.write_text(text.replace("FOLDER", str(folder)).replace("TARGET", target))

        def parsed() -> bool:
            errors = [error for error in server.import_errors() if error.startswith(file.name)]
            assert not errors, errors
            return "tracked" in {dag["dag_id"] for dag in server.api.get("dags", limit=100)["dags"]}

        try:
            eventually("Airflow knows the pipeline", parsed, seconds=300, every=0.5)
            server.api.patch("dags/tracked", {"is_paused": False})
            yield made
        finally:
            file.unlink()


@pytest.fixture(scope="module")
def first(tracked: Tracked) -> Run:
    run = tracked.server.trigger("tracked")
    assert run.wait(300) == "success", run.states()
    return run


def test_links_lead_from_a_task_to_its_mlflow_run_and_its_outputs(tracked: Tracked, first: Run) -> None:
    runs = tracked.runs(first)
    assert {key[0] for key in runs} == {None, "make", "use"}
    for task in ("make", "use"):
        links = tracked.links(first, task)
        experiment, run_id = runs[task, "1"].info.experiment_id, runs[task, "1"].info.run_id
        assert links["MLflow run"] == f"{tracked.address}/#/experiments/{experiment}/runs/{run_id}"
        assert links["Outputs"] == f"{tracked.page(first, task)}/xcom"
        assert "Reused from" not in links
    parent = runs[None, None].info.run_id
    assert tracked.links(first, "pipeline_end")["MLflow run"].endswith(f"/runs/{parent}")


def test_a_log_begins_with_what_runs_where_and_why(tracked: Tracked, first: Run) -> None:
    lines = [line.split() for line in first.log("use").splitlines()]
    told = {line[0]: " ".join(line[1:]) for line in reversed(lines) if line}
    first_line = next(line for line in first.log("use").splitlines() if line.startswith("Step 'use' of run tracked-"))
    assert first_line.endswith(", attempt 1")
    assert told["runs"].startswith("step.py --reads $AZUREML_DATAREFERENCE_table --writes")
    assert told["on"].startswith(f"{tracked.target} ({tracked.target}), pool ")
    if tracked.target == "docker":
        assert told["image"] == "testbed/ml:latest (taken by its name)"
        assert "python" not in told
    assert told["code"].startswith("snapshot ")
    assert told["input"].startswith("table <- workspaceblobstore:made/")
    assert told["parameters"] == "salt=none, holds=no"
    assert len(told["fingerprint"]) == 64
    assert told["MLflow"].startswith(f"{tracked.address}/#/experiments/")
    assert told["why"].startswith("not computed before")


def test_mlflow_has_data_code_environment_and_use_of_resources(tracked: Tracked, first: Run) -> None:
    make, use = tracked.runs(first)["make", "1"], tracked.runs(first)["use", "1"]
    digests = {
        (name, {tag.key: tag.value for tag in item.tags}["mlflow.data.context"]): item.dataset.digest
        for name, run in (("make", make), ("use", use))
        for item in run.inputs.dataset_inputs
    }
    assert set(digests) == {("make", "input"), ("make", "output"), ("use", "input"), ("use", "output")}
    assert digests["make", "output"] == digests["use", "input"]
    for run in (make, use):
        metrics = run.data.metrics
        assert metrics["rows"] == 3
        assert metrics["system/peak_memory_bytes"] > 5_000_000
        assert metrics["system/cpu_seconds"] > 0
        for part in ("queued", "staging", "running"):
            assert 0 <= metrics[f"system/{part}_seconds"] < 300
        files = {item.path for item in tracked.client.list_artifacts(run.info.run_id)}
        assert {"snapshot", "snapshot.json", "logs", "metrics.json"} <= files
    assert use.data.tags["aml.compute"] == tracked.target
    assert make.data.tags["aml.python"].startswith("3.")
    assert ("aml.python" in use.data.tags) == (tracked.target == "local")
    assert use.data.params["script"] == "step.py"


def test_a_reused_step_leads_to_where_its_result_was_made(tracked: Tracked, first: Run) -> None:
    again = tracked.server.trigger("tracked")
    assert again.wait(240) == "success"
    assert set(again.states().values()) == {"success", "skipped"}

    def links() -> list[dict[str, str]]:
        # They come after the head task's end, which no run waits for.
        return [tracked.links(again, task) for task in ("make", "use")]

    eventually("the links of both steps are there", lambda: all("Reused from" in found for found in links()), 60)
    for task, found in zip(("make", "use"), links(), strict=True):
        assert found["Reused from"] == tracked.page(first, task)
        assert found["Outputs"] == f"{tracked.page(again, task)}/xcom"

    def told() -> bool:
        # Airflow ends the head task when that takes long after its success; then it is another's business.
        found = tracked.statuses(again)
        return len(found) == 3 and set(found.values()) == {"FINISHED"}

    eventually("MLflow has the run and both steps, all of them ended", told, seconds=180, every=0.5)


def test_a_program_that_sees_no_folder_of_the_run_follows_it_and_adds_to_it(tracked: Tracked, first: Run) -> None:
    """Airflow's REST API and MLflow tell it everything."""
    said = tracked.elsewhere(first)
    assert (said["status"], said["steps"], said["same"]) == ("Finished", ["Finished", "Finished"], True)
    assert said["url"].startswith(tracked.server.url)
    assert said["output"][0] == "workspaceblobstore"
    assert said["output"][1].startswith("made/")
    assert (said["files"], said["tags"]) == (["extra/notes.txt", "logs/made.txt"], {"checked": "elsewhere"})
    assert (tracked.folder / "elsewhere" / "made.txt").read_text() == "made"
    assert said["metrics"] == {"rows": [3, 4]}
    assert "ready" in said["log"]
    found = aml("runs", "ls", "tracked", "--json", workspace=folder_elsewhere(tracked), folder=tracked.folder)
    listed = [run["id"] for run in json.loads(found.stdout)]
    identity = pipeline_run_id(first.dag_id, first.run_id)
    assert identity in listed
    arguments = ("runs", "compare", identity, listed[0], "--json")
    compared = aml(*arguments, workspace=folder_elsewhere(tracked), folder=tracked.folder)
    assert json.loads(compared.stdout)[identity]["metric make: rows"] == 4.0, compared.stderr
    make = tracked.runs(first)["make", "1"]
    assert (make.data.tags["checked"], make.data.metrics["rows"]) == ("elsewhere", 4.0)


def folder_elsewhere(tracked: Tracked) -> Path:
    return tracked.folder / "elsewhere" / "workspace.yaml"


def test_a_program_elsewhere_reads_metrics_while_the_step_runs_and_cancels_the_run(tracked: Tracked) -> None:
    run = tracked.server.trigger("tracked", holds="yes", salt="elsewhere")
    tracked.await_ready(run)
    eventually("its metric is in MLflow", lambda: tracked.streamed(run, "make"), seconds=60)
    said = tracked.elsewhere(run, "cancel")
    assert (said["status"], said["steps"][0], said["metrics"]) == ("Running", "Running", {"rows": 3})
    assert said["cancelled"] == "Canceled"
    eventually("its MLflow run has ended", lambda: tracked.statuses(run)[None, None] == "KILLED", seconds=120)
    assert tracked.statuses(run)["make", "1"] == "KILLED"


@pytest.mark.kubernetes
def test_metrics_of_a_deferred_pod_are_in_mlflow_while_it_runs(tracked: Tracked) -> None:
    run = tracked.server.trigger("streamed", holds="yes")
    folder = tracked.await_ready(run, step="held")
    # A pod may be quicker than the worker that made it and lets go of it.
    eventually("nobody but the triggerer waits for it", lambda: run.states()["held"] == "deferred", seconds=60)
    eventually("its metric is in MLflow", lambda: tracked.streamed(run, "held"), seconds=120, every=0.5)
    assert run.states()["held"] == "deferred"
    (folder / "go").touch()
    assert run.wait(240) == "success", run.states()


def test_a_killed_worker_leaves_a_failed_run_and_the_retry_has_its_own(tracked: Tracked) -> None:
    run = tracked.server.trigger("tracked", holds="yes", salt="killed")
    tracked.await_ready(run)
    kill_worker(run, "make")
    folder = tracked.await_ready(run, attempt=2)
    (folder / "go").touch()
    assert run.wait(240) == "success", run.states()
    statuses = tracked.statuses(run)
    assert [statuses["make", "1"], statuses["make", "2"], statuses[None, None]] == ["FAILED", "FINISHED", "FINISHED"]
    assert tracked.links(run, "make")["MLflow run"].endswith(tracked.runs(run)["make", "2"].info.run_id)


def test_no_mlflow_run_stays_open_when_the_closing_task_does_nothing(tracked: Tracked) -> None:
    run = tracked.server.trigger("tracked", holds="yes", salt="marked")
    tracked.await_ready(run)
    eventually("MLflow says so", lambda: "RUNNING" in tracked.statuses(run).values(), seconds=60)
    run.mark("pipeline_end", "success")
    run.cancel()
    assert run.wait() == "failed"

    def closed() -> bool:
        return not {"RUNNING", "SCHEDULED"} & set(tracked.statuses(run).values())

    eventually("all MLflow runs have ended", closed, seconds=120, every=0.5)
    assert run.states()["pipeline_end"] == "success"
    found: dict[Any, str] = tracked.statuses(run)
    assert found[None, None] in ("FAILED", "KILLED")
    assert "FINISHED" not in found.values()


def test_mlflow_knows_no_folder_of_this_machine(tracked: Tracked, first: Run) -> None:
    everything = list(tracked.texts())
    names = " ".join(name for name, _ in everything)
    for part in (": data", ": dataset", "logs/std_log.txt", "snapshot/step.py", "metrics.json", "environment.json"):
        assert part in names
    log = next(text for name, text in everything if name.startswith("make") and name.endswith("std_log.txt"))
    assert "in <run store>/runs/tracked/" in log
    assert [name for name, text in everything if str(tracked.folder) in text] == []
