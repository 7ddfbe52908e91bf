"""A person, or ``aml reap``, ends steps: processes, containers and pods go away, and the run's record is closed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from .machine import containers, eventually, pods
from .server import Run, Server, kill_worker

pytestmark = pytest.mark.airflow
KINDS = [
    "local",
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("kubernetes", marks=pytest.mark.kubernetes),
    pytest.param("deferred", marks=pytest.mark.kubernetes),
]
WAYS = ["failed", "success", "cleared", "cancelled"]
SECONDS = 15


@dataclass
class Stopped:
    """What became of a run's held steps after somebody stopped them: kind -> seconds until it was gone."""

    run: Run
    gone: dict[str, float]


def stop(run: Run, way: str, kinds: list[str]) -> Stopped:
    before = {kind: set(run.held(kind)) for kind in kinds}
    started: dict[str, float] = {}
    gone: dict[str, float] = {}

    def watch() -> None:
        while len(gone) < len(kinds) and time.monotonic() - max(started.values(), default=begun) < 4 * SECONDS:
            for kind in set(kinds) - set(gone):
                if not before[kind] & set(run.held(kind)):
                    gone[kind] = time.monotonic()
            time.sleep(0.1)

    begun = time.monotonic()
    watcher = threading.Thread(target=watch)
    watcher.start()
    if way == "cancelled":
        started = dict.fromkeys(kinds, begun)
        run.cancel()
    elif way == "cleared":
        started = dict.fromkeys(kinds, begun)
        run.clear(*kinds)
    else:
        for kind in kinds:
            started[kind] = time.monotonic()
            run.mark(kind, way)
    watcher.join()
    return Stopped(run, {kind: moment - started[kind] for kind, moment in gone.items()})


@pytest.fixture(scope="module")
def kinds(available: set[str]) -> list[str]:
    """The compute targets of the hold pipeline."""
    return ["local", *sorted(available), *(["deferred"] if "kubernetes" in available else [])]


@pytest.fixture(scope="module")
def stopped(server: Server, pools: None, kinds: list[str]) -> dict[str, Stopped]:
    """One run for each way of stopping its steps."""
    runs = {way: server.hold(way) for way in WAYS}
    for run in runs.values():
        run.await_held(*kinds)
    return {way: stop(run, way, kinds) for way, run in runs.items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_ran_is_gone_within_seconds(stopped: dict[str, Stopped], way: str, kind: str) -> None:
    assert kind in stopped[way].gone, f"still there: {stopped[way].run.held(kind)}"
    assert stopped[way].gone[kind] < SECONDS


@pytest.mark.parametrize("way", ["failed", "success", "cancelled"])
def test_the_run_ends_as_failed_and_leaves_nothing_staged(
    stopped: dict[str, Stopped], way: str, kinds: list[str]
) -> None:
    run = stopped[way].run
    assert run.wait() == "failed", run.states()
    if way == "success":
        # A step marked as a success has no output: its reader says so.
        assert "has no recorded output" in run.log("gather")
    for kind in kinds:
        eventually(f"what {kind} had staged is removed", lambda k=kind: not run.staged(k), seconds=60)
        assert not (run.server.store / "hold" / run.step_run_id(kind)).exists(), "published by a stopped step"


@pytest.mark.parametrize("way", WAYS)
def test_mlflow_does_not_show_it_as_running(stopped: dict[str, Stopped], way: str, server: Server) -> None:
    run = stopped[way].run
    if way == "cleared":
        run.release()
    run.wait()
    client = MlflowClient(server.workspace.tracking_uri)
    experiment = client.get_experiment_by_name("hold")
    assert experiment is not None
    wanted = f"tags.`aml.run_id` = '{run.run_id}'"

    def statuses() -> dict[str, str]:
        found = client.search_runs([experiment.experiment_id], wanted)
        known = {r.data.tags.get("aml.task_id", "the run"): r.info.status for r in found}
        return known if not {"RUNNING", "SCHEDULED"} & set(known.values()) else {}

    known = eventually("all MLflow runs are in a final state", statuses, seconds=120)
    assert known["the run"] in {"cleared": ("FINISHED",), "success": ("FAILED",)}.get(way, ("FAILED", "KILLED"))


def test_a_cleared_step_runs_again(stopped: dict[str, Stopped], kinds: list[str]) -> None:
    run = stopped["cleared"].run
    run.release()
    assert run.wait() == "success", run.states()
    for kind in kinds:
        # The second try may have begun before the first one was stopped, and then have lost what it followed.
        assert (run.step(kind).result() or {})["attempt"] in (2, 3)
        assert run.staged(kind) == []


@pytest.mark.docker
@pytest.mark.kubernetes
def test_reap_removes_orphans_and_keeps_what_is_alive(server: Server, pools: None, kubeconfig: Path) -> None:
    both = ("docker", "kubernetes")
    orphans, living = server.hold("orphans"), server.hold("living")
    for run in (orphans, living):
        run.await_held(*both)
    # The machine with the workers is lost, and somebody marks the tasks before Airflow notices: nobody stops anything.
    for kind in both:
        kill_worker(orphans, kind)
        orphans.mark(kind, "failed")
    names = {(run.gate, kind): f"{run.step_run_id(kind)}-1" for run in (orphans, living) for kind in both}

    looked = server.aml("reap", "--dry-run")
    assert looked.returncode == 0, looked.stderr
    for kind, thing in (("docker", "container"), ("kubernetes", "pod")):
        assert f"{thing} {names['orphans', kind]}: would be removed (its task is failed)" in looked.stdout
        assert f"{thing} {names['living', kind]}: its task is still live, kept" in looked.stdout
        assert len(orphans.held(kind)) == 1

    reaped = server.aml("reap")
    assert reaped.returncode == 0, reaped.stderr
    assert f"container {names['orphans', 'docker']}: removed (its task is failed)" in reaped.stdout
    assert containers(orphans.step_run_id("docker")) == []
    eventually("the pod is gone", lambda: not pods(kubeconfig, orphans.step_run_id("kubernetes")), seconds=60)
    for kind in both:
        assert len(living.held(kind)) == 1
    for run in (orphans, living):
        run.cancel()
