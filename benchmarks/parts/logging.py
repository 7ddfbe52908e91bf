"""What a script pays for the metrics that it reports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.measure import Options, child
from benchmarks.table import Row

POINTS = 10_000
DIRECT = 300


def rows(folder: Path, options: Options) -> Iterator[Row]:
    """Each call's time in the script; the points are recorded when it returns, and MLflow gets them meanwhile."""
    told = [child("logging", str(POINTS), str(DIRECT), home=folder) for _ in range(options.runs)]
    ours, direct = median(median(one["ours"]) for one in told), median(median(one["mlflow"]) for one in told)
    detail = f"mlflow.log_metric to SQLite in the same process: {direct * 1000:.2f} ms, {direct / ours:.0f} x"
    yield Row("logging: Run.log", ours * 1000, "ms", 0.05, detail)
    total = median(sum(one["ours"]) for one in told)
    yield Row(f"logging: {POINTS} points from one step", total, "s", 2.0, "all calls of the step together")
