"""What knowing data by its content takes the first time: here, and when DVC adds the same files."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import dvc
from benchmarks.measure import Failed, Options, alternate, child, middle
from benchmarks.table import Row

GOAL = 5
BIG = 1 << 30
FILES, PER_FOLDER = 10_000, 100
LEAST, MOST = 1 << 10, 16 << 10
AGED_SECONDS = 2.5
_PIECE = 8 << 20


def rows(folder: Path, options: Options) -> Iterator[Row]:
    """A row for one big file and one for many small ones, each with what it takes when nothing has changed."""
    for name, what, make in (("big", "one 1 GiB file", _big), ("small", "10,000 small files", _small)):
        title = f"hash: dvc add over ours, {what}"
        try:
            peer = f"dvc {dvc.version()}"
        except LookupError as reason:
            yield Row(title, None, "x", GOAL, str(reason), at_least=True)
            continue
        place = folder / name
        make(place)
        # Both sides find the files in memory: it is not the disk that is measured.
        size = _read(place)
        compared = Compared(place, folder / f"{name}-work")
        results = alternate(options.runs, {"dvc": compared.dvc, "ours": compared.ours})
        theirs, mine = middle(results["dvc"], "process"), middle(results["ours"], "process")
        detail = (
            f"{peer} {theirs:.2f} s, ours {mine:.3f} s, whole processes, {size >> 20} MiB in memory; in ours the "
            f"snapshot itself {middle(results['ours'], 'seconds'):.3f} s; processor time "
            f"{middle(results['dvc'], 'cpu') / middle(results['ours'], 'cpu'):.2f} x; dvc also {_did(results['dvc'])}"
        )
        yield Row(title, theirs / mine, "x", GOAL, detail, at_least=True)
        theirs, mine = middle(results["dvc"], "again"), middle(results["ours"], "again")
        detail = f"dvc status {theirs:.2f} s, ours {mine:.3f} s, of that the snapshot "
        detail += f"{middle(results['ours'], 'again_seconds'):.4f} s"
        yield Row(f"hash: the same, unchanged: {what}", theirs / mine, "x", None, detail)


class Compared:
    """Both sides of one comparison; each call starts from files that neither has seen.

    :param place: the file or folder.
    :param work: repositories and caches, made anew each time.
    """

    def __init__(self, place: Path, work: Path) -> None:
        self._place = place
        self._work = work

    def dvc(self) -> dict[str, Any]:
        """``dvc add`` in a new repository, then ``dvc status``."""
        repository, run = self._work / "repository", dvc.Dvc(self._work / "home")
        run.init(repository)
        data = repository / self._place.name
        self._place.rename(data)
        added = run("add", "--quiet", data.name, folder=repository)
        again = run("status", folder=repository)
        if "up to date" not in again["stdout"]:
            raise Failed(f"dvc status did not find the data unchanged:\n{again['stdout'][-2000:]}")
        linked = all(path.stat().st_nlink > 1 or path.is_symlink() for path in _files(data))
        data.rename(self._place)
        shutil.rmtree(self._work)
        # What was linked is read-only, as it would be in the cache.
        for path in _files(self._place):
            path.chmod(0o644)
        return {**added, "again": again["process"], "linked": linked}

    def ours(self) -> dict[str, Any]:
        """A snapshot without a digest cache, then another one with it."""
        home = self._work.with_name("ours")
        _age(self._place)
        arguments = (str(self._place), str(home / "digests"))
        first = child("hashing", *arguments, home=home)
        again = child("hashing", *arguments, home=home)
        shutil.rmtree(home / "digests")
        if (first["files"], first["bytes"]) != (again["files"], again["bytes"]):
            raise Failed(f"a snapshot of unchanged data differs: {first} and {again}")
        return {**first, "again": again["process"], "again_seconds": again["seconds"]}


def _did(results: list[dict[str, Any]]) -> str:
    linked = "makes hard links to the files in its cache, and copies none"
    return linked if all(result["linked"] for result in results) else "copies files to its cache: this disk cannot link"


def _age(place: Path) -> None:
    """Wait until no file is so new that the digest cache would not trust its times: DVC and we have just touched it."""
    newest = max(path.stat().st_ctime for path in _files(place))
    while time.time() - newest < AGED_SECONDS:
        time.sleep(0.1)


def _big(place: Path) -> None:
    numbers = random.Random(1)
    with place.open("wb") as file:
        for _ in range(BIG // _PIECE):
            file.write(numbers.randbytes(_PIECE))


def _small(place: Path) -> None:
    numbers = random.Random(2)
    for number in range(FILES):
        path = place / f"{number // PER_FOLDER:03d}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(numbers.randbytes(numbers.randint(LEAST, MOST)))


def _read(place: Path) -> int:
    """Read everything once, and write out what has not been; the sum of the sizes."""
    os.sync()
    size = 0
    for path in _files(place):
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                size += len(piece)
    return size


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    for folder, _, names in os.walk(place):
        yield from (Path(folder) / name for name in names)
