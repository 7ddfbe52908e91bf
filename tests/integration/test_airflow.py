"""The sample files in the dags folder of a real Airflow, and the same files as programs that submit to it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from aml_provider.submission.api import AirflowApiError

from .server import Run, Server

pytestmark = pytest.mark.airflow
FAN_OUT = {"draw", "estimate", "histogram", "smallest", "report"}
AROUND = {"reuse", "pipeline_end"}


@dataclass
class Samples:
    pools: list[subprocess.CompletedProcess[str]]
    digits: Run
    fan_out: Run
    unknown: Run
    program: subprocess.CompletedProcess[str]
    downloads: Path


@pytest.fixture(scope="module")
def samples(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Every way of running the samples, side by side."""
    files = [server.dags / "digits_pipeline.py", server.dags / "fan_out_pipeline.py"]
    pools = [server.aml("pools", *more, *files) for more in (["--check"], [], ["--check"])]
    unknown = server.trigger("fan-out", cuont=5)
    fan_out = server.trigger("fan-out", count=2000)
    digits = server.trigger("digits", test_share=0.5)
    folder = tmp_path_factory.mktemp("program")
    program = server.aml("run", server.dags / "digits_pipeline.py", "--json", folder=folder)
    return Samples(pools, digits, fan_out, unknown, program, folder / "downloads")


def test_airflow_finds_files_that_speak_of_neither_airflow_nor_dags(server: Server) -> None:
    for name in ("digits_pipeline.py", "fan_out_pipeline.py"):
        words = (server.dags / name).read_text().lower()
        assert "from airflow" not in words
        assert "import airflow" not in words
    assert server.import_errors() == []
    found = {d["dag_id"] for d in server.api.get("dags")["dags"]}
    assert {d for d in found if not d.startswith("counted-")} == {"digits", "fan-out", "hold", "moved", "by-hand"}


def test_pools_are_created_once_and_checked(samples: Samples, server: Server) -> None:
    before, making, after = samples.pools
    assert before.returncode == 1
    assert "aml: pool aml_cpu-cluster is missing: its tasks would stay queued for ever" in before.stderr
    assert making.returncode == 0, making.stderr
    assert "pool aml_cpu-cluster: created, 4 slots" in making.stdout
    assert after.returncode == 0, after.stderr
    assert "pool aml_gpu-cluster: exists, 1 slots" in after.stdout
    pools = {p["name"]: p for p in server.api.get("pools")["pools"]}
    assert pools["aml_cpu-cluster"]["include_deferred"] is True


def test_the_graph_is_the_authors(server: Server) -> None:
    tasks = {t["task_id"]: t for t in server.api.get("dags/fan-out/tasks")["tasks"]}
    assert set(tasks) == FAN_OUT | AROUND
    assert set(tasks["draw"]["downstream_task_ids"]) == {"estimate", "histogram", "smallest"}
    assert set(tasks["report"]["downstream_task_ids"]) == {"pipeline_end"}
    assert tasks["estimate"]["pool"] == "aml_gpu-cluster"


@pytest.mark.parametrize("name", ["digits", "fan_out"])
def test_triggered_over_rest_it_runs_to_success(samples: Samples, name: str) -> None:
    run: Run = getattr(samples, name)
    assert run.wait() == "success", run.states()
    assert set(run.states().values()) == {"success"}


def test_the_parameter_of_the_trigger_reaches_the_steps(samples: Samples) -> None:
    samples.fan_out.wait()
    place = samples.fan_out.xcom("report")["report"]
    report = samples.fan_out.server.store / place["path"]
    assert report.read_text().startswith("2000 numbers\n")
    assert samples.fan_out.xcom("draw", "metrics") == {"count": 2000}
    samples.digits.wait()
    assert samples.digits.xcom("prep", "metrics") == {"test_rows": 899, "train_rows": 898}


def test_outputs_and_metrics_are_in_xcom(samples: Samples, server: Server) -> None:
    samples.digits.wait()
    (prepared,) = samples.digits.xcom("prep").values()
    assert prepared["datastore"] == "workspaceblobstore"
    assert prepared["path"] == f"digits/{samples.digits.step_run_id('prep')}/prepared"
    assert prepared["files"] == len(list((server.store / prepared["path"]).iterdir()))
    model = samples.digits.xcom("train")["model"]
    assert (server.store / model["path"] / "digits.joblib").stat().st_size > 10_000
    assert samples.digits.xcom("train", "metrics")["accuracy"] > 0.9


def test_mlflow_has_the_run_with_a_child_per_step(samples: Samples, server: Server) -> None:
    samples.digits.wait()
    client = MlflowClient(server.workspace.tracking_uri)
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    found: list[Any] = client.search_runs([experiment.experiment_id], f"tags.`aml.run_id` = '{samples.digits.run_id}'")
    (parent,) = [r for r in found if "aml.task_id" not in r.data.tags]
    children = {r.data.tags["aml.task_id"]: r for r in found if "aml.task_id" in r.data.tags}
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["aml.dag_id"] == "digits"
    assert parent.data.tags["sample"] == "digits"
    assert parent.data.params["test_share"] == "0.5"
    assert set(children) == {"prep", "train"}
    for child in children.values():
        assert child.info.status == "FINISHED"
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.tags["aml.dag_id"] == "digits"
    assert children["train"].data.metrics["accuracy"] == samples.digits.xcom("train", "metrics")["accuracy"]


def test_a_value_of_the_wrong_type_is_refused_at_the_trigger(server: Server) -> None:
    with pytest.raises(AirflowApiError, match="400.*count.*'many' is not of type 'integer'") as refused:
        server.trigger("fan-out", count="many")
    assert "count" in str(refused.value)


def test_a_parameter_that_the_pipeline_does_not_have_fails_the_run(samples: Samples) -> None:
    assert samples.unknown.wait() == "failed"
    said = samples.unknown.log("reuse")
    assert "unknown pipeline parameter 'cuont' in the run's conf; this pipeline has count" in said
    assert samples.unknown.states()["draw"] == "upstream_failed"


def test_the_file_as_a_program_submits_to_the_server(samples: Samples, server: Server) -> None:
    assert samples.program.returncode == 0, samples.program.stderr
    result = json.loads(samples.program.stdout)
    assert result["state"] == "Finished"
    assert server.api.get(f"dags/digits/dagRuns/{result['run_id']}")["state"] == "success"
    prep, train = result["steps"]
    assert (prep["name"], prep["state"]) == ("prep", "Finished")
    assert prep["outputs"]["prepared"]["datastore"] == "workspaceblobstore"
    assert prep["metrics"] == {"test_rows": 450, "train_rows": 1347}
    assert train["metrics"]["accuracy"] > 0.95
    assert train["seconds"] > 0
    assert (samples.downloads / "digits.joblib").is_file() or list(samples.downloads.rglob("digits.joblib"))
    assert "accuracy:" in samples.program.stderr
