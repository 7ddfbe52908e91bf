"""Ten thousand files, and one of two GiB: killed again and again they arrive, nothing twice, in little memory.

Only with AML_TRANSFERS=all: it takes minutes for each pair.
"""

from __future__ import annotations

import hashlib
import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aml_provider.storage.transfer import Options
from tests import stores
from tests.storage.transfer.conftest import Make
from tests.storage.transfer.test_interrupted import seen, started, told
from tests.storage.transfer.trees import age

pytestmark = [
    pytest.mark.stores,
    pytest.mark.skipif(not stores.EVERYTHING, reason="takes minutes: AML_TRANSFERS=all"),
]
FILES = 10_000
BIG = 2 << 30
KILLS = 3
LIMIT = 300 << 20
PAIRS = (
    ("local", "local"),
    ("local", "s3"),
    ("s3", "local"),
    ("local", "azure"),
    ("azure", "local"),
    ("local", "sftp"),
    ("sftp", "local"),
    ("s3", "azure"),
    ("azure", "sftp"),
    ("sftp", "s3"),
)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both on this machine."""
    root = tmp_path_factory.mktemp("original")
    numbers = random.Random(1)
    for n in range(FILES):
        file = root / "many" / f"{n % 100:02}" / f"{n}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(numbers.randbytes(numbers.randrange(1 << 10, 16 << 10)))
    (root / "one").mkdir()
    with (root / "one" / "big.bin").open("wb") as out:
        for _ in range(BIG >> 23):
            out.write(numbers.randbytes(8 << 20))
    age(root)
    return root


def pieces(place: stores.Place, path: str) -> Iterator[bytes]:
    """A file as another program reads it, in little memory."""
    with place.store.filesystem.open(place.store.full(path), "rb") as file:
        while piece := file.read(8 << 20):
            yield piece


def digest(parts: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


@pytest.mark.parametrize("shape", ["many", "one"])
@pytest.mark.parametrize(("start", "end"), PAIRS)
def test_killed_and_tried_again(
    start: str, end: str, shape: str, original: Path, make: Make, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    here = stores.Place("local", str(original), None, original)
    source, destination = (here, shape), make(end)
    if start != "local":
        far = make(start)
        text = told(here, shape, far, shape, tmp_path / "there", small_parts=False)
        there = started(text)
        there.communicate()
        assert there.returncode == 0
        source = (far, shape)
    text = told(*source, destination, "x", tmp_path / "state", small_parts=False)
    moments = random.Random(f"{start}{end}{shape}")
    whole: dict[str, str] = {}
    result, kills, refused, peaks = None, 0, 0, []
    began = time.monotonic()
    while result is None:
        process = started(text)
        # After so many more files or parts have arrived, or bytes where no notes are kept.
        enough = arrived(tmp_path / "state", destination) + moments.uniform(0.02, 0.25)
        while process.poll() is None and kills < KILLS and arrived(tmp_path / "state", destination) < enough:
            time.sleep(0.05)
            peaks.append(peak(process.pid))
        if process.poll() is None and kills < KILLS:
            process.kill()
            kills += 1
        out, _ = process.communicate()
        if process.returncode == 0:
            result = json.loads(out)
        elif process.returncode != -signal.SIGKILL:
            # The test-bed's S3 refuses to complete an upload twice that it is completing; a task would be retried, too.
            refused += 1
            assert refused < 4
        now = seen(destination)
        assert set(whole) <= set(now)
        # What had arrived in the moment of the kill may not be in the notes yet; where the source has no checksums,
        # nothing else tells that it is whole.
        again = [path for path, mark in whole.items() if now[path] != mark]
        assert len(again) <= Options().workers, again
        whole = now
    seconds = time.monotonic() - began
    most = max(result["peak"], *peaks, 0)
    line = (
        f"{start} -> {end} {shape}: {kills} kills, {seconds:.1f} s in all, the last try {result['seconds']:.1f} s "
        f"moved {result['files']} files, {(result['bytes'] - result['resumed_bytes']) >> 20} MiB, found "
        f"{result['skipped']} files and {result['resumed_bytes'] >> 20} MiB there; peak {most >> 20} MiB"
    )
    record_property("figures", line)
    print(json.dumps(line), flush=True)
    assert most < LIMIT
    wanted = {p.relative_to(original / shape).as_posix(): p for p in (original / shape).rglob("*") if p.is_file()}
    assert {name.removeprefix("x/") for name in whole} == set(wanted)
    assert result["files"] + result["skipped"] == len(wanted)
    for name in random.Random(2).sample(sorted(wanted), min(len(wanted), 300)):
        with wanted[name].open("rb") as file:
            assert digest(pieces(destination, f"x/{name}")) == digest(iter(lambda: file.read(8 << 20), b"")), name


def arrived(state: Path, end: stores.Place) -> float:
    """How much of it has arrived, as a fraction."""
    lines = [line for file in state.glob("*.jsonl") for line in file.read_bytes().splitlines()]
    if lines or end.kind != "local":
        return sum(line.startswith(b'["arrived"') for line in lines) / FILES + sum(
            line.startswith(b'["part"') for line in lines
        ) / (BIG >> 23)
    assert end.inside is not None
    return sum(p.stat().st_size for p in end.inside.rglob("*") if p.is_file()) / BIG


def peak(process: int) -> int:
    """The most memory that a process has had; 0 when it has gone."""
    try:
        with open(f"/proc/{process}/status", encoding="ascii") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:")), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0
