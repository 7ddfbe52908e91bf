"""Reuse on a real scheduler: what has been computed is not computed again, and never by two runs at once."""

from __future__ import annotations

import uuid
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


@pytest.fixture
def salt() -> str:
    """Nobody has computed anything with it before."""
    return uuid.uuid4().hex


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
def test_two_runs_started_together_compute_each_step_once(server: Server, salt: str, dag: str) -> None:
    one = server.trigger(dag, salt=salt, seconds=2.0)
    two = server.trigger(dag, salt=salt, seconds=2.0)
    assert (one.wait(), two.wait()) == ("success", "success"), (one.states(), two.states())
    assert counts(one, two) == dict.fromkeys(STEPS, 1)
    assert texts(one) == texts(two) == written(salt)


def test_another_build_number_reuses_everything_in_one_task(server: Server, salt: str) -> None:
    one = server.trigger(LOCAL, salt=salt, build_number=1)
    assert one.wait() == "success"
    two = server.trigger(LOCAL, salt=salt, build_number=2)
    assert two.wait() == "success"
    states = two.states()
    assert states.pop("reuse") == "success"
    assert set(states.values()) == {"skipped"}
    assert counts(two) == dict.fromkeys(STEPS, 0)
    assert texts(two) == written(salt)
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


def test_a_step_that_a_person_clears_runs_and_what_comes_after_is_looked_at_again(server: Server, salt: str) -> None:
    assert server.trigger(LOCAL, salt=salt).wait() == "success"
    two = server.trigger(LOCAL, salt=salt)
    assert two.wait() == "success"
    two.clear("second")
    eventually("the cleared step has run", lambda: two.states()["second"] == "success", seconds=120)
    assert counts(two) == {"first": 0, "second": 1, "third": 0}
    assert two.wait() == "success"
    three = server.trigger(LOCAL, salt=salt)
    assert three.wait() == "success"
    (place,) = three.xcom("reuse")["second"].values()
    assert two.step_run_id("second") in place["path"], "the result of the cleared step has taken the old one's place"


def test_a_run_that_regenerates_its_outputs_computes_everything(server: Server, salt: str) -> None:
    assert server.trigger(LOCAL, salt=salt).wait() == "success"
    again = server.trigger(LOCAL, salt=salt, regenerate_outputs=True)
    assert again.wait() == "success"
    assert counts(again) == dict.fromkeys(STEPS, 1)
    assert texts(again) == written(salt)


def compute_and_wait(server: Server, others: int, **conf: Any) -> tuple[Run, list[Run]]:
    """A run that computes its first step until the gate opens, and others that wait for it in the triggerer."""
    one = server.trigger(LOCAL, **conf)
    eventually("the first run computes", lambda: counts(one)["first"] == 1, seconds=60)
    runs = [server.trigger(LOCAL, **conf) for _ in range(others)]
    eventually("the others wait", lambda: {r.states()["first"] for r in runs} == {"deferred"}, seconds=120)
    return one, runs


def test_the_claim_of_a_killed_worker_is_taken_over(server: Server, salt: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    one, (two,) = compute_and_wait(server, 1, salt=salt, gate=str(gate))
    kill_worker(one, "first")
    eventually("the second run computes", lambda: counts(two)["first"] == 1, seconds=120)
    gate.touch()
    assert two.wait() == "success", two.states()
    assert one.wait() == "success", one.states()
    assert texts(one) == texts(two) == written(salt)
    assert counts(one, two)["second"] == counts(one, two)["third"] == 1


def test_when_the_owner_fails_one_of_those_who_wait_goes_on(server: Server, salt: str, tmp_path: Path) -> None:
    gate, marker = tmp_path / "gate", tmp_path / "marker"
    one, others = compute_and_wait(server, 2, salt=salt, gate=str(gate), fails_without=str(marker))
    gate.touch()
    assert one.wait() == "failed"
    assert [r.wait() for r in others] == ["success", "success"], [r.states() for r in others]
    assert counts(one) == {"first": 1, "second": 0, "third": 0}
    assert counts(*others) == dict.fromkeys(STEPS, 1)


def test_no_claim_is_left_when_everything_has_ended(server: Server, salt: str) -> None:
    run = server.trigger(LOCAL, salt=salt)
    assert run.wait() == "success"
    claims = RunStore.of(server.workspace, "workspaceblobstore").reuse / "claims"
    mine = [file for file in claims.glob("*.json") if run.step_run_id("third") in file.read_text()]
    assert mine == []


@pytest.mark.docker
@pytest.mark.kubernetes
def test_a_container_and_a_pod_of_the_same_trusted_image_share_their_results(server: Server, salt: str) -> None:
    container = server.trigger("counted-docker", salt=salt)
    assert container.wait() == "success"
    pod = server.trigger("counted-deferred", salt=salt)
    assert pod.wait() == "success"
    assert counts(container) == dict.fromkeys(STEPS, 1)
    assert counts(pod) == dict.fromkeys(STEPS, 0)
    process = server.trigger(LOCAL, salt=salt)
    assert process.wait() == "success"
    assert counts(process) == dict.fromkeys(STEPS, 1), "nothing declares this worker's Python to be that image's"
