"""Child process: one file parsed as a worker does it at the start of every task. Argument: the file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.measure import tell

HEAVY = ("kubernetes", "kubernetes_asyncio", "mlflow", "pandas", "numpy")


def main(file: str) -> None:
    """Import Airflow, parse the file twice, and tell the times and what got imported.

    The second parse finds every module loaded: it is the file's own work.
    """
    start = time.perf_counter()
    from airflow.dag_processing.dagbag import BundleDagBag

    loaded = time.perf_counter()

    def parse() -> tuple[float, float, BundleDagBag]:
        wall, cpu = time.perf_counter(), time.process_time()
        bag = BundleDagBag(
            dag_folder=file, safe_mode=False, load_op_links=False, bundle_path=Path(file).parent, bundle_name="bench"
        )
        return time.perf_counter() - wall, time.process_time() - cpu, bag

    wall, cpu, bag = parse()
    heavy = [name for name in HEAVY if name in sys.modules]
    again = [parse()[:2] for _ in range(3)]
    if bag.import_errors:
        raise SystemExit(str(bag.import_errors))
    tell(
        airflow=loaded - start,
        parse=wall,
        parse_cpu=cpu,
        whole=loaded - start + wall,
        again=min(w for w, _ in again),
        again_cpu=min(c for _, c in again),
        tasks=sum(len(dag.task_dict) for dag in bag.dags.values()),
        heavy=heavy,
    )


if __name__ == "__main__":
    main(sys.argv[1])
