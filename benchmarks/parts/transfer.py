"""What moving data takes, beside ``cp``, Airflow's ``ObjectStoragePath.copy``, the AWS CLI and rclone.

Ours compares what has arrived with what has left, and lets every file appear whole; of the others, only rclone does.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.bucket import CONNECTION, bucket, clear, connection, missing
from benchmarks.measure import Options, alternate, child, clean_environment, middle, program
from benchmarks.table import Row

BIG = 1 << 30
FAR_BIG = 128 << 20
FILES, FAR_FILES = 10_000, 1_000
LEAST, MOST = 1 << 10, 16 << 10
GOAL_CP, GOAL_AIRFLOW = 0.8, 3
_PIECE = 8 << 20


def rows(folder: Path, options: Options) -> Iterator[Row]:
    """Rows for files on this machine."""
    yield from _near(folder / "near", options)


def far_rows(folder: Path, options: Options) -> Iterator[Row]:
    """Rows for an S3."""
    if reason := missing():
        yield Row("transfer: to S3 and from it", None, "x", None, reason)
        return
    with bucket() as name:
        yield from _far(_Sides(folder / "far", name), options)


# --- this machine ---------------------------------------------------------------------------------------------------


def _near(folder: Path, options: Options) -> Iterator[Row]:
    sides = _Sides(folder)
    for shape, what, count, goals in (
        ("one", "one 1 GiB file", 1, (GOAL_CP, None)),
        ("many", "10,000 small files", FILES, (None, GOAL_AIRFLOW)),
    ):
        (make_one if shape == "one" else make_many)(folder / "from" / shape, BIG if shape == "one" else FILES)
        here = sides.near(f"from/{shape}")
        measured: dict[str, Callable[[], dict[str, Any]]] = {
            "cp": lambda shape=shape: sides.cp(f"from/{shape}", sides.fresh()),
            **{
                side: lambda side=side, here=here, count=count: sides.child(
                    side, here, sides.near(sides.fresh()), count
                )
                for side in ("airflow", "ours")
            },
        }
        # Linux's ext4 gives away no number of a file that was removed within the last seconds, and looks at each of
        # them for every new file: after a removal of ten thousand, that would be all that is measured.
        sides.keeps = shape == "many"
        results = alternate(options.runs, measured)
        shutil.rmtree(folder / "to", ignore_errors=True)
        yield row(f"transfer: cp -r over ours, {what}", results, "cp", goals[0])
        yield row(f"transfer: ObjectStoragePath.copy over ours, {what}", results, "airflow", goals[1])
        shutil.rmtree(folder / "from" / shape)


# --- S3 -------------------------------------------------------------------------------------------------------------


def _far(sides: _Sides, options: Options) -> Iterator[Row]:
    for shape, what, count in (("many", "1,000 small files", FAR_FILES), ("one", "one 128 MiB file", 1)):
        (make_one if shape == "one" else make_many)(sides.folder / "from" / shape, FAR_BIG if shape == "one" else count)
        near, far = sides.near(f"from/{shape}"), sides.far(f"kept/{shape}")
        sides.child("ours", near, far, count, keep=True)
        goal = GOAL_AIRFLOW if shape == "many" else None
        for way, source, end in (("to S3", near, sides.far("to")), ("from S3", far, sides.near("to"))):
            measured = {
                "airflow": lambda source=source, end=end, count=count: sides.child("airflow", source, end, count),
                "ours": lambda source=source, end=end, count=count: sides.child("ours", source, end, count),
            }
            skipped = {}
            for name in ("aws", "rclone"):
                try:
                    getattr(peers, name)()
                except LookupError as reason:
                    skipped[name] = str(reason)
                else:
                    measured[name] = lambda name=name, source=source, end=end: sides.peer(name, source, end)
            results = alternate(options.runs, measured)
            title = f"over ours, {way}, {what}"
            yield row(f"transfer: ObjectStoragePath.copy {title}", results, "airflow", goal)
            for name in ("aws", "rclone"):
                if name in skipped:
                    yield Row(f"transfer: {name} {title}", None, "x", None, skipped[name])
                else:
                    yield row(f"transfer: {name} {title}", results, name, None)


# --- the sides ------------------------------------------------------------------------------------------------------


@dataclass
class _Sides:
    """Both ends, and every program that moves data between them; each call finds an empty destination.

    :param folder: the root on this machine.
    :param bucket: the root in S3.
    """

    folder: Path
    bucket: str = ""
    #: Whether what has arrived on this machine stays there.
    keeps: bool = False

    def fresh(self) -> str:
        """A folder on this machine in which nothing is."""
        above = self.folder / "to"
        above.mkdir(parents=True, exist_ok=True)
        return f"to/{len(list(above.iterdir()))}"

    def near(self, path: str) -> dict[str, Any]:
        return {"url": str(self.folder), "path": path, "conn_id": None}

    def far(self, path: str) -> dict[str, Any]:
        return {"url": f"s3://{self.bucket}", "path": path, "conn_id": CONNECTION}

    def child(
        self, side: str, source: dict[str, Any], end: dict[str, Any], files: int, *, keep: bool = False
    ) -> dict[str, Any]:
        state = self.folder / "state"
        told = {"source": source, "destination": end, "files": files, "state": str(state)}
        try:
            return child("transfers", side, json.dumps(told), home=self.folder / "home", environment=connection())
        finally:
            shutil.rmtree(state, ignore_errors=True)
            if not keep:
                self._clear(end)

    def cp(self, source: str, end: str) -> dict[str, Any]:
        found = program(
            "cp", "-r", self.folder / source, self.folder / end, folder=self.folder, environment=dict(os.environ)
        )
        self._clear(self.near(end))
        return {**found, "seconds": found["process"]}

    def peer(self, name: str, source: dict[str, Any], end: dict[str, Any]) -> dict[str, Any]:
        environment = clean_environment(self.folder / "home")
        if name == "aws":
            places = [_url(place) for place in (source, end)]
            command = [peers.aws(), "s3", "cp", "--recursive", "--only-show-errors", *places]
            command += ["--endpoint-url", os.environ["S3_ENDPOINT_URL"]]
        else:
            environment.pop("AWS_CA_BUNDLE", None)  # which it cannot read
            # Its remotes are described by variables; these are the credentials of the test stores.
            environment |= {
                "RCLONE_CONFIG_BENCH_TYPE": "s3",
                "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
                "RCLONE_CONFIG_BENCH_ENV_AUTH": "true",
                "RCLONE_CONFIG_BENCH_ENDPOINT": os.environ["S3_ENDPOINT_URL"],
                "RCLONE_S3_FORCE_PATH_STYLE": "true",
            }
            places = [_url(place).replace("s3://", "bench:") for place in (source, end)]
            command = [peers.rclone(), "copy", "--transfers", "8", *places]
        found = program(*command, folder=self.folder, environment=environment)
        self._clear(end)
        return {**found, "seconds": found["process"]}

    def _clear(self, end: dict[str, Any]) -> None:
        if end["conn_id"] is None:
            if self.keeps:
                return
            shutil.rmtree(self.folder / end["path"], ignore_errors=True)
            return
        clear(self.bucket, end["path"])


def _url(place: dict[str, Any]) -> str:
    return f"{place['url']}/{place['path']}"


def row(title: str, results: dict[str, list[dict[str, Any]]], side: str, goal: float | None) -> Row:
    """The line for one side beside ours.

    :param results: of children or programs, by side.
    """
    theirs, ours = middle(results[side], "seconds"), middle(results["ours"], "seconds")
    detail = (
        f"{side} {theirs:.2f} s, ours {ours:.2f} s; processor time {middle(results[side], 'cpu'):.2f} s and "
        f"{middle(results['ours'], 'cpu'):.2f} s; ours at most {max(r['peak'] for r in results['ours'])} MiB of memory"
    )
    return Row(title, theirs / ours, "x", goal, detail, at_least=True)


# --- data -----------------------------------------------------------------------------------------------------------


def make_one(place: Path, size: int) -> None:
    """A folder with one big file."""
    place.mkdir(parents=True)
    numbers = random.Random(1)
    with (place / "big.bin").open("wb") as file:
        for _ in range(size // _PIECE):
            file.write(numbers.randbytes(_PIECE))


def make_many(place: Path, count: int) -> None:
    """A folder with many small files, a hundred in each folder."""
    numbers = random.Random(2)
    for number in range(count):
        file = place / f"{number // 100:03}" / f"{number}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(numbers.randbytes(numbers.randrange(LEAST, MOST)))
