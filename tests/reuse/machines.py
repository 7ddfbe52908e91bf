"""Other processes that use the same index, told line by line what to do, and what goes wrong with a machine."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parents[2]
#: A condition that takes longer than this never comes true.
PATIENCE = 60.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition, and give what it gave."""
    limit = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < limit, f"it never came true: {what}"
        time.sleep(0.005)
    return value


class Warnings:
    """The warnings that came since the last time somebody asked."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        self._log = log

    def so_far(self) -> list[str]:
        """Those that there are now; they are given again."""
        return [entry.getMessage() for entry in self._log.records if entry.levelno >= logging.WARNING]

    def __call__(self) -> list[str]:
        said = self.so_far()
        self._log.clear()
        return said


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Root may read everything; a worker need not be root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def fill(disk: Path) -> Path:
    """Leave no room on a disk; removing the file that is returned makes room again."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            return filler


class Worker:
    """A process that computes steps: it claims fingerprints and commits records.

    :param index: a folder, or a datastore's configuration as JSON.
    """

    def __init__(self, index: Path | str, run_store: Path, owner: str) -> None:
        self.owner = owner
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(index), str(run_store), owner],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.answer() == "ready"

    def tell(self, command: str, *args: Any, **options: Any) -> None:
        """Have it do something, without waiting until it has."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, args, options]) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """What came of the last thing that it was told."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            assert self._process.stderr is not None
            raise AssertionError(f"{self.owner} has died: {self._process.stderr.read()}")
        return json.loads(line)

    def fileno(self) -> int:
        """For select: it has answered when there is something to read."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def ask(self, command: str, *args: Any, **options: Any) -> Any:
        self.tell(command, *args, **options)
        return self.answer()

    def kill(self) -> None:
        """End it as a power failure does: nothing in it runs any more."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def end(self) -> int:
        """Tell it that there is nothing more to do, and give its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(PATIENCE)

    def pause(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


@contextmanager
def workers(index: Path, run_store: Path, count: int) -> Iterator[list[Worker]]:
    """Some processes; whatever the test comes to, they end with it."""
    made: list[Worker] = []
    try:
        made.extend(Worker(index, run_store, f"run-{number}/train") for number in range(count))
        yield made
    finally:
        for worker in made:
            worker.close()


def at_once(told: list[Worker], command: str, *args: Any, **options: Any) -> list[Any]:
    """Tell all of them before any is asked for its answer."""
    for worker in told:
        worker.tell(command, *args, **options)
    return [worker.answer() for worker in told]


def answered(told: list[Worker]) -> list[Worker]:
    """Those who have an answer, once one of them has."""
    ready, _, _ = select.select(told, [], [], PATIENCE)
    assert ready, "nobody answers"
    return ready


# --- inside the other process ---------------------------------------------------------------------------------------


class _Told:
    def __init__(self, index: str, run_store: str, owner: str) -> None:
        from aml_provider.reuse.claims import Claims, Lease
        from aml_provider.reuse.index import ReuseIndex

        if index.startswith("{"):
            from aml_provider.runs.layout import RunStore
            from aml_provider.workspace.model import DatastoreConfig

            store = RunStore(Path(run_store), "blobs", DatastoreConfig(**json.loads(index)))
            self.claims, self.index = Claims.of(store), ReuseIndex.of(store)
        else:
            self.claims, self.index = Claims.of(Path(index), Path(run_store)), ReuseIndex.of(Path(index))
        self.owner = owner
        self.lease: Lease | None = None

    def acquire(self, key: str, **options: Any) -> str:
        return self._taken(
            self.claims.acquire(key, owner=self.owner, step="train", pipeline_run_id=self.owner, **options)
        )

    def wait_and_take_over(self, key: str, **options: Any) -> str:
        """Watch the claim until it is stale or gone, then try to have it: ``mine``, or who was quicker."""
        from aml_provider.reuse.claims import Observer

        observer = Observer(self.claims, key)
        until(lambda: observer.look() != "held", f"the claim on {key} ends")
        return self.take_over(key, observer.claim.text if observer.claim is not None else None, **options)

    def get(self, key: str, **options: Any) -> str:
        """Wait for as long as it takes to have the claim."""
        while self.wait_and_take_over(key, **options) != "mine":
            pass
        return "mine"

    def take_over(self, key: str, seen: str | None, **options: Any) -> str:
        from aml_provider.reuse.claims import Claim

        if seen is None:
            return self.acquire(key, **options)
        claim = Claim.from_text(key, seen)
        return self._taken(
            self.claims.acquire(claim.key, claim, owner=self.owner, step="train", pipeline_run_id=self.owner, **options)
        )

    def start(self) -> None:
        assert self.lease is not None
        self.lease.start()

    def promise_less(self, seconds: float) -> None:
        assert self.lease is not None
        self.lease.update(lease_seconds=seconds)

    def release(self) -> None:
        assert self.lease is not None
        self.lease.release()

    def lost(self) -> bool:
        assert self.lease is not None
        self.lease.renew()
        return self.lease.lost

    def commit(self, value: dict[str, Any]) -> dict[str, Any]:
        from aml_provider.reuse.records import Record

        mine = Record.from_json({**value, "run": {**value["run"], "step_run_id": self.owner}})
        return self.index.commit(mine).run

    def _taken(self, got: Any) -> str:
        from aml_provider.reuse.claims import Lease

        if isinstance(got, Lease):
            self.lease = got
            return "mine"
        return str(got.owner)


if __name__ == "__main__":
    # Airflow, which knows the connections to buckets, says something on the same stream.
    _answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _told = _Told(*sys.argv[1:])
    print(json.dumps("ready"), file=_answers, flush=True)
    for _line in sys.stdin:
        _command, _args, _options = json.loads(_line)
        print(json.dumps(getattr(_told, _command)(*_args, **_options)), file=_answers, flush=True)
