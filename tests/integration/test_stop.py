"""A person, or ``aml reap``, ends steps: processes, containers and pods go away, and the run's record is closed."""

from __future__ import annotations

import subprocess
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
    """What became of a run's held steps after somebody stopped them: kind -> seconds until it was gone.

    :param recorded: how the run's record said that it had ended, meanwhile.
    """

    run: Run
    gone: dict[str, float]
    recorded: set[str]


def stop(run: Run, way: str, kinds: list[str]) -> Stopped:
    before = {kind: set(run.held(kind)) for kind in kinds}
    started: dict[str, float] = {}
    gone: dict[str, float] = {}
    recorded: set[str] = set()

    def watch() -> None:
        while len(gone) < len(kinds) and time.monotonic() - max(started.values(), default=begun) < 4 * SECONDS:
            for kind in set(kinds) - set(gone):
                if not before[kind] & set(run.held(kind)):
                    gone[kind] = time.monotonic()
            if (end := run.end()) is not None:
                recorded.add(end["state"])
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
    return Stopped(run, {kind: moment - started[kind] for kind, moment in gone.items()}, recorded)


@pytest.fixture(scope="module")
def kinds(available: set[str]) -> list[str]:
    """The compute targets of the hold pipeline."""
    return ["local", *sorted(available), *(["deferred"] if "kubernetes" in available else [])]


@pytest.fixture(scope="module")
def held(server: Server, pools: None, kinds: list[str]) -> dict[str, Run]:
    """A run for each way of stopping its steps, and one whose workers are lost; all steps are under way."""
    runs = {way: server.hold(way) for way in (*WAYS, "orphans")}
    for run in runs.values():
        run.await_held(*kinds)
    return runs


@dataclass
class Reaped:
    """What ``aml reap`` said, and what ran before, between and after: (run, kind) -> ids."""

    said: list[subprocess.CompletedProcess[str]]
    ran: list[dict[tuple[str, str], list[str]]]


@pytest.fixture(scope="module")
def reaped(server: Server, held: dict[str, Run], available: set[str]) -> Reaped:
    """``aml reap`` when a machine with workers was lost, and somebody marked its tasks before Airflow noticed."""
    done = Reaped([], [])
    # Whoever closes the run removes pods that nobody follows, too.
    held["orphans"].mark("pipeline_end", "success")
    for kind in sorted(available):
        kill_worker(held["orphans"], kind)
        held["orphans"].mark(kind, "failed")

    def running() -> dict[tuple[str, str], list[str]]:
        return {(name, kind): held[name].held(kind) for name in ("orphans", "cancelled") for kind in available}

    done.ran.append(running())
    for more in (["--dry-run"], []):
        done.said.append(server.aml("reap", *more))
        done.ran.append(running())
    return done


@pytest.fixture(scope="module")
def stopped(held: dict[str, Run], reaped: Reaped, kinds: list[str]) -> dict[str, Stopped]:
    """Every way of stopping steps, one after the other."""
    return {way: stop(held[way], way, kinds) for way in WAYS}


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
    # Airflow lets a cancelled run go on until its closing task has run.
    assert stopped[way].recorded <= {"Failed", "Canceled"}
    if way in ("failed", "cancelled"):
        # Whoever followed it: a worker, or the triggerer alone.
        assert {kind: (run.step(kind).result() or {}).get("state") for kind in kinds} == dict.fromkeys(
            kinds, "Canceled"
        )
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


@pytest.mark.parametrize(("kind", "thing"), [("docker", "container"), ("kubernetes", "pod")])
@pytest.mark.docker
@pytest.mark.kubernetes
def test_reap_removes_orphans_and_keeps_what_is_alive(
    held: dict[str, Run], reaped: Reaped, kind: str, thing: str, kubeconfig: Path
) -> None:
    orphan, living = (f"{thing} {held[name].step_run_id(kind)}-1" for name in ("orphans", "cancelled"))
    before, looked, _ = (ran["orphans", kind] for ran in reaped.ran)
    assert [done.returncode for done in reaped.said] == [0, 0], reaped.said[-1].stderr
    dry, real = (done.stdout for done in reaped.said)
    assert f"{orphan}: would be removed (its task is failed)" in dry
    assert len(before) == 1
    assert looked == before, "a dry run removes nothing"
    assert f"{orphan}: removed (its task is failed)" in real
    left = (lambda: containers(orphan_id)) if kind == "docker" else (lambda: pods(kubeconfig, orphan_id))
    orphan_id = held["orphans"].step_run_id(kind)
    eventually(f"the {thing} is gone", lambda: not left(), seconds=60)
    for said in (dry, real):
        assert f"{living}: its task is still live, kept" in said
    assert len({tuple(ran["cancelled", kind]) for ran in reaped.ran}) == 1
    held["orphans"].cancel()
