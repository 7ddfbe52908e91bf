"""Whoever computes a step keeps his claim on it, and learns when he has lost it."""

from __future__ import annotations

import errno
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from aml_provider.reuse.canonical import digest
from aml_provider.reuse.claims import Claim, Claims, Lease
from aml_provider.reuse.records import record_name
from aml_provider.storage.record_store import FolderStore
from tests.reuse.machines import Warnings, fill, until, workers

KEY = digest("train, with these data")


class UnsteadyStore(FolderStore):
    """A network share that now and then does not answer.

    :ivar silent: it does nothing, and fails.
    :ivar deaf: it does what it is told, and the answer is lost.
    """

    silent = False
    deaf = False

    def read(self, name: str) -> bytes | None:
        self._fail(self.silent)
        return super().read(name)

    def create(self, name: str, content: bytes, *, durable: bool = True) -> bool:
        self._fail(self.silent)
        return super().create(name, content, durable=durable)

    def swap(self, name: str, old: bytes, new: bytes | None, *, durable: bool = True) -> bool:
        self._fail(self.silent)
        done = super().swap(name, old, new, durable=durable)
        self._fail(self.deaf)
        return done

    @staticmethod
    def _fail(fails: bool) -> None:
        if fails:
            raise OSError(errno.EIO, "the share does not answer")


@pytest.fixture
def store(tmp_path: Path) -> UnsteadyStore:
    return UnsteadyStore(tmp_path / "reuse")


@pytest.fixture
def claims(store: UnsteadyStore, tmp_path: Path) -> Claims:
    return Claims(store, tmp_path)


def acquire(claims: Claims, owner: str = "run-1/train", **options: Any) -> Lease | Claim:
    return claims.acquire(KEY, owner=owner, step="train", pipeline_run_id="run-1", **options)


def lease_of(claims: Claims, owner: str = "run-1/train", **options: Any) -> Lease:
    got = acquire(claims, owner, **options)
    assert isinstance(got, Lease)
    return got


def take_over(claims: Claims, owner: str = "run-2/train") -> Lease:
    seen = claims.look(KEY)
    assert seen is not None
    got = claims.acquire(seen.key, seen, owner=owner, step="train", pipeline_run_id="run-2")
    assert isinstance(got, Lease)
    return got


def file_of(tmp_path: Path) -> Path:
    return tmp_path / "reuse" / "claims" / f"{KEY}.json"


def renewing() -> bool:
    return any(thread.name == f"lease-{KEY[:12]}" for thread in threading.enumerate())


# --- as long as it runs ---------------------------------------------------------------------------------------------


def test_others_see_the_claim_change_while_the_step_runs_and_gone_when_it_has_ended(claims: Claims) -> None:
    with lease_of(claims, lease_seconds=0.1) as lease:
        seen: set[int] = set()

        def beats() -> int:
            there = claims.look(KEY)
            assert there is not None
            assert there.owner == "run-1/train"
            seen.add(there.beat)
            return len(seen)

        until(lambda: beats() >= 4, "the claim is renewed again and again")
    assert claims.look(KEY) is None
    assert not lease.lost
    assert not renewing()


def test_a_step_that_fails_gives_its_claim_back(claims: Claims) -> None:
    with pytest.raises(RuntimeError, match="the step"), lease_of(claims):
        raise RuntimeError("the step has failed")
    assert claims.look(KEY) is None


def test_a_claim_stays_when_renewing_stops_and_goes_on_when_it_starts_again(claims: Claims) -> None:
    lease = lease_of(claims, lease_seconds=0.1)
    lease.start()
    lease.start()
    until(lambda: lease.claim.beat, "the claim is renewed")
    lease.stop()
    lease.stop()
    assert not renewing()
    assert claims.look(KEY) == lease.claim
    before = lease.claim.beat
    lease.start()
    until(lambda: lease.claim.beat > before, "the claim is renewed")
    lease.release()
    lease.release()
    assert claims.look(KEY) is None


def test_what_a_claim_says_can_be_changed(claims: Claims) -> None:
    lease = lease_of(claims)
    lease.start()
    lease.update(heartbeat="runs/1/heartbeat")
    lease.update(lease_seconds=7.5)
    there = claims.look(KEY)
    assert there is not None
    assert (there.heartbeat, there.lease_seconds, there.token) == ("runs/1/heartbeat", 7.5, lease.claim.token)
    lease.release()


def test_a_long_lease_that_becomes_a_short_one_is_renewed_at_once_in_its_time(claims: Claims) -> None:
    lease = lease_of(claims, lease_seconds=3600)
    lease.start()
    lease.update(lease_seconds=0.05)
    until(lambda: lease.claim.beat > 3, "the claim is renewed in its new time")
    lease.release()


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease_seconds": 0},
        {"lease_seconds": -1.0},
        {"lease_seconds": float("nan")},
        {"lease_seconds": float("inf")},
        {"heartbeat": "/var/run/heartbeat"},
        {"heartbeat": "../heartbeat"},
        {"heartbeat": "runs/../../heartbeat"},
        {"heartbeat": ""},
        {"heartbeat": "a\0b"},
        {"heartbeat": "\ud800"},
    ],
    ids=repr,
)
def test_a_claim_that_others_could_not_make_sense_of_is_refused(
    claims: Claims, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"^a (lease|heartbeat) .*, not "):
        lease_of(claims, **wrong)
    assert claims.look(KEY) is None
    lease = lease_of(claims)
    content = file_of(tmp_path).read_bytes()
    with pytest.raises(ValueError, match=r"^a (lease|heartbeat) .*, not "):
        lease.update(**wrong)
    assert file_of(tmp_path).read_bytes() == content
    lease.release()
    assert claims.look(KEY) is None


def test_a_program_ends_although_it_has_not_given_its_claim_back(tmp_path: Path, claims: Claims) -> None:
    with workers(tmp_path / "reuse", tmp_path, 1) as (worker,):
        assert worker.ask("acquire", KEY) == "mine"
        worker.ask("start")
        assert worker.end() == 0
    assert claims.look(KEY) is not None


# --- somebody takes it away -----------------------------------------------------------------------------------------


def test_who_has_lost_his_claim_learns_it_and_leaves_the_new_one_alone(claims: Claims, warnings: Warnings) -> None:
    old = lease_of(claims)
    new = take_over(claims)
    assert not old.lost
    old.renew()
    assert old.lost
    assert any("was taken over by another step run" in line for line in warnings())
    for touch in (old.renew, old.release, lambda: old.update(heartbeat="runs/1/heartbeat")):
        touch()
        assert claims.look(KEY) == new.claim
    assert warnings() == []
    new.renew()
    assert not new.lost


def test_who_has_lost_his_claim_without_knowing_cannot_release_the_new_one(claims: Claims) -> None:
    old = lease_of(claims)
    new = take_over(claims)
    old.release()
    assert claims.look(KEY) == new.claim


def test_renewing_ends_by_itself_when_the_claim_is_lost(claims: Claims) -> None:
    old = lease_of(claims, lease_seconds=0.1)
    old.start()
    new = take_over(claims)
    until(lambda: old.lost, "the old owner learns it")
    until(lambda: not renewing(), "nothing is renewed any more")
    assert claims.look(KEY) == new.claim


@pytest.mark.parametrize(("owner", "stops"), [("run-2/train", True), ("run-1/train", False)])
def test_who_computes_is_told_when_another_step_run_has_taken_the_claim(
    claims: Claims, owner: str, stops: bool
) -> None:
    told = threading.Event()
    lease = lease_of(claims, lease_seconds=0.2)
    if owner == "run-1/train":
        # Its next try goes on with what this one has begun.
        lease_of(claims)
    else:
        take_over(claims, owner)
    lease.start(told.set)
    until(lambda: lease.lost and not renewing(), "it has learned that")
    assert told.is_set() is stops


def test_two_attempts_of_one_step_run_do_not_share_a_claim(claims: Claims) -> None:
    first = lease_of(claims)
    second = lease_of(claims)
    first.release()
    assert claims.look(KEY) == second.claim
    second.renew()
    assert not second.lost


def test_a_claim_that_somebody_removed_comes_back(claims: Claims, tmp_path: Path) -> None:
    lease = lease_of(claims)
    file_of(tmp_path).unlink()
    lease.renew()
    assert not lease.lost
    assert claims.look(KEY) == lease.claim


def test_a_claim_that_was_removed_and_taken_by_another_is_lost(claims: Claims, tmp_path: Path) -> None:
    lease = lease_of(claims)
    file_of(tmp_path).unlink()
    other = lease_of(claims, "run-2/train")
    lease.renew()
    assert lease.lost
    assert claims.look(KEY) == other.claim


@pytest.mark.parametrize("before", [None, b"an earlier result"])
def test_a_claim_that_is_gone_because_another_has_been_quicker_is_lost(
    claims: Claims, store: UnsteadyStore, before: bytes | None
) -> None:
    if before is not None:
        store.replace(record_name(KEY), before)
    lease = lease_of(claims)
    other = take_over(claims)
    store.replace(record_name(KEY), b"what that one has computed")
    other.release()
    lease.renew()
    assert lease.taken_over
    assert claims.look(KEY) is None


def test_a_claim_that_is_gone_while_an_earlier_result_is_replaced_comes_back(
    claims: Claims, store: UnsteadyStore, tmp_path: Path
) -> None:
    """As a step has it that a person has cleared."""
    store.replace(record_name(KEY), b"an earlier result")
    lease = lease_of(claims)
    file_of(tmp_path).unlink()
    lease.renew()
    assert not lease.lost


def test_whose_place_was_taken_is_known(claims: Claims) -> None:
    assert lease_of(claims).taken_from == ""
    assert take_over(claims).taken_from == "run-1/train"


@pytest.mark.parametrize("damage", [b"", b"{", b"\0" * 100])
def test_a_damaged_claim_is_mended_by_its_owner(claims: Claims, tmp_path: Path, damage: bytes) -> None:
    lease = lease_of(claims)
    file_of(tmp_path).write_bytes(damage)
    lease.renew()
    assert not lease.lost
    assert claims.look(KEY) == lease.claim


def test_a_damaged_claim_that_was_taken_over_is_lost(claims: Claims, tmp_path: Path) -> None:
    lease = lease_of(claims)
    file_of(tmp_path).write_bytes(b"{")
    new = take_over(claims)
    lease.renew()
    assert lease.lost
    assert claims.look(KEY) == new.claim


# --- the store fails ------------------------------------------------------------------------------------------------


def test_a_store_that_fails_for_a_while_is_tried_again(
    claims: Claims, store: UnsteadyStore, warnings: Warnings
) -> None:
    lease = lease_of(claims, lease_seconds=0.1)
    store.silent = True
    lease.start()
    until(warnings.so_far, "a renewal fails")
    before = lease.claim.beat
    lease.renew()
    lease.renew()
    assert not lease.lost
    assert lease.claim.beat == before
    (said,) = warnings()
    assert f"the claim on {KEY} could not be renewed and is tried again" in said
    store.silent = False
    until(lambda: lease.claim.beat > before, "the claim is renewed again")
    # Who has come through one failure tells of the next one.
    store.silent = True
    until(warnings.so_far, "a renewal fails")
    store.silent = False
    lease.release()
    assert claims.look(KEY) is None


def test_what_a_failed_store_did_not_hear_is_said_later(claims: Claims, store: UnsteadyStore) -> None:
    lease = lease_of(claims)
    store.silent = True
    lease.update(heartbeat="runs/1/heartbeat", lease_seconds=9)
    store.silent = False
    there = claims.look(KEY)
    assert there is not None
    assert there.heartbeat is None
    lease.renew()
    there = claims.look(KEY)
    assert there is not None
    assert (there.heartbeat, there.lease_seconds) == ("runs/1/heartbeat", 9)


def test_a_claim_that_was_lost_while_the_store_failed_is_lost(claims: Claims, store: UnsteadyStore) -> None:
    lease = lease_of(claims)
    store.silent = True
    lease.renew()
    store.silent = False
    take_over(claims)
    lease.renew()
    assert lease.lost


def test_a_renewal_whose_answer_was_lost_is_no_lost_claim(claims: Claims, store: UnsteadyStore) -> None:
    lease = lease_of(claims)
    store.deaf = True
    lease.renew()
    store.deaf = False
    lease.renew()
    assert not lease.lost
    assert claims.look(KEY) == lease.claim
    store.deaf = True
    lease.update(heartbeat="runs/1/heartbeat")
    store.deaf = False
    lease.release()
    assert claims.look(KEY) is None


@pytest.mark.parametrize("how", ["silent", "deaf"])
def test_a_claim_that_cannot_be_given_back_does_not_fail_the_step(
    claims: Claims, store: UnsteadyStore, warnings: Warnings, how: str
) -> None:
    with lease_of(claims, lease_seconds=30):
        setattr(store, how, True)
    (said,) = warnings()
    assert "could not be released; others wait 30 s longer" in said
    setattr(store, how, False)
    assert (claims.look(KEY) is None) == (how == "deaf")


def test_a_full_disk_takes_no_claim_away(small_disk: Path, warnings: Warnings) -> None:
    claims = Claims.of(small_disk / "reuse", small_disk)
    lease = lease_of(claims)
    filler = fill(small_disk)
    lease.renew()
    assert not lease.lost
    assert "No space left on device" in warnings()[0]
    there = claims.look(KEY)
    assert there is not None
    assert there.token == lease.claim.token
    # A new claim does not fit, and its step runs all the same.
    other = claims.acquire(digest("prep"), owner="run-1/prep", step="prep", pipeline_run_id="run-1")
    assert isinstance(other, Lease)
    (said,) = warnings()
    assert said.startswith("step 'prep' computes without a claim, so another run may compute the same: ")
    assert claims.look(digest("prep")) is None
    filler.unlink()
    lease.renew()
    assert claims.look(KEY) == lease.claim
    fill(small_disk)
    lease.release()
    assert claims.look(KEY) is None


def test_something_in_the_place_of_a_claim_that_is_no_file_stops_nobody(
    claims: Claims, tmp_path: Path, warnings: Warnings
) -> None:
    lease = lease_of(claims)
    file_of(tmp_path).unlink()
    file_of(tmp_path).mkdir()
    lease.renew()
    lease.release()
    other = lease_of(claims, "run-2/train")
    other.start()
    other.renew()
    other.update(heartbeat="runs/1/heartbeat")
    other.release()
    assert not other.lost
    assert all("is something that is no file; remove it" in line for line in warnings())
    assert file_of(tmp_path).is_dir()


def test_a_store_that_cannot_decide_between_two_gets_no_claims_and_says_so_once(
    tmp_path: Path, warnings: Warnings
) -> None:
    class Undecided(FolderStore):
        @property
        def exclusive(self) -> bool:
            return False

    claims = Claims(Undecided(tmp_path / "reuse"), tmp_path)
    first, second = lease_of(claims), lease_of(claims, "run-2/train")
    with first, second:
        first.renew()
        assert not first.lost
    assert claims.look(KEY) is None
    seen = Claim.from_bytes(KEY, b"")
    assert isinstance(claims.acquire(seen.key, seen, owner="run-3/train", step="train", pipeline_run_id="run-3"), Lease)
    (said,) = warnings()
    assert "two runs that start together may compute the same step twice" in said


def test_a_claim_names_whose_it_is_and_holds_no_time(claims: Claims, tmp_path: Path) -> None:
    lease = lease_of(claims, heartbeat="runs/1/heartbeat", starting_seconds=5.0)
    assert json.loads(file_of(tmp_path).read_bytes()) == {
        "claim_version": 1,
        "owner": "run-1/train",
        "token": lease.claim.token,
        "beat": 0,
        "lease_seconds": 60.0,
        "pipeline_run_id": "run-1",
        "step": "train",
        "heartbeat": "runs/1/heartbeat",
        "starting_seconds": 5.0,
    }
