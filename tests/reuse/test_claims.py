"""Of all who want to compute the same, one does; and when he dies, exactly one of those who wait takes his place."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aml_provider.reuse.canonical import digest
from aml_provider.reuse.claims import DEFAULT_LEASE_SECONDS, Claim, Claims, Lease, Observer
from aml_provider.reuse.index import ReuseIndex
from aml_provider.storage.record_store import FolderStore, record_store
from tests import stores
from tests.reuse.machines import Warnings, Worker, answered, as_somebody_else, at_once, workers

KEY = digest("train, with these data")
HEARTBEAT = "digits/runs/1/train/heartbeat"


@dataclass
class Clock:
    """A waiter's own clock: it only ever grows."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Lab:
    """An index with claims, and somebody who waits."""

    folder: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.index = self.folder / "reuse"
        self.claims = Claims.of(self.index, self.folder)
        self.observer = self.another_observer()
        self.file = self.index / "claims" / f"{KEY}.json"
        self.heartbeat = self.folder / HEARTBEAT

    def another_observer(self) -> Observer:
        return Observer(self.claims, KEY, self.clock)

    def acquire(self, owner: str = "run-1/train", **options: Any) -> Lease | Claim:
        return self.claims.acquire(KEY, owner=owner, step="train", pipeline_run_id="run-1", **options)

    def lease(self, owner: str = "run-1/train", **options: Any) -> Lease:
        got = self.acquire(owner, **options)
        assert isinstance(got, Lease)
        return got

    def take_over(self, seen: Claim | None, owner: str = "run-2/train") -> Lease | Claim:
        assert seen is not None
        return self.claims.acquire(seen.key, seen, owner=owner, step="train", pipeline_run_id="run-2")

    def later(self, seconds: float) -> str:
        self.clock.now += seconds
        return self.observer.look()

    def beat(self, text: str = "x") -> None:
        self.heartbeat.parent.mkdir(parents=True, exist_ok=True)
        with self.heartbeat.open("a") as file:
            file.write(text)

    def put(self, content: bytes) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(content)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def others(lab: Lab) -> Iterator[list[Worker]]:
    with workers(lab.index, lab.folder, 6) as made:
        yield made


# --- processes ------------------------------------------------------------------------------------------------------


def test_of_many_that_start_at_once_one_computes(lab: Lab, others: list[Worker]) -> None:
    for number in range(10):
        key = digest(number)
        answers = at_once(others, "acquire", key)
        (winner,) = [worker for worker, answer in zip(others, answers, strict=True) if answer == "mine"]
        assert [answer for answer in answers if answer != "mine"] == [winner.owner] * 5
        there = lab.claims.look(key)
        assert there is not None
        assert there.owner == winner.owner


def test_when_the_owner_is_killed_one_of_those_who_wait_takes_over_and_the_others_go_on_waiting(
    lab: Lab, others: list[Worker]
) -> None:
    owner, *waiting = others
    assert owner.ask("acquire", KEY) == "mine"
    owner.ask("start")
    for worker in waiting:
        worker.tell("get", KEY)
    # Each of them has it once: some are killed while they have it, some fail and give it back.
    while waiting:
        if len(waiting) % 2:
            owner.ask("promise_less", 0.3)
            owner.kill()
        else:
            owner.ask("release")
        (next_owner,) = answered(waiting)
        assert next_owner.answer() == "mine"
        assert next_owner is not owner
        there = lab.claims.look(KEY)
        assert there is not None
        assert there.owner == next_owner.owner
        waiting.remove(next_owner)
        owner = next_owner
        owner.ask("start")


def test_an_owner_that_stood_still_for_too_long_has_lost_its_claim(lab: Lab, others: list[Worker]) -> None:
    owner, other, *_ = others
    assert owner.ask("acquire", KEY, lease_seconds=0.3) == "mine"
    owner.ask("start")
    owner.pause()
    assert other.ask("wait_and_take_over", KEY) == "mine"
    owner.go_on()
    assert owner.ask("lost") is True
    owner.ask("release")
    assert other.ask("lost") is False
    there = lab.claims.look(KEY)
    assert there is not None
    assert there.owner == other.owner


def test_a_damaged_claim_goes_to_one_of_those_who_have_waited_for_it(lab: Lab, others: list[Worker]) -> None:
    lab.put(b"{")
    answers = at_once(others, "take_over", KEY, "{")
    (winner,) = [worker for worker, answer in zip(others, answers, strict=True) if answer == "mine"]
    assert [answer for answer in answers if answer != "mine"] == [winner.owner] * 5
    there = lab.claims.look(KEY)
    assert there is not None
    assert there.owner == winner.owner


# --- who waits ------------------------------------------------------------------------------------------------------


def test_a_claim_nobody_renews_is_stale_after_its_lease_by_the_waiters_own_clock(lab: Lab) -> None:
    assert lab.observer.look() == "free"
    lab.lease(lease_seconds=30)
    assert lab.observer.look() == "held"
    assert lab.later(29.99) == "held"
    assert lab.later(0.01) == "stale"
    assert lab.observer.claim == lab.claims.look(KEY)
    # One who comes later counts from what he has seen himself.
    newcomer = lab.another_observer()
    assert newcomer.look() == "held"


def test_a_claim_that_is_renewed_is_held_for_as_long_as_it_takes(lab: Lab) -> None:
    lease = lab.lease(lease_seconds=30)
    for _ in range(20):
        assert lab.later(29) == "held"
        lease.renew()
    assert lab.later(29) == "held"
    assert lab.later(29.99) == "held"
    assert lab.later(0.01) == "stale"
    lease.release()
    assert lab.observer.look() == "free"
    assert lab.observer.claim is None


def test_the_next_owner_has_all_of_its_time(lab: Lab) -> None:
    lab.lease(lease_seconds=30)
    lab.observer.look()
    assert lab.later(30) == "stale"
    assert isinstance(lab.take_over(lab.observer.claim), Lease)
    assert lab.observer.look() == "held"
    assert lab.later(DEFAULT_LEASE_SECONDS - 1) == "held"
    assert lab.later(1) == "stale"


@pytest.mark.parametrize("set_to", [0.0, 4e9], ids=["back to 1970", "forward to 2096"])
def test_no_clock_of_the_owners_matters(lab: Lab, monkeypatch: pytest.MonkeyPatch, set_to: float) -> None:
    lease = lab.lease(lease_seconds=30, heartbeat=HEARTBEAT)
    lab.beat()
    assert lab.observer.look() == "held"
    monkeypatch.setattr(time, "time", lambda: set_to)
    assert lab.later(29) == "held"
    lease.renew()
    os.utime(lab.file, (set_to, set_to))
    assert lab.later(29) == "held"
    lab.beat()
    os.utime(lab.heartbeat, (set_to, set_to))
    assert lab.later(29) == "held"
    assert lab.later(29) == "held"
    assert lab.later(1) == "stale"


def test_a_look_that_takes_long_makes_nobody_stale(lab: Lab) -> None:
    class SlowStore(FolderStore):
        def read(self, name: str) -> bytes | None:
            lab.clock.now += 100
            return super().read(name)

    lab.lease(lease_seconds=30)
    observer = Observer(Claims(SlowStore(lab.index), lab.folder), KEY, lab.clock)
    assert observer.look() == "held"
    assert observer.look() == "held"
    lab.clock.now += 30
    assert observer.look() == "stale"


def test_while_the_store_fails_nobody_is_stale(lab: Lab, warnings: Warnings) -> None:
    lab.lease(lease_seconds=30)
    assert lab.observer.look() == "held"
    aside = lab.file.with_suffix(".aside")
    lab.file.rename(aside)
    lab.file.symlink_to(lab.file)
    assert lab.later(100) == "held"
    assert f"the claim on {KEY} cannot be seen right now" in warnings()[0]
    lab.file.unlink()
    aside.rename(lab.file)
    # Its owner could not renew it either, so it has its whole time once more.
    assert lab.later(100) == "held"
    assert lab.later(29) == "held"
    assert lab.later(1) == "stale"


# --- signs of life of a step that nobody in Airflow runs ------------------------------------------------------------


def test_a_deferred_step_lives_as_long_as_its_heartbeat_does(lab: Lab) -> None:
    lab.lease(lease_seconds=30, heartbeat=HEARTBEAT).stop()
    lab.beat()
    assert lab.observer.look() == "held"
    for _ in range(5):
        lab.beat()
        assert lab.later(29) == "held"
    assert lab.later(29) == "held"
    assert lab.later(1) == "stale"


def test_a_heartbeat_that_is_written_anew_is_one(lab: Lab) -> None:
    lab.lease(lease_seconds=30, heartbeat=HEARTBEAT)
    lab.beat()
    lab.observer.look()
    for _ in range(3):
        new = lab.heartbeat.with_suffix(".new")
        new.write_text("x")
        os.utime(new, (1, 1))
        new.replace(lab.heartbeat)
        assert lab.later(29) == "held"
    assert lab.later(30) == "stale"


def test_a_heartbeat_that_goes_away_is_no_sign_of_life_for_long(lab: Lab) -> None:
    lab.lease(lease_seconds=30, heartbeat=HEARTBEAT)
    lab.beat()
    lab.observer.look()
    lab.heartbeat.unlink()
    assert lab.later(29) == "held"
    assert lab.later(29) == "held"
    assert lab.later(1) == "stale"


def test_a_pod_that_is_pending_has_time_to_start(lab: Lab) -> None:
    lab.lease(lease_seconds=30, heartbeat=HEARTBEAT, starting_seconds=600)
    assert lab.observer.look() == "held"
    assert lab.later(599) == "held"
    # It has started: from now on its heart beats.
    lab.beat()
    assert lab.later(1) == "held"
    assert lab.later(29) == "held"
    assert lab.later(1) == "stale"


def test_a_pod_that_never_starts_is_not_waited_for_for_ever(lab: Lab) -> None:
    lab.lease(lease_seconds=30, heartbeat=HEARTBEAT, starting_seconds=600)
    lab.observer.look()
    assert lab.later(599) == "held"
    assert lab.later(1) == "stale"


def test_time_to_start_never_shortens_a_lease(lab: Lab) -> None:
    lab.lease(lease_seconds=30, heartbeat=HEARTBEAT, starting_seconds=5)
    lab.observer.look()
    assert lab.later(29) == "held"
    assert lab.later(1) == "stale"


def test_time_to_start_is_for_those_who_have_a_heartbeat(lab: Lab) -> None:
    lab.lease(lease_seconds=30, starting_seconds=600)
    lab.observer.look()
    assert lab.later(30) == "stale"


@pytest.mark.parametrize("heartbeat", ["a file/heartbeat", "x" * 300, "loop/heartbeat"])
def test_a_heartbeat_that_can_never_be_seen_keeps_nobody_alive(lab: Lab, heartbeat: str) -> None:
    (lab.folder / "a file").write_text("")
    (lab.folder / "loop").symlink_to("loop")
    lab.lease(lease_seconds=30, heartbeat=heartbeat)
    assert lab.observer.look() == "held"
    assert lab.later(30) == "stale"


def test_a_heartbeat_that_may_not_be_looked_at_keeps_nobody_alive(lab: Lab) -> None:
    lab.lease(lease_seconds=30, heartbeat=HEARTBEAT)
    lab.beat()
    claim = lab.claims.look(KEY)
    assert claim is not None
    lab.heartbeat.parent.chmod(0)
    try:
        with as_somebody_else():
            assert lab.claims.life_sign(claim) is None
    finally:
        lab.heartbeat.parent.chmod(0o755)
    assert lab.claims.life_sign(claim) is not None


def test_a_machine_without_the_run_store_goes_by_the_claim_alone(lab: Lab) -> None:
    lab.lease(lease_seconds=30, heartbeat=HEARTBEAT)
    lab.beat()
    observer = Observer(Claims(FolderStore(lab.index), None), KEY, lab.clock)
    assert observer.look() == "held"
    lab.clock.now += 30
    assert observer.look() == "stale"


# --- taking over ----------------------------------------------------------------------------------------------------


def test_what_was_seen_reaches_another_process_and_is_taken_over_there(lab: Lab) -> None:
    lab.lease()
    lab.observer.look()
    assert lab.later(DEFAULT_LEASE_SECONDS) == "stale"
    assert lab.observer.claim is not None
    text = json.loads(json.dumps(lab.observer.claim.text))
    assert isinstance(lab.take_over(Claim.from_text(KEY, text)), Lease)


def test_who_came_to_life_again_keeps_its_claim(lab: Lab) -> None:
    lease = lab.lease()
    seen = lab.claims.look(KEY)
    lease.renew()
    assert lab.take_over(seen) == lease.claim
    lease.renew()
    assert not lease.lost


def test_a_claim_that_was_given_back_meanwhile_is_claimed_anew(lab: Lab) -> None:
    lease = lab.lease()
    seen = lab.claims.look(KEY)
    lease.release()
    got = lab.take_over(seen)
    assert isinstance(got, Lease)
    assert lab.claims.look(KEY) == got.claim


def test_of_two_who_saw_the_same_the_second_sees_the_first(lab: Lab) -> None:
    lab.lease()
    seen = lab.claims.look(KEY)
    first = lab.take_over(seen, "run-2/train")
    assert isinstance(first, Lease)
    assert lab.take_over(seen, "run-3/train") == first.claim


# --- damage ---------------------------------------------------------------------------------------------------------


def content_of_a_claim(lab: Lab) -> bytes:
    lab.lease(lease_seconds=45, heartbeat=HEARTBEAT, starting_seconds=50)
    return lab.file.read_bytes()


def test_a_claim_cut_off_anywhere_is_held_for_the_usual_time_and_then_taken_over(lab: Lab) -> None:
    whole = content_of_a_claim(lab)
    for length in range(len(whole)):
        lab.put(whole[:length])
        # Nobody knows whose it is: not even who says that it is his.
        held = lab.acquire("run-1/train")
        assert isinstance(held, Claim), length
        assert held.damaged
        assert lab.observer.look() == "held"
        assert lab.later(DEFAULT_LEASE_SECONDS - 1) == "held"
        assert lab.later(1) == "stale"
        assert lab.observer.claim is not None
        seen = Claim.from_text(KEY, json.loads(json.dumps(lab.observer.claim.text)))
        assert isinstance(lab.take_over(seen), Lease), length


def test_a_claim_with_any_bit_flipped_is_taken_over_all_the_same(lab: Lab) -> None:
    whole = content_of_a_claim(lab)
    for position in range(len(whole)):
        for bit in range(8):
            lab.put(whole[:position] + bytes([whole[position] ^ 1 << bit]) + whole[position + 1 :])
            assert lab.observer.look() == "held", (position, bit)
            # What of it can be read counts, and a flipped digit makes no lease that lasts for ever.
            assert lab.later(700) == "stale", (position, bit)
            assert isinstance(lab.take_over(lab.observer.claim), Lease), (position, bit)


CLAIM = {
    "claim_version": 1,
    "owner": "run-1/train",
    "token": "1",
    "beat": 3,
    "lease_seconds": 45.0,
    "pipeline_run_id": "run-1",
    "step": "train",
}


def test_a_claim_may_leave_out_what_not_every_step_has() -> None:
    claim = Claim.from_bytes(KEY, json.dumps(CLAIM).encode())
    assert not claim.damaged
    assert (claim.owner, claim.beat, claim.lease_seconds, claim.heartbeat, claim.starting_seconds) == (
        "run-1/train",
        3,
        45.0,
        None,
        0.0,
    )


FOREIGN = {
    "nothing": b"",
    "zeros": bytes(500),
    "a list": b"[]",
    "a number": b"1",
    "text": b'"claim"',
    "very deep": b"[" * 200_000,
    "a number that is too long": b"1" * 5000,
    "not text": bytes(range(256)),
    "UTF-16 of nothing": b"\xff\xfe\x00",
} | {
    f"{name} is {value!r:.20}": json.dumps({**CLAIM, name: value}).encode()
    for name, values in {
        "claim_version": [2, None, "1"],
        "owner": [None, 1],
        "token": ["", None, 1],
        "beat": [True, 1.0, "1", None],
        "lease_seconds": [0, -1, True, "60", None, float("nan"), float("inf")],
        "starting_seconds": [-1, True, "60", None, float("nan"), float("inf")],
        "pipeline_run_id": [None],
        "step": [None, ["train"]],
        "heartbeat": ["", "/etc/passwd", "../heartbeat", "a/../../b", "a\0b", "\ud800", 1, ["a"]],
    }.items()
    for value in values
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_claim_is_held_by_nobody_known_for_the_usual_time(lab: Lab, content: bytes) -> None:
    lab.put(content)
    held = lab.acquire()
    assert isinstance(held, Claim)
    assert (held.damaged, held.owner, held.lease_seconds) == (True, "", DEFAULT_LEASE_SECONDS)
    assert lab.observer.look() == "held"
    assert lab.later(DEFAULT_LEASE_SECONDS) == "stale"
    assert isinstance(lab.take_over(lab.observer.claim), Lease)


# Named, since Hypothesis parses the file of a lambda to show it, and Python 3.11 cannot always do that where it does.
def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    _nested,
    max_leaves=5,
)


changed_claims = st.fixed_dictionaries(
    {}, optional=dict.fromkeys([*CLAIM, "heartbeat", "starting_seconds"], json_values)
).map(lambda some: {**CLAIM, **some})


@given(st.binary() | (json_values | changed_claims).map(lambda value: json.dumps(value).encode()))
@example(json.dumps({**CLAIM, "lease_seconds": 10**400}).encode())
@example(json.dumps({**CLAIM, "starting_seconds": 10**400}).encode())
def test_any_bytes_are_a_claim_that_ends(content: bytes) -> None:
    claim = Claim.from_bytes(KEY, content)
    assert claim.lease_seconds > 0
    assert claim.lease_seconds < float("inf")
    assert 0 <= claim.starting_seconds < float("inf")
    assert claim.heartbeat is None or not os.path.normpath(os.path.join("store", claim.heartbeat)).startswith("..")
    assert Claim.from_text(KEY, json.loads(json.dumps(claim.text))).content == content


@pytest.mark.parametrize("place", ["a file", "a link to nothing"])
def test_an_index_that_is_no_folder_stops_nobody_from_computing(lab: Lab, warnings: Warnings, place: str) -> None:
    if place == "a file":
        lab.index.write_text("")
    else:
        lab.index.symlink_to("nowhere/at/all")
    with lab.lease() as lease:
        lease.renew()
        assert not lease.lost
    assert "step 'train' computes without a claim, so another run may compute the same" in warnings()[0]
    assert lab.observer.look() == "free"


@pytest.mark.stores
def test_a_claim_waits_for_a_store_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stores.place("s3", tmp_path, monkeypatch) as blobs, stores.away(monkeypatch) as back:
        claims = Claims(record_store(blobs.store), None)
        with ThreadPoolExecutor(1) as worker:
            asked = worker.submit(claims.acquire, KEY, owner="me", step="train", pipeline_run_id="run")
            with back(14):
                assert isinstance(asked.result(120), Lease)
                claim = claims.look(KEY)
                assert claim is not None
                assert claim.owner == "me"


@pytest.mark.stores
def test_what_is_computed_without_a_claim_is_claimed_when_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stores.place("s3", tmp_path, monkeypatch) as blobs, stores.away(monkeypatch) as back:
        claims = Claims(record_store(blobs.store), None)
        with ThreadPoolExecutor(1) as worker:
            asked = worker.submit(
                claims.acquire, KEY, owner="me", step="train", pipeline_run_id="run", lease_seconds=0.1
            )
            closing = back(1)
            lease = asked.result(120)
            assert isinstance(lease, Lease)
            with closing:
                lease.renew()
                claim = claims.look(KEY)
                assert claim is not None
                assert claim.owner == "me"
                lease.release()
                assert claims.look(KEY) is None


# --- every order in which things can happen -------------------------------------------------------------------------


@dataclass
class Actor:
    """A step run that wants to compute the step; it may be dead, and its clock is its own."""

    name: str
    observer: Observer
    lease: Lease | None = None
    last_beat: float = 0.0


class Competition(RuleBasedStateMachine):
    """Step runs that claim, renew, wait, take over, stand still and die, and an index that is meddled with.

    What is known of the truth: who was the last to get the claim.
    """

    actors_drawn = st.integers(0, 3)

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        root = Path(self.folder.name)
        self.claims = Claims.of(root / "reuse", root)
        self.index = ReuseIndex.of(root / "reuse")
        self.file = root / "reuse" / "claims" / f"{KEY}.json"
        self.now = 0.0
        self.lives = 0
        self.actors = [self._born(offset) for offset in (0.0, 5000.0, -70.0, 1e6)]
        self.last_winner: Lease | None = None

    def teardown(self) -> None:
        self.folder.cleanup()

    def _born(self, offset: float) -> Actor:
        self.lives += 1
        return Actor(f"run-{self.lives}/train", Observer(self.claims, KEY, lambda: self.now + offset))

    def _got(self, actor: Actor, got: Lease | Claim) -> None:
        if isinstance(got, Lease):
            actor.lease, actor.last_beat, self.last_winner = got, self.now, got
            assert not got.lost

    @property
    def believers(self) -> list[Actor]:
        return [actor for actor in self.actors if actor.lease is not None and not actor.lease.lost]

    def _wanted(self, actor: Actor) -> dict[str, Any]:
        return {"owner": actor.name, "step": "train", "pipeline_run_id": actor.name, "lease_seconds": 10.0}

    @rule(who=actors_drawn)
    def acquire(self, who: int) -> None:
        actor = self.actors[who]
        if actor.lease is None:
            there = self.claims.look(KEY)
            got = self.claims.acquire(KEY, **self._wanted(actor))
            assert isinstance(got, Lease) == (there is None)
            self._got(actor, got)

    @rule(who=actors_drawn)
    def renew(self, who: int) -> None:
        lease = self.actors[who].lease
        if lease is not None:
            lease.renew()
            self.actors[who].last_beat = self.now

    @rule(who=actors_drawn)
    def release(self, who: int) -> None:
        actor = self.actors[who]
        if actor.lease is not None:
            before = self.claims.look(KEY)
            actor.lease.release()
            if before is not None and before.token != actor.lease.claim.token:
                assert self.claims.look(KEY) == before
            actor.lease = None

    @rule(who=actors_drawn)
    def die(self, who: int) -> None:
        self.actors[who] = self._born(float(self.lives))

    @rule(seconds=st.sampled_from([1.0, 4.0, 9.75, 10.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        # Sums of these are exact.
        self.now += seconds

    @rule(who=actors_drawn)
    def wait(self, who: int) -> None:
        """Look at the claim as one who waits does, and take it when nobody lives who has it."""
        actor = self.actors[who]
        if actor.lease is not None:
            return
        state = actor.observer.look()
        seen = actor.observer.claim
        if state == "stale":
            assert seen is not None
            for other in self.believers:
                assert other.lease is not None
                if other.lease.claim.token == seen.token:
                    assert self.now - other.last_beat >= 10.0
            got = self.claims.acquire(seen.key, seen, **self._wanted(actor))
            # Nobody else did anything since the look.
            assert isinstance(got, Lease)
            self._got(actor, got)
        elif state == "free":
            self.acquire(who)
            assert actor.lease is not None

    @rule(who=actors_drawn)
    def is_patient(self, who: int) -> None:
        """Whoever waits for long enough, while nothing happens, gets it."""
        actor = self.actors[who]
        if actor.lease is None:
            self.wait(who)
            self.now += DEFAULT_LEASE_SECONDS
            self.wait(who)
            assert actor.lease is not None

    @precondition(lambda self: self.file.exists())
    @rule()
    def the_claim_is_damaged(self) -> None:
        self.file.write_bytes(self.file.read_bytes()[:-5])

    @precondition(lambda self: self.file.exists())
    @rule()
    def the_claim_is_removed(self) -> None:
        self.file.unlink()

    @rule()
    def all_renew(self) -> None:
        """Whoever has lost the claim knows it with the next renewal, and then one at most believes to have it."""
        before = self.believers
        there = self.claims.look(KEY)
        for actor in before:
            assert actor.lease is not None
            actor.lease.renew()
            actor.last_beat = self.now
        after = self.believers
        assert len(after) <= 1
        if there is not None and not there.damaged:
            # It is the one whom the claim names, or nobody when that one is dead.
            assert [a.lease.claim.token for a in after if a.lease] in ([there.token], [])
        elif before:
            assert len(after) == 1

    @invariant()
    def the_claim_names_the_last_who_got_it_or_one_who_did_not_know(self) -> None:
        there = self.claims.look(KEY)
        if there is None or there.damaged:
            return
        named = [actor for actor in self.actors if actor.lease and actor.lease.claim.token == there.token]
        assert len(named) <= 1
        assert all(actor.lease is not None and not actor.lease.lost for actor in named)


TestCompetition = Competition.TestCase
TestCompetition.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
