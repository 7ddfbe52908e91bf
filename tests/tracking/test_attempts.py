"""A retry has an MLflow run of its own: that of the failed attempt says so, and keeps what it had logged."""

from __future__ import annotations

import json

import pytest
from mlflow.entities import Run

from aml_provider.tracking.attempts import open_attempt
from aml_provider.tracking.environment import mlflow_variables
from aml_provider.tracking.recorder import close_run, open_run, reconcile

from .conftest import RunFolder, Store, scalar


def attempts(store: Store, task: str) -> list[Run]:
    """The step's runs, its attempts in order."""
    found = [run for run in store.runs() if run.data.tags.get("aml.task_id") == task]
    return sorted(found, key=lambda run: run.info.start_time)


def test_a_killed_worker_leaves_a_failed_run_and_the_retry_has_its_own(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    (folder.attempt("train", 1) / "logs/std_log.txt").write_text("first\n")
    folder.log("train", scalar("loss", 3), scalar("loss", 2))
    reconcile(folder.path)
    # The worker dies here: no report, no result.
    folder.log("train", scalar("loss", 1.5))
    folder.attempt("train", 2)
    folder.log("train", scalar("loss", 1), attempt=2)
    for _ in range(2):
        reconcile(folder.path)
        first, second = attempts(store, "train")
        assert [first.info.status, second.info.status] == ["FAILED", "RUNNING"]
    assert store.points(first, "loss") == [(0, 3.0), (1, 2.0), (2, 1.5)]
    assert "logs/std_log.txt" in store.files(first)
    assert "worker was lost" in first.data.tags["aml.error"]
    assert first.data.tags["aml.attempt"] == "1"
    assert store.points(second, "loss") == [(0, 1.0)]
    assert second.info.run_name == "the train (attempt 2)"
    assert second.data.tags["mlflow.parentRunId"] == store.parent().info.run_id
    assert second.data.params == first.data.params

    folder.result("train", attempt=2)
    close_run(folder.path, "Finished", {"train": "success"})
    assert [run.info.status for run in attempts(store, "train")] == ["FAILED", "FINISHED"]
    assert store.parent().info.status == "FINISHED"


def test_a_script_that_failed_and_is_retried(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train", 1)
    folder.result("train", "Failed", error="exit code 3", exit_code=3)
    reconcile(folder.path)
    folder.attempt("train", 2)
    folder.result("train", "Failed", attempt=2, error="exit code 4", exit_code=4)
    close_run(folder.path, "Failed", {"train": "failed"})
    first, second = attempts(store, "train")
    assert [first.info.status, second.info.status] == ["FAILED", "FAILED"]
    assert [first.data.tags["aml.error"], second.data.tags["aml.error"]] == ["exit code 3", "exit code 4"]


def test_a_step_that_succeeded_and_was_cleared(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train", 1)
    folder.log("train", scalar("loss", 3))
    folder.result("train")
    close_run(folder.path, "Finished", {"train": "success"})
    folder.attempt("train", 2)
    folder.log("train", scalar("loss", 1), attempt=2)
    reconcile(folder.path)
    assert [run.info.status for run in attempts(store, "train")] == ["FINISHED", "RUNNING"]
    assert store.parent().info.status == "RUNNING"
    close_run(folder.path, "Canceled", {"train": "removed"})
    first, second = attempts(store, "train")
    assert [first.info.status, second.info.status] == ["FINISHED", "KILLED"]
    assert [first.data.metrics, second.data.metrics] == [{"loss": 3.0}, {"loss": 1.0}]
    assert store.parent().info.status == "KILLED"


def test_a_step_that_was_stopped_and_runs_again(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train", 1)
    reconcile(folder.path)
    # A person clears the task while it runs, and MLflow hears of that late.
    folder.result("train", "Canceled", error="stopped before it had ended")
    folder.attempt("train", 2)
    reconcile(folder.path)
    first, second = attempts(store, "train")
    assert [first.info.status, second.info.status] == ["KILLED", "RUNNING"]
    assert first.data.tags["aml.error"] == "stopped before it had ended"


def test_a_step_that_never_ran_uses_its_run_when_it_runs(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    close_run(folder.path, "Failed", {"train": "upstream_failed"})
    assert store.step("train").info.status == "KILLED"
    folder.attempt("train", 1)
    folder.result("train")
    reconcile(folder.path)
    assert store.step("train").info.status == "FINISHED"


def test_a_reused_step_that_is_cleared_keeps_the_reused_result(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    folder.result("train", attempt=0, reused={"how": "fingerprint", "fingerprint": "f"}, metrics={"loss": 5})
    open_run(folder.path, folder.uri)
    reconcile(folder.path)
    folder.attempt("train", 2)
    folder.log("train", scalar("loss", 1), attempt=2)
    folder.result("train", attempt=2)
    reconcile(folder.path)
    first, second = attempts(store, "train")
    assert [first.data.metrics, second.data.metrics] == [{"loss": 5.0}, {"loss": 1.0}]
    assert first.data.tags["aml.reused"] == "true"
    assert "aml.reused" not in second.data.tags


def test_a_retry_that_finds_an_earlier_result(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train", 1)
    folder.log("train", scalar("loss", 3))
    reconcile(folder.path)
    # The worker dies, and another run computes the same.
    folder.result("train", attempt=1, reused={"how": "fingerprint", "fingerprint": "f"}, metrics={"loss": 5})
    for _ in range(2):
        close_run(folder.path, "Finished", {"train": "skipped"})
        first, second = attempts(store, "train")
        assert [first.info.status, second.info.status] == ["FAILED", "FINISHED"]
        assert [first.data.metrics, second.data.metrics] == [{"loss": 3.0}, {"loss": 5.0}]
        assert "aml.reused" not in first.data.tags


def test_a_step_whose_own_result_is_reused_again_has_no_other_run(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train", 1)
    folder.result("train")
    reconcile(folder.path)
    # Somebody has cleared the whole run.
    folder.result("train", attempt=1, reused={"how": "fingerprint", "fingerprint": "f"}, metrics={})
    close_run(folder.path, "Finished", {"train": "skipped"})
    assert store.step("train").info.status == "FINISHED"


def test_a_retrys_own_mlflow_calls_land_in_its_own_run(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)

    def named(attempt: int) -> str | None:
        return mlflow_variables(folder.path, "train", folder.uri, attempt=attempt, same_machine=True).get(
            "MLFLOW_RUN_ID"
        )

    open_attempt(folder.path, "train", 1)
    assert named(1) == store.step("train").info.run_id
    # Nobody had told MLflow of the first attempt when its worker died.
    folder.attempt("train", 1)
    assert named(2) is None
    for _ in range(2):
        open_attempt(folder.path, "train", 2)
        first, second = attempts(store, "train")
        assert [first.info.status, second.info.status] == ["FAILED", "RUNNING"]
        assert named(2) == second.info.run_id
    # The retry of a durable step goes on with the container of the attempt before: no new run.
    folder.attempt("train", 2)
    reconcile(folder.path)
    assert len(attempts(store, "train")) == 2


@pytest.mark.parametrize("lost", ["what was written last", "everything"])
def test_after_a_crash_the_retrys_run_is_found_again(folder: RunFolder, store: Store, lost: str) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train", 1)
    reconcile(folder.path)
    before = (folder.path / "tracking.json").read_text()
    folder.attempt("train", 2)
    folder.log("train", scalar("loss", 1), attempt=2)
    reconcile(folder.path)
    known = {run.info.run_id for run in store.runs()}
    (folder.path / "tracking.json").unlink()
    if lost == "what was written last":
        (folder.path / "tracking.json").write_text(before)
    folder.result("train", attempt=2)
    open_run(folder.path, folder.uri)
    assert reconcile(folder.path)
    assert {run.info.run_id for run in store.runs()} == known
    assert [run.info.status for run in attempts(store, "train")] == ["FAILED", "FINISHED"]
    assert store.points(attempts(store, "train")[1], "loss") == [(0, 1.0)]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("success", "FINISHED"),
        ("failed", "FAILED"),
        ("upstream_failed", "KILLED"),
        ("skipped", "KILLED"),
        ("removed", "KILLED"),
        ("running", "KILLED"),
        ("up_for_retry", "KILLED"),
        ("restarting", "KILLED"),
        ("Canceled", "KILLED"),
        ("Finished", "FINISHED"),
        ("Failed", "FAILED"),
    ],
)
def test_every_final_state(folder: RunFolder, store: Store, state: str, status: str) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    folder.attempt("train")
    reconcile(folder.path)
    assert close_run(folder.path, "Failed", {"train": state})
    run = store.step("train")
    assert run.info.status == status
    assert run.info.end_time is not None
    assert json.loads((folder.path / "tracking.json").read_text())["steps"]["train"]["status"] == status
