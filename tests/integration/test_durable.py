"""Workers die in the middle of long steps; what the steps have done is not lost, and nothing half-done is seen."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .machine import alive, containers, eventually, pods
from .server import Run, Server, kill_runner, kill_worker

pytestmark = pytest.mark.airflow
DURABLE = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("kubernetes", marks=pytest.mark.kubernetes),
]
LIVES = ["killed", "lost"]


class Watcher:
    """Looks all the time at the places where outputs are published, and keeps what it sees there unfinished."""

    def __init__(self, finals: list[Path]) -> None:
        self.finals, self.seen = finals, set[tuple[str, ...]]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            for final in self.finals:
                if final.exists():
                    names = tuple(sorted(path.name for path in final.rglob("*")))
                    if names != ("first", "second"):
                        self.seen.add((final.name, *names))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@dataclass
class Story:
    """A run whose workers were ended while its steps were held, told by what was there before and after."""

    run: Run
    watcher: Watcher
    before: dict[str, list[str]] = field(default_factory=dict)
    after: dict[str, list[str]] = field(default_factory=dict)
    pods: list[Any] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def stories(server: Server, pools: None, available: set[str]) -> Iterator[dict[str, Story]]:
    """Two runs: in one the tasks' processes are killed, in the other the supervisors above them as well."""
    kinds = ["local", *sorted(available)]
    told = {}
    for life in LIVES:
        run = server.hold(life)
        finals = [server.store / "hold" / run.step_run_id(kind) / f"held_{kind}" for kind in kinds]
        told[life] = Story(run, Watcher(finals))
    for story in told.values():
        story.run.await_held(*kinds)
        story.before = {kind: story.run.held(kind) for kind in kinds}
        if "kubernetes" in kinds:
            story.pods = pods(server.kubeconfig, story.run.step_run_id("kubernetes"))
    for kind in kinds:
        kill_worker(told["lost"].run, kind)
        kill_runner(told["killed"].run, kind)
    for story in told.values():
        for kind in kinds:
            eventually(f"{kind} is tried again", lambda k=kind, r=story.run: second_try(r, k), seconds=240)
        story.after = {kind: story.run.held(kind) for kind in kinds}
        story.run.release()
    for story in told.values():
        story.run.wait()
    yield told
    for story in told.values():
        story.watcher.stop()


def second_try(run: Run, kind: str) -> bool:
    task = run.task(kind)
    assert task["state"] not in ("failed", "success"), f"{kind} is {task['state']}: {run.log(kind)}"
    if (task["try_number"], task["state"]) != (2, "running"):
        return False
    return run.ticking("local", 2) if kind == "local" else "tick" in run.log(kind, 2)


def numbers(log: str) -> list[int]:
    return [int(n) for n in re.findall(r"^tick (\d+)$", log, re.MULTILINE)]


@pytest.mark.parametrize("life", LIVES)
def test_the_run_succeeds_after_all(stories: dict[str, Story], life: str) -> None:
    run = stories[life].run
    assert run.state() == "success", run.states()
    gathered = run.server.store / run.xcom("gather")["gathered"]["path"]
    held = [task for task in run.states() if task in ("local", "docker", "kubernetes", "deferred")]
    assert len(re.findall(r"half\n\d+ ticks\n", gathered.read_text())) == len(held)


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("kind", DURABLE)
def test_the_retry_follows_what_still_runs(stories: dict[str, Story], life: str, kind: str) -> None:
    story = stories[life]
    assert len(story.before[kind]) == 1
    assert story.after[kind] == story.before[kind], "the retry started another one"
    assert [a.number for a in story.run.step(kind).attempts()] == [1]
    assert story.run.task(kind)["try_number"] == 2
    assert (story.run.step(kind).result() or {})["attempt"] == 1


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("kind", DURABLE)
def test_its_log_is_whole_in_the_runs_folder(stories: dict[str, Story], life: str, kind: str) -> None:
    run = stories[life].run
    log = run.step(kind).attempt(1).log.read_text()
    ticks = numbers(log)
    assert ticks == list(range(1, ticks[-1] + 1))
    assert log.endswith(f"end {ticks[-1]}\n")
    assert (run.step(kind).result() or {})["metrics"] == {"ticks": ticks[-1]}
    assert f"end {ticks[-1]}" in run.log(kind, 2), "Airflow shows the end in the log of the second try"


@pytest.mark.parametrize("life", LIVES)
def test_a_local_step_ends_with_its_worker_and_starts_over(stories: dict[str, Story], life: str) -> None:
    story = stories[life]
    (before,), (after,) = story.before["local"], story.after["local"]
    assert before != after
    assert not alive(int(before))
    assert [a.number for a in story.run.step("local").attempts()] == [1, 2]
    assert (story.run.step("local").result() or {})["attempt"] == 2
    # It was stopped in the middle: no end, and no report that somebody could take for one.
    first = story.run.step("local").attempt(1)
    assert "\nend " not in first.log.read_text()
    assert first.finished_report() is None


@pytest.mark.parametrize("life", LIVES)
def test_nothing_half_written_is_ever_seen_and_nothing_is_left(
    stories: dict[str, Story], life: str, kubeconfig: Path, available: set[str]
) -> None:
    story = stories[life]
    assert all(final.is_dir() for final in story.watcher.finals)
    assert story.watcher.seen == set()
    for kind in ("local", *available):
        assert story.run.staged(kind) == []
        assert story.run.held(kind) == []
    if "docker" in available:
        assert containers(story.run.step_run_id("docker")) == []
    if "kubernetes" in available:
        name = story.run.step_run_id("kubernetes")
        eventually("the pod is gone", lambda: not pods(kubeconfig, name), seconds=60)


@pytest.mark.kubernetes
def test_a_pod_has_a_deadline_and_says_whose_it_is(stories: dict[str, Story]) -> None:
    (pod,) = stories["killed"].pods
    assert pod.spec.active_deadline_seconds > 0
    assert pod.metadata.labels["aml.owner"] == "airflow-provider-aml"
    assert pod.metadata.labels["aml.attempt"] == "1"
    assert pod.metadata.annotations["aml.dag-id"] == "hold"
    assert pod.metadata.name == f"{stories['killed'].run.step_run_id('kubernetes')}-1"
    assert [c.name for c in pod.spec.containers] == ["base"], "no sidecar"
