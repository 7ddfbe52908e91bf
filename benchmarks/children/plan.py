"""Child process: how long deciding about every step of a file takes. Argument: the file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

# Imported by the first look at a datastore, which is in the time that is measured; no import is to be.
import fsspec  # noqa: F401

from aml_provider.reuse.plan import Planner, Verdict
from aml_provider.storage.digest_cache import DigestCache
from benchmarks.cached import binding_of
from benchmarks.measure import tell


def main(file: Path) -> None:
    """Build the pipeline, then plan it as the head task does, and tell the times of that alone."""
    binding = binding_of(file)
    start, cpu = time.perf_counter(), time.process_time()
    with DigestCache(binding.digest_cache) as cache:
        plan = Planner(binding, {}, cache=cache).plan()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    steps, reused = len(plan.decisions), len(plan.of(Verdict.REUSE))
    if reused != steps:
        raise SystemExit(f"{reused} of {steps} steps are reused, where all should be: {plan.summary}")
    tell(seconds=seconds, cpu=cpu, steps=steps)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
