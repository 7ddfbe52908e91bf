"""A step waits for another run's computation without a worker: its trigger fires when that has come to an end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from airflow.models.trigger import Trigger
from airflow.sdk.module_loading import import_string

from aml_provider.reuse.canonical import digest
from aml_provider.reuse.claims import Claim, Claims, Lease
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.records import Record
from aml_provider.triggers.claim import ClaimTrigger
from tests.reuse.machines import PATIENCE, Warnings, workers

KEY = digest("train, with these data")
HEARTBEAT = "digits/runs/1/train/heartbeat"
POLL = 0.01


@dataclass
class Lab:
    """A run store, and an index that is somewhere else."""

    folder: Path

    def __post_init__(self) -> None:
        self.index = self.folder / "shared" / "reuse"
        self.run_store = self.folder / "runs"
        self.claims = Claims.of(self.index, self.run_store)
        self.claim_file = self.index / "claims" / f"{KEY}.json"
        self.heartbeat = self.run_store / HEARTBEAT

    def lease(self, **options: Any) -> Lease:
        got = self.claims.acquire(KEY, owner="run-1/train", step="train", pipeline_run_id="run-1", **options)
        assert isinstance(got, Lease)
        return got

    def commit(self) -> None:
        ReuseIndex.of(self.index).commit(
            Record(
                fingerprint=KEY,
                parts={},
                step={"name": "train", "type": "PythonScriptStep", "key": "train"},
                run={"pipeline_run_id": "run-1"},
                started=1.0,
                ended=2.0,
                seconds=1.0,
                created=3.0,
                outputs={},
            )
        )

    def trigger(self, key: str = KEY) -> ClaimTrigger:
        return ClaimTrigger(str(self.index), str(self.run_store), key, POLL)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


async def events_of(trigger: ClaimTrigger) -> list[Any]:
    return [event.payload async for event in trigger.run()]


@asynccontextmanager
async def waiting(trigger: ClaimTrigger) -> AsyncIterator[asyncio.Task[list[Any]]]:
    """A trigger that runs, as in the triggerer; it is cancelled at the end."""
    task = asyncio.create_task(events_of(trigger))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def goes_on(task: asyncio.Task[list[Any]]) -> None:
    """Through many looks nothing is fired."""
    done, _ = await asyncio.wait([task], timeout=20 * POLL)
    assert not done, task.result()


async def fired(task: asyncio.Task[list[Any]]) -> dict[str, Any]:
    (event,) = await asyncio.wait_for(task, PATIENCE)
    assert event["key"] == KEY
    assert json.loads(json.dumps(event)) == event
    return event


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


# --- how it ends ----------------------------------------------------------------------------------------------------


def test_a_step_whose_owner_gives_up_may_try_itself(lab: Lab) -> None:
    async def story() -> None:
        lease = lab.lease()
        async with waiting(lab.trigger()) as task:
            await goes_on(task)
            lease.release()
            assert await fired(task) == {"state": "free", "key": KEY, "claim": None}

    run(story)


def test_a_result_that_appears_is_seen_while_its_owner_still_holds_the_claim(lab: Lab) -> None:
    async def story() -> None:
        with lab.lease():
            async with waiting(lab.trigger()) as task:
                await goes_on(task)
                lab.commit()
                assert await fired(task) == {"state": "recorded", "key": KEY, "claim": None}

    run(story)


def test_a_dead_owners_claim_can_be_taken_over_as_it_was_seen(lab: Lab) -> None:
    async def story() -> None:
        lease = lab.lease(lease_seconds=0.1)
        async with waiting(lab.trigger()) as task:
            event = await fired(task)
        assert event["state"] == "stale"
        seen = Claim.from_text(event["key"], event["claim"])
        assert seen == lease.claim
        got = lab.claims.acquire(seen.key, seen, owner="run-2/train", step="train", pipeline_run_id="run-2")
        assert isinstance(got, Lease)

    run(story)


def test_an_owner_that_is_killed_leaves_a_claim_that_becomes_stale(lab: Lab) -> None:
    async def story() -> None:
        with workers(lab.index, lab.run_store, 1) as (owner,):
            assert owner.ask("acquire", KEY) == "mine"
            owner.ask("start")
            async with waiting(lab.trigger()) as task:
                await goes_on(task)
                owner.ask("promise_less", 0.2)
                owner.kill()
                event = await fired(task)
        assert event["state"] == "stale"
        assert Claim.from_text(KEY, event["claim"]).owner == "run-0/train"

    run(story)


@pytest.mark.parametrize("claim", ["none", "held", "stale"])
def test_a_result_that_is_there_already_is_all_that_counts(lab: Lab, claim: str) -> None:
    async def story() -> None:
        if claim != "none":
            lab.lease(lease_seconds=1e-9 if claim == "stale" else 60)
        lab.commit()
        async with waiting(lab.trigger()) as task:
            assert await fired(task) == {"state": "recorded", "key": KEY, "claim": None}

    run(story)


def test_without_a_claim_nobody_is_waited_for(lab: Lab) -> None:
    async def story() -> None:
        lab.index.mkdir(parents=True)
        async with waiting(lab.trigger()) as task:
            assert await fired(task) == {"state": "free", "key": KEY, "claim": None}

    run(story)


def test_a_damaged_result_is_none(lab: Lab) -> None:
    async def story() -> None:
        lease = lab.lease()
        file = lab.index / "records" / KEY[:2] / f"{KEY}.json"
        file.parent.mkdir(parents=True)
        file.write_text("{")
        async with waiting(lab.trigger()) as task:
            await goes_on(task)
            lease.release()
            assert (await fired(task))["state"] == "free"

    run(story)


def test_a_damaged_claim_is_waited_for(lab: Lab) -> None:
    async def story() -> None:
        lab.lease()
        lab.claim_file.write_bytes(b"\xff{")
        async with waiting(lab.trigger()) as task:
            await goes_on(task)
            lab.claim_file.unlink()
            assert (await fired(task))["state"] == "free"

    run(story)


# --- a step that is deferred itself ---------------------------------------------------------------------------------


def test_the_heartbeat_of_a_deferred_step_is_looked_for_in_the_run_store(lab: Lab) -> None:
    async def story() -> None:
        lab.lease(lease_seconds=0.05, heartbeat=HEARTBEAT, starting_seconds=3600)
        async with waiting(lab.trigger()) as task:
            # Its pod is pending.
            await goes_on(task)
            lab.heartbeat.parent.mkdir(parents=True)
            lab.heartbeat.write_text("")
            # It has started, and then it shows nothing more.
            assert (await fired(task))["state"] == "stale"

    run(story)


# --- in the triggerer -----------------------------------------------------------------------------------------------


def test_no_trigger_is_quicker_than_the_word_of_the_executor(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler fails the try of a deferred task that is started again before it knows that its process ended."""
    monkeypatch.setitem(sys.modules, "airflow.jobs.triggerer_job_runner", ModuleType("as in a triggerer"))

    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "1")
    lab.commit()

    async def story() -> None:
        async with waiting(lab.trigger()) as task:
            done, _ = await asyncio.wait([task], timeout=1.2)
            assert not done
            assert (await fired(task))["state"] == "recorded"

    run(story)


def test_another_process_makes_the_same_trigger(lab: Lab) -> None:
    trigger = lab.trigger()
    path, arguments = trigger.serialize()
    again = import_string(path)(**json.loads(json.dumps(arguments)))
    assert isinstance(again, ClaimTrigger)
    assert again.serialize() == trigger.serialize()
    assert (again.index, again.run_store, again.key, again.poll_seconds) == (
        str(lab.index),
        str(lab.run_store),
        KEY,
        POLL,
    )
    # As Airflow itself keeps it in its database.
    kept = Trigger.from_object(trigger)
    assert (kept.classpath, kept.kwargs) == (path, arguments)

    async def story() -> None:
        lease = lab.lease()
        async with waiting(again) as task:
            await goes_on(task)
            lease.release()
            assert (await fired(task))["state"] == "free"

    run(story)


def test_making_one_looks_at_nothing(lab: Lab) -> None:
    trigger = ClaimTrigger(str(lab.index), str(lab.run_store), KEY)
    assert trigger.poll_seconds == 5.0
    assert list(lab.folder.iterdir()) == []


def test_a_store_that_does_not_answer_holds_up_no_other_trigger(lab: Lab) -> None:
    other_key = digest("prep")

    def answer() -> None:
        if lab.claim_file.is_fifo():
            pipe = os.open(lab.claim_file, os.O_RDWR)
            lab.claim_file.unlink()
            os.close(pipe)

    # If it holds up everything, this test as well would never end.
    in_the_end = threading.Timer(PATIENCE, answer)

    async def story() -> None:
        lab.lease()
        lab.claim_file.unlink()
        # Who opens a pipe waits until somebody else does.
        os.mkfifo(lab.claim_file)
        async with waiting(lab.trigger()) as stuck:
            await goes_on(stuck)
            try:
                async with waiting(lab.trigger(other_key)) as other:
                    (event,) = await asyncio.wait_for(other, PATIENCE)
                assert event == {"state": "free", "key": other_key, "claim": None}
                assert not stuck.done()
            finally:
                answer()
            assert (await fired(stuck))["state"] == "free"

    in_the_end.start()
    try:
        run(story)
    finally:
        in_the_end.cancel()


def test_a_store_that_fails_for_a_while_is_looked_at_again(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        lab.lease()
        lab.claim_file.unlink()
        lab.claim_file.symlink_to(lab.claim_file)
        async with waiting(lab.trigger()) as task:
            await goes_on(task)
            assert f"the claim on {KEY} cannot be seen right now" in Warnings(caplog).so_far()[0]
            lab.claim_file.unlink()
            assert (await fired(task))["state"] == "free"

    run(story)


def test_a_triggerer_without_the_workers_volume_says_so_and_leaves_the_looking_to_the_step(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with waiting(lab.trigger()) as task:
            assert await fired(task) == {"state": "free", "key": KEY, "claim": None}

    run(story)
    (said,) = Warnings(caplog).so_far()
    assert said == (
        f"the triggerer does not see the folder {lab.index}, so the step itself looks at the claim, every 0.12 s; "
        "give the triggerer the same volume as the workers."
    )


def test_a_step_that_is_stopped_while_it_waits_leaves_nothing_behind(lab: Lab) -> None:
    async def story() -> None:
        lease = lab.lease()
        async with waiting(lab.trigger()) as task:
            await goes_on(task)
        assert task.cancelled()
        assert lab.claims.look(KEY) == lease.claim

    run(story)
