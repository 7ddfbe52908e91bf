"""A deferred step of which no worker says that it lives keeps its claim, also for machines that share only a bucket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from aml_provider.reuse.claims import Claims, Lease, Observer
from aml_provider.reuse.keeping import index_told
from aml_provider.runs.layout import RunStore
from aml_provider.triggers.holding import hold
from tests.reuse.machines import until
from tests.reuse.test_records import KEY
from tests.stores import Place

LEASE_SECONDS = 2.0


def machine(bucket: Place, folder: Path) -> RunStore:
    """A machine with a folder of its own."""
    return RunStore(folder / ".aml", "blobs", bucket.config)


def claimed(store: RunStore) -> tuple[Lease, dict[str, Any]]:
    """What a worker leaves behind when its step is deferred."""
    terms: Any = {"owner": "one/train", "step": "train", "pipeline_run_id": "one", "heartbeat": "runs/one/alive"}
    lease = Claims.of(store).acquire(KEY, lease_seconds=LEASE_SECONDS, **terms)
    assert isinstance(lease, Lease)
    told = {**index_told(store), "key": KEY, "text": lease.claim.text, "recorded": lease.recorded}
    return lease, json.loads(json.dumps(told))


def test_another_machine_waits_as_long_as_the_trigger_does(bucket: Place, tmp_path: Path) -> None:
    lease, told = claimed(machine(bucket, tmp_path / "one"))
    # A beat that the trigger has not been told of.
    lease.renew()
    elsewhere = Claims.of(machine(bucket, tmp_path / "other"))
    observer = Observer(elsewhere, KEY)

    async def deferred() -> None:
        holding = asyncio.ensure_future(hold(told))
        while observer.claim is None or observer.claim.beat < lease.claim.beat + 6:
            assert await asyncio.to_thread(observer.look) == "held"
            assert not holding.done()
        holding.cancel()

    asyncio.run(deferred())
    until(lambda: observer.look() == "stale", "the claim is stale")
    # The worker that comes back goes on with it, if nobody was quicker.
    assert isinstance(claimed(machine(bucket, tmp_path / "one"))[0], Lease)


def test_a_claim_that_somebody_took_over_is_let_go(bucket: Place, tmp_path: Path) -> None:
    lease, told = claimed(machine(bucket, tmp_path / "one"))
    elsewhere = Claims.of(machine(bucket, tmp_path / "other"))
    terms: Any = {"owner": "two/train", "step": "train", "pipeline_run_id": "two", "lease_seconds": LEASE_SECONDS}
    taken = elsewhere.acquire(KEY, lease.claim, **terms)
    assert isinstance(taken, Lease)
    asyncio.run(asyncio.wait_for(hold(told), 60))
    there = elsewhere.look(KEY)
    assert there is not None
    assert there.content == taken.claim.content


def test_a_folder_that_machines_share_is_looked_at_as_well(tmp_path: Path) -> None:
    store = RunStore(tmp_path / ".aml", "blobs")
    lease, told = claimed(store)
    other: Any = {"owner": "two/train", "step": "train", "pipeline_run_id": "two", "lease_seconds": LEASE_SECONDS}

    async def deferred() -> None:
        holding = asyncio.ensure_future(hold(told))
        while (there := Claims.of(store).look(KEY)) is None or there.beat < lease.claim.beat + 2:
            await asyncio.sleep(0.05)
        assert not holding.done()
        assert isinstance(Claims.of(store).acquire(KEY, there, **other), Lease)
        await asyncio.wait_for(holding, 60)

    asyncio.run(deferred())


def test_the_steps_own_next_try_is_nobody_who_took_it_over(tmp_path: Path) -> None:
    store = RunStore(tmp_path / ".aml", "blobs")
    _, told = claimed(store)

    async def deferred() -> None:
        again, _ = claimed(store)
        holding = asyncio.ensure_future(hold(told))
        await asyncio.sleep(3 * LEASE_SECONDS / 4)
        assert not holding.done()
        holding.cancel()
        assert Claims.of(store).look(KEY) == again.claim

    asyncio.run(deferred())


def test_a_triggerer_that_does_not_see_the_folder_writes_none(tmp_path: Path) -> None:
    _, told = claimed(RunStore(tmp_path / ".aml", "blobs"))
    away = {**told, "index": str(tmp_path / "elsewhere" / "reuse"), "run_store": str(tmp_path / "elsewhere")}

    async def deferred() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(hold(away), 2 * LEASE_SECONDS / 4)

    asyncio.run(deferred())
    assert not (tmp_path / "elsewhere").exists()


def test_a_claim_that_could_not_be_written_before_is_written_now(tmp_path: Path) -> None:
    """The store may have been away all the time in which the step was claimed and deferred."""
    store = RunStore(tmp_path / ".aml", "blobs")
    lease, told = claimed(store)
    (tmp_path / ".aml" / "reuse" / "claims" / f"{KEY}.json").unlink()

    async def deferred() -> None:
        holding = asyncio.ensure_future(hold(told))
        while (there := Claims.of(store).look(KEY)) is None:
            await asyncio.sleep(0.05)
        assert there.token == lease.claim.token
        holding.cancel()

    asyncio.run(asyncio.wait_for(deferred(), 60))
