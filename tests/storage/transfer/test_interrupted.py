"""Killed at any moment, cut off, or sent damaged: nothing is lost, nothing half is seen, nothing is moved twice."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aml_provider.spec.errors import AmlError
from aml_provider.storage.transfer import Options, Place, TransferError, transfer
from aml_provider.storage.transfer.journal import Journal
from tests import stores
from tests.small_disk import small_disk
from tests.storage.transfer.conftest import Make, Move
from tests.storage.transfer.trees import age, content

PORTS = {"s3": 5900, "azure": 5910, "sftp": 5920}
BIG = (12 << 20) + 999
WRITER = """
import os, sys
file = open(sys.argv[1], "r+b")
print("ready", flush=True)
while not os.path.exists(sys.argv[2]):
    os.pwrite(file.fileno(), os.urandom(8), 0)
"""


def told(source: stores.Place, start: str, end: stores.Place, path: str, state: Path, **more: Any) -> str:
    return json.dumps(
        {
            "from": {"url": source.url, "conn_id": source.conn_id},
            "from_path": start,
            "to": {"url": end.url, "conn_id": end.conn_id},
            "to_path": path,
            "state": str(state),
            "small_parts": True,
            **more,
        }
    )


def started(text: str) -> subprocess.Popen[str]:
    """A transfer in a process of its own, ready to begin."""
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.storage.transfer.mover", text], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process: subprocess.Popen[str]) -> dict[str, Any] | None:
    """What it has told; ``None``: it was killed."""
    out, _ = process.communicate(timeout=120)
    return None if process.returncode == -signal.SIGKILL else json.loads(out)


def seen(end: stores.Place) -> dict[str, str]:
    """What other programs see, and by what they would see that it was written again."""
    if end.inside is not None:
        files = [p for p in end.inside.rglob("*") if p.is_file() and not p.name.startswith(".aml-part-")]
        return {p.relative_to(end.inside).as_posix(): f"{p.stat().st_ino} {p.stat().st_mtime_ns}" for p in files}
    return {item.path: f"{item.identity} {item.modified}" for item in end.store.items()}


@pytest.mark.parametrize("kind", stores.some(stores.KINDS, stores.KINDS[:2]))
def test_killed_at_random_moments_it_ends_all_the_same(kind: str, make: Make, tmp_path: Path) -> None:
    source, end = make("local"), make(kind)
    files = {f"small/{n}": content(n, 3000) for n in range(60)} | {"big.bin": content(99, BIG)}
    for path, data in files.items():
        source.write(path, data)
    text = told(source, "", end, "", tmp_path / "state", workers=3)
    moments = random.Random(kind)
    whole: dict[str, str] = {}
    result, kills = None, 0
    while result is None:
        process = started(text)
        # Later each time, so that it comes to an end on any machine.
        time.sleep(moments.uniform(0, 0.3 * (kills + 1)))
        if process.poll() is None and kills < 8:
            process.kill()
            kills += 1
        result = ended(process)
        now = seen(end)
        # What is seen is whole, and what was whole has not been touched since.
        assert {path: end.read(path) for path in now} == {path: files[path] for path in now}
        assert {path: now[path] for path in whole} == whole
        whole = now
    assert set(whole) == set(files)
    assert result["files"] + result["skipped"] == len(files)
    if end.inside is not None:
        assert end.names() == sorted(files)


def signalled(end: stores.Place, big: str, parts: int, state: Path) -> Callable[[], bool]:
    """Whether so many parts of a big file have arrived."""

    def arrived() -> bool:
        lines = [line for file in state.glob("*.jsonl") for line in file.read_text().splitlines()]
        return sum(line.startswith(f'["part","{big}"') for line in lines) >= parts

    return arrived


@pytest.mark.parametrize("kind", stores.some(stores.REMOTE_KINDS, stores.REMOTE_KINDS[:1]))
def test_the_parts_of_a_big_file_that_have_arrived_stay(kind: str, make: Make, tmp_path: Path) -> None:
    source, end = make("local"), make(kind)
    source.write("big.bin", content(1, BIG))
    assert source.inside is not None
    age(source.inside)
    state = tmp_path / "state"
    text = told(source, "big.bin", end, "big.bin", state, workers=1)
    enough = signalled(end, "big.bin", 1, state)
    process = started(text)
    while not enough() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    if ended(process) is not None:
        pytest.skip("it was faster than the kill")  # pragma: no cover

    result = ended(started(text))

    assert result is not None
    assert 0 < result["resumed_bytes"] < BIG
    assert result["bytes"] == BIG
    assert end.read("big.bin") == content(1, BIG)
    assert end.names() == ["big.bin"]


@pytest.mark.stores
@pytest.mark.parametrize("kind", stores.some(["s3", "sftp"], ["s3"]))
def test_parts_of_another_version_are_not_put_together_with_this_one(kind: str, make: Make, tmp_path: Path) -> None:
    source, end = make("local"), make(kind)
    source.write("big.bin", content(1, BIG))
    state = tmp_path / "state"
    text = told(source, "big.bin", end, "big.bin", state, workers=1)
    process, enough = started(text), signalled(end, "big.bin", 1, state)
    while not enough() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    ended(process)

    source.write("big.bin", content(2, BIG))
    result = ended(started(text))

    assert result is not None
    assert result["resumed_bytes"] == 0
    assert end.read("big.bin") == content(2, BIG)
    assert end.names() == ["big.bin"]


@pytest.mark.stores
@pytest.mark.usefixtures("small_parts")
def test_from_sftp_too_what_has_arrived_stays(make: Make, move: Move) -> None:
    source, end = make("sftp"), make("local")
    for number in range(5):
        source.write(f"{number}", content(number, 400_000))
    assert source.inside is not None
    age(source.inside)
    move(source, "", end, "")
    before = seen(end)
    assert move(source, "", end, "").skipped == 5
    assert seen(end) == before


# --- the network --------------------------------------------------------------------------------------------------


@pytest.fixture(params=stores.some(["s3", "azure", "sftp"], ["s3"]))
def wired(
    request: pytest.FixtureRequest, make: Make, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[stores.Place, stores.Wire, Damage]]:
    """A root that is reached through a wire, which can be cut and does damage."""
    kind, damage = request.param, Damage()
    wire = stores.Wire(PORTS[kind], damage)
    try:
        root = make(kind)
        address = f"http://127.0.0.1:{wire.port}" + ("/devstoreaccount1" if kind == "azure" else "")
        changes: dict[str, Any] = {"port": wire.port} if kind == "sftp" else {"extra": {"endpoint_url": address}}
        stores.set_connection(monkeypatch, f"my_{kind}", stores.connection(kind, **changes))
        if kind == "sftp":
            root.url = root.url.replace(":5920", f":{wire.port}")
        yield root, wire, damage
    finally:
        # The test may have closed it.
        with contextlib.suppress(OSError):
            wire.close()


class Damage:
    """Changes a byte of what is sent, wherever a mark is seen."""

    MARK = b"-- here damage is done --"

    def __init__(self) -> None:
        self.times = 0
        self.done = 0

    def __call__(self, data: bytes) -> bytes:
        if self.done < self.times and self.MARK in data:
            self.done += 1
            return data.replace(self.MARK, self.MARK.upper(), 1)
        return data


@pytest.mark.stores
@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("wired", stores.some(["s3", "azure"], ["s3"]), indirect=True)
@pytest.mark.parametrize("size", [1000, (7 << 20)])
def test_what_arrives_damaged_is_sent_again(
    size: int, wired: tuple[stores.Place, stores.Wire, Damage], make: Make, move: Move
) -> None:
    (end, _, damage), source = wired, make("local")
    data = content(1, size // 2) + Damage.MARK + content(2, size // 2)
    source.write("file", data)
    damage.times = 1

    move(source, "file", end, "file")

    assert damage.done == 1
    assert end.read("file") == data


@pytest.mark.stores
@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("wired", stores.some(["s3", "azure"], ["s3"]), indirect=True)
def test_what_always_arrives_damaged_replaces_nothing(
    wired: tuple[stores.Place, stores.Wire, Damage], make: Make, move: Move
) -> None:
    (end, _, damage), source = wired, make("local")
    size = 7 << 20
    end.write("x/file", b"good old data")
    source.write("file", content(1, size) + Damage.MARK)
    damage.times = 1000

    with pytest.raises(AmlError, match="datastore 'blobs'") as caught:
        move(source, "", end, "x")

    assert "\n" not in str(caught.value)
    assert end.read("x/file") == b"good old data"


@pytest.mark.stores
@pytest.mark.usefixtures("small_parts")
def test_an_object_that_was_put_together_is_there_although_the_answer_was_lost(
    make: Make, move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = []

    def sent(data: bytes) -> bytes:
        if data.startswith(b"POST") and b"?uploadId=" in data and not lost:
            lost.append(data)
            wire.cut_after(0)
        return data

    with stores.wire(PORTS["s3"], sent) as wire:
        source, end = make("local"), make("s3")
        extra = {"endpoint_url": _url("s3", wire.port)}
        stores.set_connection(monkeypatch, "my_s3", stores.connection("s3", extra=extra))
        source.write("big", content(1, BIG))

        summary = move(source, "big", end, "big")

        assert lost
        assert summary.bytes == BIG
        assert end.read("big") == content(1, BIG)


@pytest.mark.stores
@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("wired", stores.some(["s3", "azure", "sftp"], ["s3"]), indirect=True)
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_network_that_is_cut_in_the_middle(
    way: str,
    wired: tuple[stores.Place, stores.Wire, Damage],
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (far, wire, _), near = wired, make("local")
    files = {f"{n}": content(n, 50_000) for n in range(20)} | {"big": content(77, 11 << 20)}
    source, end = (near, far) if way == "up" else (far, near)
    for path, data in files.items():
        source.write(path, data)
    if source.inside is not None:
        age(source.inside)
    places = Place(source.store, ""), Place(end.store, "to")

    # Stores say little to what is sent to them.
    wire.after(1500 if way == "up" else 2 << 20, wire.close)
    with pytest.raises(AmlError, match=r"^datastore 'blobs' \(.*did not answer while") as caught:
        transfer(*places, state=tmp_path / "state", say=lambda _: None)
    assert "\n" not in str(caught.value)

    with stores.wire(PORTS[far.kind]) as again:
        changes = (
            {"port": again.port} if far.kind == "sftp" else {"extra": {"endpoint_url": _url(far.kind, again.port)}}
        )
        stores.set_connection(monkeypatch, f"my_{far.kind}", stores.connection(far.kind, **changes))
        far.url = far.url.replace(f":{wire.port}/", f":{again.port}/")
        far._store = None
        whole = seen(end)
        assert {name: end.read(name) for name in whole} == {name: files[name.removeprefix("to/")] for name in whole}

        transfer(Place(source.store, ""), Place(end.store, "to"), say=lambda _: None, state=tmp_path / "state")

        assert {name: end.read(f"to/{name}") for name in files} == files
        # The notes are of another address, so only what has checksums is known to be whole.
        if far.kind != "sftp":
            assert {name: mark for name, mark in seen(end).items() if name in whole} == whole


@pytest.mark.stores
@pytest.mark.parametrize("wired", ["sftp"], indirect=True)
@pytest.mark.parametrize("after", [100_000, 700_000])
def test_a_connection_that_broke_once_leaves_nothing_beside_the_files(
    after: int, wired: tuple[stores.Place, stores.Wire, Damage], make: Make, tmp_path: Path
) -> None:
    (far, wire, _), near = wired, make("local")
    files = {f"{n}": content(n, 50_000) for n in range(40)}
    for path, data in files.items():
        near.write(path, data)
    wire.after(after, wire.cut)
    transfer(Place(near.store, ""), Place(far.store, "to"), say=lambda _: None, state=tmp_path / "state")
    assert wire.done.is_set()
    assert far.inside is not None
    assert {path.name: path.read_bytes() for path in (far.inside / "to").iterdir()} == files


def _url(kind: str, port: int) -> str:
    return f"http://127.0.0.1:{port}" + ("/devstoreaccount1" if kind == "azure" else "")


# --- the disk -----------------------------------------------------------------------------------------------------


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> Damage:
    """A disk that keeps another byte than it was given, wherever a mark is written."""
    damage, write = Damage(), os.pwrite

    def pwrite(file: int, data: Any, at: int) -> int:
        return write(file, damage(bytes(data)), at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    return damage


@pytest.mark.parametrize("size", [0, 3 << 20])
@pytest.mark.parametrize("mapped", [True, False])
def test_what_a_disk_damages_replaces_nothing(
    size: int, mapped: bool, spoiled: Damage, make: Make, move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not mapped:  # refused, as file systems do that cannot map files
        monkeypatch.setattr(mmap, "MAP_SHARED", 0)
    source, end = make("local"), make("local")
    data = content(1, size) + Damage.MARK + content(2, size)
    source.write("file", data)
    end.write("x/file", b"good old data")

    spoiled.times = 1000
    with pytest.raises(TransferError, match=r"'file' of datastore 'blobs' .* has arrived damaged .* 3 times"):
        move(source, "file", end, "x/file")
    assert spoiled.done == 3
    assert end.read("x/file") == b"good old data"
    assert end.names() == ["x/file"]

    spoiled.times = 4
    move(source, "file", end, "x/file")
    assert spoiled.done == 4
    assert end.read("x/file") == data


# --- the source ---------------------------------------------------------------------------------------------------


def test_a_file_that_goes_on_changing_is_refused_in_words(make: Make, tmp_path: Path) -> None:
    source, end = make("local"), stores.Place("local", str(tmp_path / "end"), None, tmp_path / "end")
    # So big that on any machine it is written to while it is read.
    source.write("file", content(1, 128 << 20))
    end.write("file", b"good old data")
    assert source.inside is not None
    file, stop = source.inside / "file", tmp_path / "stop"
    writer = subprocess.Popen(
        [
            sys.executable,
            "-c",
            WRITER,
            str(file),
            str(stop),
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(TransferError, match=r"'file' of datastore 'blobs' .* goes on changing while it is read"):
            transfer(Place(source.store, "file"), Place(end.store, "file"), say=lambda _: None)
        assert end.read("file") == b"good old data"
        assert end.names() == ["file"]
    finally:
        stop.touch()
        writer.communicate()
    transfer(Place(source.store, "file"), Place(end.store, "file"), say=lambda _: None)
    assert end.read("file") == file.read_bytes()


def test_a_file_that_says_another_size_than_it_has_is_not_moved_as_if_it_were_that(make: Make, move: Move) -> None:
    kernel, end = stores.Place("local", "/proc", None), make("local")
    with pytest.raises(TransferError, match=r"'version' of datastore 'blobs' .* goes on changing while it is read"):
        move(kernel, "version", end, "file")
    assert end.names() == []


def test_two_transfers_to_one_place_at_once(make: Make, tmp_path: Path) -> None:
    source, end = make("local"), stores.Place("local", str(tmp_path / "end"), None, tmp_path / "end")
    files = {f"{n}": content(n, 20_000) for n in range(50)} | {"big": content(77, 9 << 20)}
    for path, data in files.items():
        source.write(path, data)
    both = [started(told(source, "", end, "", tmp_path / "state")) for _ in range(2)]
    assert all(ended(process) is not None for process in both)
    assert {name: end.read(name) for name in end.names()} == files


@pytest.mark.stores
def test_two_transfers_to_one_far_place_at_once_do_not_share_their_notes(make: Make, tmp_path: Path) -> None:
    source, end = make("local"), make("s3")
    files = {f"{n}": content(n, 20_000) for n in range(50)} | {"big": content(77, 12 << 20)}
    for path, data in files.items():
        source.write(path, data)
    both = [started(told(source, "", end, "", tmp_path / "state")) for _ in range(2)]
    assert all(ended(process) is not None for process in both)
    assert {name: end.read(name) for name in end.names()} == files


def test_while_the_notes_are_in_use_another_transfer_does_without(make: Make, tmp_path: Path) -> None:
    source, end = make("local"), make("local")
    names = (source.url, "", end.url, "")
    held = Journal.of(tmp_path / "state", *names)
    assert held is not None
    assert Journal.of(tmp_path / "state", *names) is None
    held.close()
    again = Journal.of(tmp_path / "state", *names)
    assert again is not None
    again.close()


@pytest.mark.stores
def test_a_part_that_was_spoiled_between_two_tries_is_found(make: Make, tmp_path: Path) -> None:
    source, end = make("s3"), make("local")
    source.write("big.bin", content(1, BIG))
    state = tmp_path / "state"
    text = told(source, "big.bin", end, "big.bin", state, workers=1)
    enough = signalled(end, "big.bin", 1, state)
    process = started(text)
    while not enough() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    if ended(process) is not None:
        pytest.skip("it was faster than the kill")  # pragma: no cover
    assert end.inside is not None
    (part,) = end.inside.glob(".aml-part-*")
    with part.open("r+b") as file:
        file.write(b"spoiled")

    result = ended(started(text))

    assert result is not None
    assert end.read("big.bin") == content(1, BIG)
    assert end.names() == ["big.bin"]


def test_what_was_left_long_ago_is_removed(make: Make, move: Move) -> None:
    source, end = make("local"), make("local")
    source.write("a", b"a")
    end.write(".aml-part-old", b"half")
    end.write(".aml-part-new", b"half")
    assert end.inside is not None
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(end.inside / ".aml-part-old", (long_ago, long_ago))
    # The destination is listed when many files go there, or when it is to be a mirror.
    move(source, "", end, "", mirror=True)
    assert end.names() == [".aml-part-new", "a"]


def test_a_disk_that_is_full(make: Make, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=3m") as folder:
        source, end = make("local"), stores.Place("local", str(folder), None, folder)
        files = {"a": content(1, 1 << 20), "b": content(2, 1 << 20), "c": content(3, 1 << 20), "d": content(4, 1 << 20)}
        for path, data in files.items():
            source.write(path, data)
        end.write("d", b"good old data")

        with pytest.raises(TransferError, match=rf"datastore 'blobs' \({folder}\) is full while moving '.'.*make room"):
            transfer(Place(source.store), Place(end.store), Options(workers=1), say=lambda _: None)

        now = seen(end)
        assert {name: end.read(name) for name in now if name != "d"} == {n: files[n] for n in now if n != "d"}
        assert end.read("d") == b"good old data"
        assert not [name for name in end.names() if name.startswith(".aml-part-")]

        subprocess.run(["mount", "-o", "remount,size=10m", str(folder)], check=True)
        summary = transfer(Place(source.store), Place(end.store), say=lambda _: None)
        assert {name: end.read(name) for name in end.names()} == files
        assert summary.skipped >= 1


# --- memory -------------------------------------------------------------------------------------------------------


@pytest.mark.stores
@pytest.mark.parametrize(
    ("start", "end"),
    stores.some([("local", "s3"), ("s3", "local"), ("local", "azure"), ("local", "sftp")], [("s3", "local")]),
)
def test_memory_has_a_bound(start: str, end: str, make: Make, tmp_path: Path) -> None:
    source, destination = make(start), make(end)
    size = 96 << 20
    source.write("big", content(1, size))
    text = told(source, "big", destination, "big", tmp_path / "state", small_parts=False)
    result = ended(started(text))
    assert result is not None
    assert result["bytes"] == size
    assert result["peak"] < 300 << 20
