"""What has been computed is kept in the bucket that is the default datastore, for machines that share no folder."""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from aml_provider.reuse.announced import announce, announce_use, announced_runs, withdraw
from aml_provider.reuse.canonical import digest
from aml_provider.reuse.claims import Claim, Claims, Lease
from aml_provider.reuse.gc import Collector, Selection
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.records import Record
from aml_provider.reuse.uses import running_runs
from aml_provider.runs.binding import PipelineBinding
from aml_provider.runs.layout import RunStore
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import Command, PipelineSpec, Step, SubmitOptions, Text
from aml_provider.storage.faults import DatastoreError
from aml_provider.triggers.claim import ClaimTrigger
from aml_provider.workspace.discovery import load_workspace
from tests.reuse.machines import PATIENCE, Warnings, Worker, until
from tests.reuse.test_records import KEY, OTHER, record
from tests.stores import Place, connection, set_connection

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = """
name: buckets
default_datastore: blobs
datastores:
  blobs: {{url: '{url}', conn_id: {conn_id}}}
reuse: {{lease_seconds: 5}}
"""


def machine(bucket: Place, tmp_path: Path, name: str) -> RunStore:
    """A machine with a folder of its own."""
    return RunStore(tmp_path / name / ".aml", "blobs", bucket.config)


# --- the index ----------------------------------------------------------------------------------------------------


def test_what_one_machine_has_computed_another_finds(bucket: Place, tmp_path: Path, warnings: Warnings) -> None:
    one, other = (ReuseIndex.of(machine(bucket, tmp_path, name)) for name in ("one", "other"))
    assert one.commit(record()) == record()
    assert other.read(KEY) == record()
    assert other.commit(record(by="run-2/train")) == record()
    assert other.of_step("train") == [record()]
    assert other.newest_of_step("train", 5) == [record()]
    other.pin("digits", "train", KEY, "the paper")
    assert [pin.note for pin in one.certain_pins().values()] == ["the paper"]
    assert all(name.startswith(".aml/reuse/") for name in bucket.names())
    assert other.forget(KEY)
    assert one.read(KEY) is None
    assert warnings() == []


@pytest.mark.stores
def test_many_records_are_fetched_once(s3: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [digest(number) for number in range(60)]
    one = ReuseIndex.of(machine(s3, tmp_path, "one"))
    for key in keys:
        one.commit(record(key))
    fetched: list[str] = []
    from aml_provider.storage.object_store import ObjectStore

    real = ObjectStore.read_many
    monkeypatch.setattr(ObjectStore, "read_many", lambda self, names: fetched.extend(names) or real(self, names))
    other = machine(s3, tmp_path, "other")

    def found() -> tuple[int, dict[str, Any]]:
        fetched.clear()
        records = ReuseIndex.of(other).read_many(keys)
        return len(fetched), records

    assert found() == (60, {key: record(key) for key in keys})
    assert found() == (0, {key: record(key) for key in keys})
    # What has been replaced, removed or added is noticed.
    one.commit(record(keys[0], created=2000.0), replace=True)
    one.forget(keys[1])
    count, records = found()
    assert count == 1
    assert records[keys[0]].created == 2000.0
    assert keys[1] not in records
    # A copy that is damaged, or gone, is no record that is damaged.
    copies = [file for file in other.copies.rglob("*.json") if keys[1] not in file.name]
    copies[0].write_bytes(copies[0].read_bytes()[:-9])
    copies[1].unlink()
    copies[2].write_bytes(copies[3].read_bytes())
    count, records = found()
    assert count == 3
    assert len(records) == 59


@pytest.mark.stores
def test_a_damaged_record_counts_as_absent(s3: Place, tmp_path: Path, warnings: Warnings) -> None:
    index = ReuseIndex.of(machine(s3, tmp_path, "one"))
    keys = [digest(number) for number in range(40)]
    for key in keys:
        index.commit(record(key))
    name = f".aml/reuse/records/{keys[0][:2]}/{keys[0]}.json"
    s3.write(name, s3.read(name)[:-5])
    assert index.read(keys[0]) is None
    assert set(ReuseIndex.of(machine(s3, tmp_path, "one")).read_many(keys)) == set(keys[1:])
    where = f"{name.removeprefix('.aml/reuse/')} in {s3.key('.aml/reuse/')!r} of datastore 'blobs' ({s3.url})"
    assert all(line.startswith(f"{where} cannot be used and counts as absent: ") for line in warnings())
    assert index.commit(record(keys[0])) == record(keys[0])
    assert index.read(keys[0]) == record(keys[0])


@pytest.mark.stores
def test_a_bucket_that_does_not_answer_is_no_hit(
    s3: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Warnings
) -> None:
    ReuseIndex.of(machine(s3, tmp_path, "one")).commit(record())
    nowhere = connection(
        "s3", extra={"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"total_max_attempts": 1}}}
    )
    set_connection(monkeypatch, "my_s3", nowhere)
    index, claims = ReuseIndex.of(machine(s3, tmp_path, "other")), Claims.of(machine(s3, tmp_path, "other"))
    assert index.read(KEY) is None
    (said,) = warnings()
    assert "blobs" in said
    assert "127.0.0.1:9" in said
    with pytest.raises(DatastoreError, match="127.0.0.1:9"):
        index.commit(record(OTHER))
    with pytest.raises(DatastoreError):
        claims.look(KEY)


# --- claims -------------------------------------------------------------------------------------------------------


def test_runs_of_one_name_on_two_machines_are_two_owners(bucket: Place, tmp_path: Path) -> None:
    terms = {"owner": "lab-run-1-train", "step": "train", "pipeline_run_id": "lab-run-1"}
    one, other = (Claims.of(machine(bucket, tmp_path, name)) for name in ("one", "other"))
    lease = one.acquire(KEY, **terms)
    assert isinstance(lease, Lease)
    held = other.acquire(KEY, **terms)
    assert isinstance(held, Claim)
    assert held.owner.startswith("lab-run-1-train@")
    # Its own claim, from an attempt before, a run has at once.
    again = Claims.of(machine(bucket, tmp_path, "one"))
    seen = again.look(KEY)
    assert seen is not None
    assert seen.owner == "lab-run-1-train"
    other.drop({"lab-run-1-train"})
    assert isinstance(again.acquire(KEY, **terms), Lease)
    again.drop({"lab-run-1-train"})
    assert isinstance(other.acquire(KEY, **terms), Lease)


@pytest.mark.stores
def test_the_claim_of_a_killed_machine_is_taken_over_within_its_lease(s3: Place, tmp_path: Path) -> None:
    config = json.dumps({"url": s3.url, "conn_id": s3.conn_id})
    workers = [Worker(config, tmp_path / str(number), f"run-{number}/train") for number in range(3)]
    try:
        owner, *others = workers
        assert owner.ask("acquire", KEY, lease_seconds=3.0) == "mine"
        owner.ask("start")
        for waiter in others:
            waiter.tell("wait_and_take_over", KEY, lease_seconds=3.0)
        # While it renews its claim, nobody has it.
        assert select.select(others, [], [], 4.5)[0] == []
        killed = time.monotonic()
        owner.kill()
        answers = [waiter.answer() for waiter in others]
        assert sorted(answer == "mine" for answer in answers) == [False, True]
        assert time.monotonic() - killed < PATIENCE / 2
    finally:
        for worker in workers:
            worker.close()


async def _event(trigger: ClaimTrigger) -> dict[str, Any]:
    async for event in trigger.run():
        return dict(event.payload)
    raise AssertionError("no event")


@pytest.mark.stores
def test_a_trigger_waits_for_a_claim_in_a_bucket(s3: Place, tmp_path: Path) -> None:
    one = machine(s3, tmp_path, "one")
    lease = Claims.of(one).acquire(KEY, owner="o", step="train", pipeline_run_id="r")
    assert isinstance(lease, Lease)
    path, arguments = ClaimTrigger.at(machine(s3, tmp_path, "other"), KEY, 0.05).serialize()
    assert path.endswith("ClaimTrigger")
    assert s3.url in json.dumps(arguments)
    done = threading.Timer(0.5, lambda: (ReuseIndex.of(one).commit(record()), lease.release()))
    done.start()
    event = asyncio.run(_event(ClaimTrigger(**json.loads(json.dumps(arguments)))))
    done.join()
    assert event == {"state": "recorded", "key": KEY, "claim": None}


# --- making room --------------------------------------------------------------------------------------------------


@dataclass
class Shop:
    """A machine's workspace whose default datastore is a bucket, with a result in it."""

    folder: Path
    bucket: Place

    def __post_init__(self) -> None:
        self.folder.mkdir()
        (self.folder / "workspace.yaml").write_text(WORKSPACE.format(url=self.bucket.url, conn_id=self.bucket.conn_id))
        self.workspace = load_workspace(self.folder / "workspace.yaml")
        self.store = RunStore.of(self.workspace, "blobs")
        self.index = ReuseIndex.of(self.store)

    def result(self, step: str, key: str, path: str) -> Record:
        for name in ("a", "deep/b"):
            self.bucket.write(f"{path}/{name}", b"x" * 500)
        content = self.bucket.store.content(path)
        assert content is not None
        place = {"datastore": "blobs", "path": path, "digest": content.digest, "files": 2, "bytes": 1000}
        value = replace(record(key, step, by="run-1-train"), outputs={"data": place})
        return self.index.commit(value)

    def collector(self) -> Collector:
        return Collector(self.index, self.workspace, lambda: [*running_runs(self.store), *announced_runs(self.store)])

    def binding(self, step: str) -> PipelineBinding:
        """A pipeline with one step."""
        action = Command(words=(Text(value="true"),))
        spec = PipelineSpec(
            workspace="buckets",
            default_datastore="blobs",
            steps=(Step(key=step, name=step, type="CommandStep", action=action),),
            submit=SubmitOptions(experiment="digits"),
        )
        return PipelineBinding(spec, self.folder, self.workspace)


EVERYTHING = Selection(step="*")


@pytest.mark.stores
def test_results_in_a_bucket_go_with_their_data(s3: Place, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "one", s3)
    shop.result("train", KEY, "runs/run-1-train/data")
    chosen = shop.result("prep", OTHER, "shared/data")
    # Its name begins like that of the folder, and it is somebody else's.
    s3.write("runs/run-1-train/data2", b"mine")
    planned = shop.collector().plan(EVERYTHING)
    assert planned.bytes == 1000
    assert len(s3.names()) == 5 + 4
    done = shop.collector().collect(EVERYTHING)
    assert {r.fingerprint for r in done.removed} == {KEY, OTHER}
    assert done.bytes == 1000
    assert [str(place) for place in done.kept_places] == ["blobs:shared/data"]
    assert s3.names() == ["runs/run-1-train/data2", "shared/data/a", "shared/data/deep/b"]
    assert chosen.fingerprint == OTHER


@pytest.mark.stores
def test_what_a_run_of_another_machine_needs_stays(s3: Place, tmp_path: Path) -> None:
    shop, other = Shop(tmp_path / "one", s3), Shop(tmp_path / "other", s3)
    shop.result("train", KEY, "runs/run-1-train/data")
    announce(other.binding("train"), "lab", "run 1", {})
    (kept,) = shop.collector().collect(EVERYTHING).kept
    assert "has not ended" in kept[1]
    withdraw(other.store, "lab", "run 1")
    # A step of another name uses the result.
    announce(other.binding("fit"), "lab", "run 2", {})
    announce_use(other.store, "lab", "run 2", KEY)
    (kept,) = shop.collector().collect(EVERYTHING).kept
    assert "uses it" in kept[1]
    # A parameter of the run is a folder in the result.
    withdraw(other.store, "lab", "run 2")
    announce(
        other.binding("fit"), "lab", "run 3", {"data": {"datastore": "blobs", "path": "runs/run-1-train/data/deep"}}
    )
    assert len(shop.collector().collect(EVERYTHING).kept) == 1
    withdraw(other.store, "lab", "run 3")
    assert len(shop.collector().collect(EVERYTHING).removed) == 1
    assert s3.names() == []


@pytest.mark.stores
def test_a_run_that_cannot_be_read_stops_the_collection(s3: Place, tmp_path: Path) -> None:
    shop, other = Shop(tmp_path / "one", s3), Shop(tmp_path / "other", s3)
    shop.result("train", KEY, "runs/run-1-train/data")
    announce(other.binding("fit"), "lab", "run 1", {})
    (name,) = [name for name in s3.names() if "/running/" in name]
    s3.write(name, s3.read(name)[:-3])
    with pytest.raises(AmlError, match="nobody can tell what that run needs"):
        shop.collector().collect(EVERYTHING)
    assert shop.index.read(KEY) is not None


# --- steps on two machines ----------------------------------------------------------------------------------------


class Machine:
    """A process with a workspace folder of its own, which runs one pipeline."""

    def __init__(self, folder: Path, bucket: Place, counter: Path, model: str = "a model") -> None:
        folder.mkdir()
        (folder / "workspace.yaml").write_text(WORKSPACE.format(url=bucket.url, conn_id=bucket.conn_id))
        (folder / "code").mkdir()
        (folder / "code" / "train.py").write_text(TRAIN.replace("a model", model))
        self.gate = folder / "gate"
        os.mkfifo(self.gate)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.reuse.bucket_machine", str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COUNTER": str(counter), "GATE": str(self.gate)},
        )

    def said(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise AssertionError(self._process.stderr.read() if self._process.stderr else "")
        return line

    def let_go(self) -> None:
        """Have its script, which waits, write its output."""
        with self.gate.open("w") as gate:
            gate.write("go\n")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


TRAIN = """
import os, sys
from pathlib import Path

with open(os.environ["COUNTER"], "a") as counter:
    counter.write("x")
with open(os.environ["GATE"]) as gate:
    gate.read()
Path(sys.argv[1]).mkdir(exist_ok=True)
Path(sys.argv[1], "model.txt").write_text("a model")
"""


@pytest.fixture
def machines(s3: Place, tmp_path: Path) -> Iterator[list[Machine]]:
    made: list[Machine] = []
    try:
        for name in ("one", "other"):
            made.append(Machine(tmp_path / name, s3, tmp_path / "counter"))
        yield made
    finally:
        for machine in made:
            machine.close()


@pytest.mark.stores
def test_two_machines_compute_a_step_once(machines: list[Machine], tmp_path: Path) -> None:
    said = {machine.said(): machine for machine in machines}
    assert set(said) == {"computing", "waiting"}
    said["computing"].let_go()
    assert said["computing"].said() == "computed"
    assert said["waiting"].said() == "reused"
    assert (tmp_path / "counter").read_text() == "x"


@pytest.mark.stores
def test_what_a_killed_machine_was_computing_another_computes(machines: list[Machine], tmp_path: Path) -> None:
    said = {machine.said(): machine for machine in machines}
    until((tmp_path / "counter").exists, "the script has started")
    said["computing"].kill()
    assert said["waiting"].said() == "computing"
    said["waiting"].let_go()
    assert said["waiting"].said() == "computed"
    assert (tmp_path / "counter").read_text() == "xx"


@pytest.mark.stores
def test_two_airflows_whose_runs_have_one_name_write_to_places_of_their_own(s3: Place, tmp_path: Path) -> None:
    """They have other code, so none waits for the other."""
    made = [Machine(tmp_path / name, s3, tmp_path / "counter", f"the model of {name}") for name in ("one", "other")]
    try:
        assert [machine.said() for machine in made] == ["computing", "computing"]
        for machine in made:
            machine.let_go()
            assert machine.said() == "computed"
    finally:
        for machine in made:
            machine.close()
    models = [s3.read(name) for name in s3.names() if name.startswith("models/")]
    assert sorted(models) == [b"the model of one", b"the model of other"]
