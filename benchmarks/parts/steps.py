"""What a step costs over the bare operator that runs the same script, on each kind of compute."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks import samples
from benchmarks.measure import Options, child
from benchmarks.table import Row

STEPS_PER_TURN = 3
# Where the test cluster is, when the environment does not say.
KUBECONFIG = Path(os.environ.get("TESTBED_HOME", "/var/tmp/testbed")) / "kubeconfig-airflow"
GOALS = {"docker": 0.2}


def rows(folder: Path, options: Options) -> Iterator[Row]:
    """A row for each kind."""
    for kind in options.kinds:
        name = f"step: {kind}, over the bare operator"
        reason = _absent(kind)
        if reason is not None:
            yield Row(name, None, "s", GOALS.get(kind), reason)
            continue
        environment = {"BENCH_KUBECONFIG": str(KUBECONFIG), "BENCH_NAMESPACE": "ml"}
        told = child("steps", kind, str(STEPS_PER_TURN), home=folder / kind, environment=environment)
        step, bare = median(told["step"]), median(told["bare"])
        least = min(told["step"]) - min(told["bare"])
        detail = f"{step:.3f} s, bare {bare:.3f} s ({len(told['step'])} each); of the quickest of both: {least:.3f} s"
        yield Row(name, step - bare, "s", GOALS.get(kind), detail)


def _absent(kind: str) -> str | None:
    """Why steps of this kind cannot run here."""
    if kind == "kubernetes":
        if not KUBECONFIG.is_file():
            return f"no test cluster here ({KUBECONFIG} does not exist)"
        return None
    if kind == "docker":
        command = ["docker", "image", "inspect", samples.IMAGE]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            return "no docker command here"
        if done.returncode:
            return f"no Docker here, or without the image {samples.IMAGE}: {done.stderr.strip()}"
    return None
