"""Child process: what telling others that a step is computed, and that it has been, takes. Argument: how often."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from blake3 import blake3

from aml_provider.reuse.claims import Claims, Lease
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.records import Record
from benchmarks import cached
from benchmarks.measure import tell


def main(times: int) -> None:
    """Claim and release, and record, as often as asked, one fingerprint each; tell the seconds of each time."""
    dags = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    (dags.parent / "workspace.yaml").write_text("name: bench\n", encoding="utf-8")
    file = cached.write(dags, width=1, depth=1)
    binding = cached.compute_all(file)
    index = ReuseIndex.of(binding.store)
    (sample,) = index.all()
    claims = Claims.of(binding.store)

    def claim(key: str) -> None:
        lease = claims.acquire(key, owner=key, step="bench", pipeline_run_id="bench", heartbeat="bench")
        assert isinstance(lease, Lease)
        # Its thread is started and ended as around a step.
        with lease:
            pass

    def commit(key: str) -> None:
        record = replace(sample, fingerprint=key)
        assert index.commit(record) is record

    tell(claim=_each(claim, times), commit=_each(commit, times), read=_each(lambda key: _found(index, key), times))


def _found(index: ReuseIndex, key: str) -> Record:
    found = index.read(key)
    assert found is not None
    return found


def _each(work: Callable[[str], object], times: int) -> list[float]:
    seconds = []
    for number in range(times):
        key = blake3(b"%d" % number).hexdigest()
        start = time.perf_counter()
        work(key)
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main(int(sys.argv[1]))
