"""A run folder and MLflow: opened, followed, closed; again after any crash; never twice."""

from __future__ import annotations

import json
import logging
import math
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from aml_provider.tracking.environment import mlflow_variables
from aml_provider.tracking.ledger import locked
from aml_provider.tracking.recorder import close_run, open_run, reconcile

from .conftest import RunFolder, Store, scalar


def test_a_pipeline_run_is_a_parent_and_a_child_per_step(folder: RunFolder, store: Store) -> None:
    folder.describe(
        "prep", "train", parameters={"rate": 0.1, "long%name": "x" * 7000}, tags={"team": "a", "empty": None}
    )
    assert open_run(folder.path, folder.uri)

    parent = store.parent()
    assert parent.info.status == "RUNNING"
    assert parent.info.run_name == "manual__one"
    assert parent.data.params["rate"] == "0.1"
    assert len(parent.data.params["long_name"]) == 6000
    assert parent.data.tags["team"] == "a"
    assert parent.data.tags["empty"] == ""
    assert parent.data.tags["aml.dag_id"] == "digits"
    assert parent.data.tags["aml.run_id"] == "manual__one"
    assert parent.data.tags["aml.pipeline_run_id"] == "digits-one"
    assert parent.data.tags["aml.workspace"] == "local"
    experiment = store.client.get_experiment(parent.info.experiment_id)
    assert experiment.name == "digits experiment"
    assert Path(folder.uri.removeprefix("sqlite:///")).parent.as_uri() in experiment.artifact_location

    train = store.step("train")
    assert train.info.status == "SCHEDULED"
    assert train.info.run_name == "the train"
    assert train.data.tags["aml.step_run_id"] == "one-train"
    assert train.data.tags["aml.step_name"] == "the train"
    assert train.data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_opening_again_makes_nothing_new(folder: RunFolder, store: Store) -> None:
    folder.describe("prep", "train", parameters={"rate": 1})
    open_run(folder.path, folder.uri)
    before = {run.info.run_id for run in store.runs()}
    assert open_run(folder.path, folder.uri)
    # A crash between creating the runs and writing them down.
    ledger = json.loads((folder.path / "tracking.json").read_text())
    (folder.path / "tracking.json").write_text(
        json.dumps(ledger | {"parent": None, "steps": {}, "experiment_id": None})
    )
    assert open_run(folder.path, folder.uri)
    assert {run.info.run_id for run in store.runs()} == before
    # A crash in the middle of creating them.
    (folder.path / "tracking.json").unlink()
    store.client.delete_run(store.step("train").info.run_id)
    assert open_run(folder.path, folder.uri)
    assert len(store.runs()) == 3


def test_a_deleted_experiment_is_restored(folder: RunFolder, store: Store) -> None:
    experiment = store.client.create_experiment("digits experiment")
    store.client.delete_experiment(experiment)
    assert open_run(folder.describe("prep").path, folder.uri)
    assert store.parent().info.experiment_id == experiment


def test_metrics_arrive_while_the_step_runs(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train", job={
        "command": {"kind": "python", "script": "train.py", "arguments": ["--rate", "0.1"]},
        "run": {"parameters": {"rate": 0.1}},
    })  # fmt: skip
    assert reconcile(folder.path)
    train = store.step("train")
    assert train.info.status == "RUNNING"
    assert train.data.params == {"rate": "0.1", "script": "train.py", "arguments": "--rate 0.1"}

    folder.log("train", scalar("loss", 0.5), scalar("loss", 0.4), scalar("epoch loss", 9, step=7))
    assert reconcile(folder.path)
    folder.log("train", scalar("loss", 0.3), scalar("loss", 0.3), {"type": "tag", "key": "stage", "value": "late"})
    assert reconcile(folder.path)
    assert store.points(train, "loss") == [(0, 0.5), (1, 0.4), (2, 0.3), (3, 0.3)]
    assert store.points(train, "epoch loss") == [(7, 9.0)]
    assert store.step("train").data.tags["stage"] == "late"
    folder.log("train", {"type": "remove_tag", "key": "stage"}, {"type": "remove_tag", "key": "never there"})
    folder.log("train", {"type": "property", "key": "p", "value": "v"}, {"type": "fail", "message": "bad data"})
    assert reconcile(folder.path)
    tags = store.step("train").data.tags
    assert "stage" not in tags
    assert tags["aml.property.p"] == "v"
    assert tags["aml.fail_message"] == "bad data"


def test_every_kind_of_metric(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train")
    folder.log(
        "train",
        scalar("nan", "NaN"),
        scalar("inf", "-Infinity"),
        scalar("flag", True),
        scalar("words", "good"),
        scalar("huge", 10**400),
        scalar("acc %", 0.25),
        {"type": "metric", "kind": "list", "name": "list", "value": [3, 2, 1]},
        {"type": "metric", "kind": "list", "name": "texts", "value": ["a", 1]},
        {"type": "metric", "kind": "row", "name": "row", "value": {"x": 1, "label": "a"}},
        {"type": "metric", "kind": "row", "name": "row", "value": {"x": 2, "label": "b"}},
        {"type": "metric", "kind": "table", "name": "table", "value": {"x": [1, 2]}},
        {"type": "metric", "kind": "table", "name": "table", "value": {"x": [3]}},
        {"type": "metric", "kind": "confusion_matrix", "name": "cm", "value": {"schema_type": "confusion_matrix"}},
    )
    folder.result("train")
    assert reconcile(folder.path)
    train = store.step("train")
    assert math.isnan(train.data.metrics["nan"])
    assert train.data.metrics["inf"] < -1e300
    assert train.data.metrics["flag"] == 1
    assert train.data.tags["aml.metric.words"] == "good"
    assert "huge" not in train.data.metrics
    assert train.data.metrics["acc _"] == 0.25
    assert train.data.tags["aml.metric_name.acc _"] == "acc %"
    assert store.points(train, "list") == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert store.points(train, "row/x") == [(0, 1.0), (1, 2.0)]
    assert "texts" not in train.data.metrics
    assert {"metrics/table.json", "metrics/table-1.json", "metrics/cm.json", "metrics.json"} <= store.files(train)


def test_a_repeated_batch_gives_no_point_twice(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train")
    folder.log("train", *(scalar("loss", index % 3) for index in range(2300)), scalar("nan", "NaN"))
    before = (folder.path / "tracking.json").read_text()
    reconcile(folder.path)
    points = store.points(store.step("train"), "loss")
    assert [step for step, _ in points] == list(range(2300))
    # MLflow had it all, but the process died before it could write that down.
    (folder.path / "tracking.json").write_text(before)
    folder.log("train", scalar("loss", 99))
    assert reconcile(folder.path)
    assert store.points(store.step("train"), "loss") == [*points, (2300, 99.0)]
    assert len(store.points(store.step("train"), "nan")) == 1


def test_what_mlflow_refuses_does_not_hold_up_the_rest(
    folder: RunFolder, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train")
    folder.log("train", scalar("a", 1), scalar("b", 2, step=2**80), {"type": "tag"}, scalar("a", 3, step=1.5))
    folder.log("train", {"type": "model", "name": "m", "path": "../../outside", "tags": {}})
    folder.result("train")
    with caplog.at_level(logging.WARNING):
        reconcile(folder.path)
    assert store.points(store.step("train"), "a") == [(0, 1.0), (1, 3.0)]
    assert store.step("train").info.status == "FINISHED"


def test_the_end_of_a_step(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    attempt = folder.attempt("train")
    (attempt / "logs/std_log.txt").write_text("hello\n")
    for name in ("artifacts/outputs/model.pkl", "artifacts/plot.png"):
        (attempt / name).parent.mkdir(parents=True, exist_ok=True)
        (attempt / name).write_text("x")
    model = {"type": "model", "name": "digits:v/1", "path": "outputs/model.pkl", "tags": {"k": "v"}, "description": "d"}
    folder.log("train", scalar("acc", 0.9), model | {"framework": "ScikitLearn", "properties": {"p": 1}})
    folder.result("train", outputs={"model": {"datastore": "blobs", "path": "azureml/x/model"}})
    for _ in range(2):
        assert reconcile(folder.path)
        train = store.step("train")
        assert train.info.status == "FINISHED"
        assert train.data.tags["aml.output.model"] == "blobs:azureml/x/model"
        assert train.data.tags["aml.attempt"] == "1"
        assert store.files(train) == {"outputs/model.pkl", "plot.png", "logs/std_log.txt", "metrics.json"}
        (version,) = store.client.search_model_versions("name = 'digits_v_1'")
        assert version.run_id == train.info.run_id
        assert version.source.endswith("/outputs/model.pkl")
        assert version.tags["k"] == "v"
        assert version.tags["aml.model_name"] == "digits:v/1"
        assert version.tags["aml.framework"] == "ScikitLearn"
        # Once more after a crash that lost the last thing written down.
        ledger = json.loads((folder.path / "tracking.json").read_text())
        ledger["steps"]["train"] |= {"done": None, "uploaded": None, "status": "RUNNING"}
        (folder.path / "tracking.json").write_text(json.dumps(ledger))


def test_closing_ends_everything(folder: RunFolder, store: Store) -> None:
    folder.describe("ok", "bad", "never", "lost", "marked")
    open_run(folder.path, folder.uri)
    for task in ("ok", "bad", "lost", "marked"):
        folder.attempt(task)
    folder.log("lost", scalar("acc", 0.5))
    folder.result("ok")
    folder.result("bad", "Failed", error="exit code 3", exit_code=3)
    folder.result("marked")
    states = {"ok": "success", "bad": "failed", "never": "upstream_failed", "lost": "running", "marked": "failed"}
    assert close_run(folder.path, "Failed", states)
    status = {run.data.tags.get("aml.task_id", "parent"): run.info.status for run in store.runs()}
    assert status == {
        "parent": "FAILED",
        "ok": "FINISHED",
        "bad": "FAILED",
        "never": "KILLED",
        "lost": "KILLED",
        "marked": "FAILED",
    }
    assert store.step("bad").data.tags["aml.error"] == "exit code 3"
    assert store.step("lost").data.metrics == {"acc": 0.5}
    assert close_run(folder.path, "Failed", states)
    assert len(store.runs()) == 6


def test_closing_without_states_believes_the_results(folder: RunFolder, store: Store) -> None:
    folder.describe("a", "b")
    open_run(folder.path, folder.uri)
    folder.result("a")
    assert close_run(folder.path, "Canceled")
    assert store.step("a").info.status == "FINISHED"
    assert store.step("b").info.status == "KILLED"
    assert store.parent().info.status == "KILLED"


def test_a_late_look_at_a_closed_run_does_not_open_it_again(folder: RunFolder, store: Store) -> None:
    folder.describe("train", "score")
    open_run(folder.path, folder.uri)
    folder.attempt("train")
    reconcile(folder.path)
    assert store.step("train").info.status == "RUNNING"
    # The run is cancelled: its closing task comes before the stopped worker's last look, and no result is written.
    close_run(folder.path, "Failed", {"train": "failed", "score": "skipped"})
    reconcile(folder.path)
    assert store.step("train").info.status == "FAILED"
    assert store.step("score").info.status == "KILLED"
    assert store.parent().info.status == "FAILED"


def test_child_runs_and_the_parent_run_of_a_script(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train")
    child = {"child": "it's_1"}
    folder.log(
        "train",
        {"type": "child_run", "id": "it's_1", "name": "fold 1", "status": "Running"},
        scalar("acc", 0.1) | child,
        {"type": "tag", "key": "fold", "value": "1"} | child,
        {"type": "child_run", "id": "it's_1", "name": "fold 1", "status": "Completed"},
        scalar("overall", 5, to="parent"),
    )
    before = (folder.path / "tracking.json").read_text()
    for _ in range(2):
        assert reconcile(folder.path)
        (fold,) = [run for run in store.runs() if "aml.child_run_id" in run.data.tags]
        assert fold.info.status == "FINISHED"
        assert fold.info.run_name == "fold 1"
        assert fold.data.metrics == {"acc": 0.1}
        assert fold.data.tags["fold"] == "1"
        assert fold.data.tags["mlflow.parentRunId"] == store.step("train").info.run_id
        assert store.parent().data.metrics == {"overall": 5.0}
        assert store.step("train").data.metrics == {}
        (folder.path / "tracking.json").write_text(before)


def test_a_run_that_nobody_opened_is_caught_up_with(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    assert reconcile(folder.path)
    assert store.runs() == []
    folder.attempt("train")
    assert reconcile(folder.path, tracking_uri=folder.uri)
    assert store.step("train").info.status == "RUNNING"


def test_one_process_at_a_time(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train")
    with locked(folder.path, 0):
        started = time.monotonic()
        assert reconcile(folder.path)
        assert time.monotonic() - started < 0.5
    assert store.step("train").info.status == "SCHEDULED"


def test_a_server_that_is_down_is_a_warning_and_caught_up_with(
    folder: RunFolder, store: Store, caplog: pytest.LogCaptureFixture, uri: str
) -> None:
    folder.describe("train")
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert not open_run(folder.path, "http://user:secret@127.0.0.1:9")
    assert time.monotonic() - started < 5
    assert "MLflow at http://user:***@127.0.0.1:9 cannot be used" in caplog.text
    assert "secret" not in caplog.text
    folder.attempt("train")
    folder.log("train", scalar("acc", 1))
    folder.result("train")
    assert not reconcile(folder.path)
    # The administrator moves MLflow; the head task is cleared.
    assert open_run(folder.path, uri)
    assert close_run(folder.path, "Finished", {"train": "success"})
    assert store.step("train").data.metrics == {"acc": 1.0}


def test_a_store_that_is_no_database_is_a_warning(folder: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    folder.describe("train")
    (folder.path.parent / "broken.db").write_text("this is no database " * 100)
    with caplog.at_level(logging.WARNING):
        assert not open_run(folder.path, f"sqlite:///{folder.path.parent}/broken.db")
    assert "cannot be used" in caplog.text


def test_a_scripts_own_mlflow_lands_in_the_same_run(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    assert mlflow_variables(folder.path, "train", folder.uri, same_machine=True) == {"MLFLOW_TRACKING_URI": folder.uri}
    open_run(folder.path, folder.uri)
    variables = mlflow_variables(folder.path, "train", folder.uri, same_machine=True)
    assert variables["MLFLOW_RUN_ID"] == store.step("train").info.run_id
    assert variables["MLFLOW_EXPERIMENT_ID"] == store.parent().info.experiment_id
    # A container does not see the worker's SQLite file.
    assert mlflow_variables(folder.path, "train", folder.uri) == {}
    assert mlflow_variables(folder.path, "train", "http://mlflow:5000") == {"MLFLOW_TRACKING_URI": "http://mlflow:5000"}


def test_a_real_server(tmp_path: Path, mlflow_server: str) -> None:
    folder = RunFolder(tmp_path / "store/runs/digits/two", mlflow_server).describe("train", parameters={"a": 1})
    assert open_run(folder.path, mlflow_server)
    attempt = folder.attempt("train")
    (attempt / "artifacts/outputs").mkdir(parents=True)
    (attempt / "artifacts/outputs/m.txt").write_text("x")
    folder.log("train", *(scalar("loss", index) for index in range(1500)))
    folder.log("train", {"type": "model", "name": "m", "path": "outputs/m.txt"})
    folder.result("train")
    assert close_run(folder.path, "Finished", {"train": "success"})
    store = Store(MlflowClient(mlflow_server))
    train = store.step("train")
    assert len(store.points(train, "loss")) == 1500
    assert "outputs/m.txt" in store.files(train)
    assert store.client.get_model_version("m", "1").run_id == train.info.run_id
