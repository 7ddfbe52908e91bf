"""Child process: what reporting metrics takes a step. Arguments: how many points, and how many by MLflow's call."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aml_provider.runtime.run import Run
from aml_provider.runtime.store import StepStore
from benchmarks.measure import tell


def main(points: int, direct: int) -> None:
    """Log as a step's script does, and as a script does that calls MLflow; tell the seconds of each call."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(None, "bench", _store=StepStore(folder, folder))
        ours = _each(lambda number: run.log("loss", 1 / number, step=number), points)
        recorded = sum(1 for _ in run._recorded("metric"))
        assert recorded == points, recorded
        tell(ours=ours, mlflow=_with_mlflow(Path(folder), direct))


def _with_mlflow(folder: Path, points: int) -> list[float]:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    with mlflow.start_run():
        return _each(lambda number: mlflow.log_metric("loss", 1 / number, step=number), points)


def _each(log: Callable[[int], object], points: int) -> list[float]:
    seconds = []
    for number in range(1, points + 1):
        start = time.perf_counter()
        log(number)
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
