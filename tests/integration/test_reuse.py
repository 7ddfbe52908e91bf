"""Reuse on a real scheduler: what has been computed is not computed again, and never by two runs at once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from aml_provider.runs.layout import RunStore

from .machine import eventually
from .server import Run, Server, kill_worker

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("pools")]
STEPS = ("first", "second", "third")
LOCAL = "counted-local"
ON_KUBERNETES = pytest.param("counted-deferred", marks=pytest.mark.kubernetes)


@dataclass
class Story:
    """Runs of one pipeline with a salt with which nobody has computed anything before."""

    server: Server
    dag: str = LOCAL
    conf: dict[str, Any] = field(default_factory=dict)
    salt: str = field(default_factory=lambda: uuid.uuid4().hex)
    begun: list[Run] = field(default_factory=list)

    def begin(self, count: int = 1, dag: str = "", **conf: Any) -> Story:
        triggered = [self.server.trigger(dag or self.dag, salt=self.salt, **self.conf, **conf) for _ in range(count)]
        self.begun += triggered
        return self

    def run(self, dag: str = "", **conf: Any) -> Run:
        """One more, that has succeeded."""
        run = self.begin(dag=dag, **conf).begun[-1]
        assert run.wait() == "success", run.states()
        return run

    def first(self) -> Run:
        assert self.begun[0].wait() == "success", self.begun[0].states()
        return self.begun[0]


@pytest.fixture(scope="module")
def stories(server: Server, pools: None, available: set[str]) -> dict[str, Story]:
    """All stories that begin with a run that has to compute: these need not wait for each other."""
    begun = {name: Story(server).begin(build_number=1) for name in ("plain", "cleared", "regenerated")}
    if available >= {"docker", "kubernetes"}:
        begun["container"] = Story(server, "counted-docker").begin()
    for dag in (LOCAL, *(["counted-deferred"] if "kubernetes" in available else [])):
        begun[dag] = Story(server, dag, {"seconds": 2.0}).begin(2)
    return begun


def counts(*runs: Run) -> dict[str, int]:
    """How often each script has really computed, as it says itself, in these runs together."""
    told = dict.fromkeys(STEPS, 0)
    for run in runs:
        for step in STEPS:
            logs = [attempt.log for attempt in run.step(step).attempts()]
            told[step] += sum(log.read_text().count("computed\n") for log in logs if log.is_file())
    return told


def texts(run: Run) -> dict[str, str]:
    """What the run's steps have as their outputs, wherever it was computed."""
    skipped = run.xcom("reuse")
    found = {}
    for step in STEPS:
        (place,) = (skipped.get(step) or run.xcom(step)).values()
        found[step] = (run.server.store / place["path"] / "text").read_text()
    return found


def written(salt: str) -> dict[str, str]:
    return {step: f"{salt}\n" * number for number, step in enumerate(STEPS, 1)}


@pytest.mark.parametrize("dag", [LOCAL, ON_KUBERNETES])
def test_two_runs_started_together_compute_each_step_once(stories: dict[str, Story], dag: str) -> None:
    story = stories[dag]
    one, two = story.begun
    assert (one.wait(), two.wait()) == ("success", "success"), (one.states(), two.states())
    assert counts(one, two) == dict.fromkeys(STEPS, 1)
    assert texts(one) == texts(two) == written(story.salt)


def test_another_build_number_reuses_everything_in_one_task(stories: dict[str, Story]) -> None:
    story = stories["plain"]
    one = story.first()
    two = story.run(build_number=2)
    states = two.states()
    assert states.pop("reuse") == "success"
    assert set(states.values()) == {"skipped"}
    assert counts(two) == dict.fromkeys(STEPS, 0)
    assert texts(two) == written(story.salt)
    assert "3 of 3 steps reused" in two.log("reuse")
    assert_mlflow_says_whose_results_they_are(one, two)


def assert_mlflow_says_whose_results_they_are(one: Run, two: Run) -> None:
    client = MlflowClient(two.server.workspace.tracking_uri)
    experiment = client.get_experiment_by_name(LOCAL)
    assert experiment is not None
    wanted = f"tags.`aml.run_id` = '{two.run_id}'"

    def ended() -> list[Any]:
        runs = client.search_runs([experiment.experiment_id], wanted)
        return runs if len(runs) == len(STEPS) + 1 and {r.info.status for r in runs} == {"FINISHED"} else []

    found = eventually("MLflow, which is told a moment after Airflow, knows the end", ended)
    steps = {r.data.tags["aml.task_id"]: r for r in found if "aml.task_id" in r.data.tags}
    assert set(steps) == set(STEPS)
    for name, run in steps.items():
        assert run.data.tags["aml.reused"] == "true"
        assert run.data.tags["aml.reused.step_run_id"] == one.step_run_id(name)
    (parent,) = [r for r in found if "aml.task_id" not in r.data.tags]
    assert parent.data.tags["aml.reused"] == "3 of 3 steps"


def test_a_step_that_a_person_clears_runs_and_what_comes_after_is_looked_at_again(stories: dict[str, Story]) -> None:
    story = stories["cleared"]
    story.first()
    two = story.run()
    two.clear("second")
    eventually("the cleared step has run", lambda: two.states()["second"] == "success", seconds=120)
    assert counts(two) == {"first": 0, "second": 1, "third": 0}
    assert two.wait() == "success"
    # With the closing task, which Airflow starts at once, because the last step has ended well.
    two.clear("second", "pipeline_end")
    eventually("the cleared step has run again", lambda: counts(two)["second"] == 2, seconds=120)
    assert two.wait() == "success", two.log("pipeline_end")
    assert (two.end() or {})["state"] == "Finished"
    three = story.run()
    (place,) = three.xcom("reuse")["second"].values()
    assert two.step_run_id("second") in place["path"], "the result of the cleared step has taken the old one's place"


def test_a_run_that_regenerates_its_outputs_computes_everything(stories: dict[str, Story]) -> None:
    story = stories["regenerated"]
    story.first()
    again = story.run(regenerate_outputs=True)
    assert counts(again) == dict.fromkeys(STEPS, 1)
    assert texts(again) == written(story.salt)


@pytest.fixture(scope="module")
def held(server: Server, pools: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Story]:
    """Runs that compute their first step until a gate opens, and others that wait for it in the triggerer.

    One gate is closed; the other has been opened when all had waited.
    """
    folder = tmp_path_factory.mktemp("held")
    killed = Story(server, conf={"gate": str(folder / "killed")})
    failing = Story(server, conf={"gate": str(folder / "failing"), "fails_without": str(folder / "marker")})
    for story in (killed.begin(), failing.begin()):
        owner = story.begun[0]
        eventually("the first run computes", lambda owner=owner: counts(owner)["first"] == 1, seconds=120)
    waiting = killed.begin(1).begun[1:] + failing.begin(2).begun[1:]
    eventually("the others wait", lambda: {r.states()["first"] for r in waiting} == {"deferred"}, seconds=180)
    (folder / "failing").touch()
    return {"killed": killed, "failing": failing}


def test_the_claim_of_a_killed_worker_is_taken_over(held: dict[str, Story]) -> None:
    story = held["killed"]
    one, two = story.begun
    kill_worker(one, "first")
    eventually("the second run computes", lambda: counts(two)["first"] == 1, seconds=120)
    Path(story.conf["gate"]).touch()
    assert two.wait() == "success", two.states()
    assert one.wait() == "success", one.states()
    assert texts(one) == texts(two) == written(story.salt)
    assert counts(one, two)["second"] == counts(one, two)["third"] == 1


def test_when_the_owner_fails_one_of_those_who_wait_goes_on(held: dict[str, Story]) -> None:
    one, *others = held["failing"].begun
    assert one.wait() == "failed"
    assert [r.wait() for r in others] == ["success", "success"], [r.states() for r in others]
    assert counts(one) == {"first": 1, "second": 0, "third": 0}
    assert counts(*others) == dict.fromkeys(STEPS, 1)


def test_no_claim_is_left_when_everything_has_ended(server: Server, stories: dict[str, Story]) -> None:
    run = stories["plain"].first()
    claims = RunStore.of(server.workspace, "workspaceblobstore").reuse / "claims"
    mine = [file for file in claims.glob("*.json") if run.step_run_id("third") in file.read_text()]
    assert mine == []


@pytest.mark.docker
@pytest.mark.kubernetes
def test_a_container_and_a_pod_of_the_same_trusted_image_share_their_results(stories: dict[str, Story]) -> None:
    story = stories["container"]
    container = story.first()
    pod = story.run("counted-deferred")
    assert counts(container) == dict.fromkeys(STEPS, 1)
    assert counts(pod) == dict.fromkeys(STEPS, 0)
    process = story.run(LOCAL)
    assert counts(process) == dict.fromkeys(STEPS, 1), "nothing declares this worker's Python to be that image's"


def test_a_hand_written_run_that_a_person_ends_holds_up_no_other(server: Server) -> None:
    """Nothing of it runs any more that could give the claim back, which is good for an hour."""
    salt = uuid.uuid4().hex
    folder = server.store / "by-hand"
    folder.mkdir(exist_ok=True)
    computed = folder / f"{salt}.computed"
    one = server.trigger("by-hand", salt=salt, store=str(server.store))
    (first,) = eventually("the first run computes", lambda: computed.exists() and computed.read_text().split())
    two = server.trigger("by-hand", salt=salt, store=str(server.store))
    eventually("the second one waits", lambda: two.states().get("look") == "deferred")
    one.cancel()
    eventually("the second one computes", lambda: len(computed.read_text().split()) == 2)
    assert not Path("/proc", first).exists()
    (folder / f"{salt}.gate").touch()
    assert two.wait() == "success", two.states()
    assert len(computed.read_text().split()) == 2
