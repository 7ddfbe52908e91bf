"""MLflow goes away and comes back: every point is there, once, and every run has its end."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from aml_provider.runtime.run import Run
from aml_provider.runtime.store import StepStore
from aml_provider.tracking import pending
from aml_provider.tracking.follower import Follower
from aml_provider.tracking.recorder import close_run, open_run
from tests.mlflow_server import free_port, serving
from tests.reuse.machines import until

from .conftest import RunFolder, Store, scalar


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is away is looked for at once and often."""
    monkeypatch.setattr("aml_provider.tracking.follower._IMPORT_AFTER_SECONDS", 0.0)
    monkeypatch.setattr("aml_provider.tracking.follower._LONGEST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr("aml_provider.tracking.client._PROBE_HOLDS_SECONDS", 0.0)


def test_a_server_killed_and_restarted_during_a_run_has_every_point_once(
    folder: RunFolder, uri: str, tmp_path: Path, impatient: None
) -> None:
    port = free_port()
    served = replace(folder, uri=f"http://127.0.0.1:{port}").describe("train")
    served.attempt("train")
    logged = iter(range(10_000))

    def log(count: int) -> int:
        points = [next(logged) for _ in range(count)]
        served.log("train", *(scalar("loss", point) for point in points))
        return points[-1]

    with Follower(served.path, served.uri):
        with serving(uri, tmp_path, port) as address:
            assert open_run(served.path, address)
            store = Store(MlflowClient(uri))
            last = log(50)
            until(lambda: last in values(store), "the last point has arrived")
        # Killed: the run goes on, and goes on reporting.
        log(50)
        time_of_silence = values(store)
        with serving(uri, tmp_path, port):
            last = log(50)
            until(lambda: last in values(store), "the last point has arrived")
            served.result("train")
            assert close_run(served.path, "Finished", {"train": "success"})
    assert time_of_silence == list(range(50))
    assert store.points(store.step("train"), "loss") == [(step, float(step)) for step in range(150)]
    assert (store.step("train").info.status, store.parent().info.status) == ("FINISHED", "FINISHED")


def test_a_run_that_ended_while_mlflow_was_away_is_told_of_by_the_next(
    folder: RunFolder, store: Store, tmp_path: Path, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    state, away = tmp_path / "state", tmp_path / "away"
    state.rename(away)
    state.write_text("where the folder of MLflow's database was")
    runs = {name: RunFolder(folder.path.parent / name, folder.uri) for name in ("failed", "finished", "next")}
    for name, run in runs.items():
        run.describe("train")
        run.attempt("train")
        run.log("train", scalar("loss", len(name)))
        run.result("train", "Failed" if name == "failed" else "Finished")
        end = {"state": name.title(), "ended": 1700000000.5, "steps": {}}
        (run.path / "end.json").write_text(json.dumps(end))
    for name in ("failed", "finished"):
        assert not close_run(runs[name].path, name.title(), tracking_uri=folder.uri)
    assert "goes to MLflow when this works again" in caplog.text
    state.unlink()
    away.rename(state)
    assert close_run(runs["next"].path, "Finished", tracking_uri=folder.uri)
    parents = {r.data.tags["aml.pipeline_run_id"]: r for r in store.runs() if "mlflow.parentRunId" not in r.data.tags}
    assert {name: run.info.status for name, run in parents.items()} == {
        "digits-failed": "FAILED",
        "digits-finished": "FINISHED",
        "digits-next": "FINISHED",
    }
    assert parents["digits-failed"].info.end_time == 1700000000500
    steps = {r.data.metrics["loss"]: r.info.status for r in store.runs() if "aml.task_id" in r.data.tags}
    assert steps == {6.0: "FAILED", 8.0: "FINISHED", 4.0: "FINISHED"}
    assert not list((tmp_path / "store" / "untold").iterdir())


def test_an_address_that_is_of_no_use_any_more_keeps_no_other_run_from_being_told_of(
    folder: RunFolder, store: Store, impatient: None
) -> None:
    names = [f"lost-{number}" for number in range(5)]
    gone = f"http://127.0.0.1:{free_port()}"
    for name in (*names, "told", "next"):
        run = RunFolder(folder.path.parent / name, gone if name in names else folder.uri).describe("train")
        (run.path / "end.json").write_text(json.dumps({"state": "Finished", "steps": {}}))
        if name != "next":
            open_run(run.path, run.uri)
            pending.remember(run.path, "Finished", "it was away")
    assert close_run(folder.path.parent / "next", "Finished", tracking_uri=folder.uri)
    assert {run.info.status for run in store.runs() if "mlflow.parentRunId" not in run.data.tags} == {"FINISHED"}
    left = [pending.why_untold(folder.path.parent / name) for name in (*names, "told")]
    assert [why is None for why in left] == [False] * 5 + [True]


def test_fifty_steps_log_at_once_and_nothing_is_lost_or_mixed(folder: RunFolder, store: Store, impatient: None) -> None:
    names = [f"step_{number}" for number in range(50)]
    folder.describe(*names)
    attempts = {name: folder.attempt(name) for name in names}
    together = threading.Barrier(len(names))

    def step(number: int, name: str) -> None:
        run = Run(None, name, _store=StepStore(str(attempts[name]), str(attempts[name])))
        together.wait()
        for point in range(40):
            run.log("loss", number * 1000 + point)
            run.tag("last", point)

    assert open_run(folder.path, folder.uri)
    with Follower(folder.path, folder.uri), Follower(folder.path, folder.uri), ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(step, range(len(names)), names))
    for name in names:
        folder.result(name)
    assert close_run(folder.path, "Finished")
    for number, name in enumerate(names):
        run = store.step(name)
        assert store.points(run, "loss") == [(point, float(number * 1000 + point)) for point in range(40)]
        assert (run.data.tags["last"], run.info.status) == ("39", "FINISHED")


def values(store: Store) -> list[float]:
    return [value for _, value in store.points(store.step("train"), "loss")]
