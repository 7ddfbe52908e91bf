"""Child process: one file parsed as a worker does it at the start of every task. Argument: the file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.measure import tell

HEAVY = ("kubernetes", "kubernetes_asyncio", "mlflow", "pandas", "numpy")
AGAIN = 5


def main(file: str) -> None:
    """Import Airflow, parse the file several times, and tell the times and what got imported.

    The first parse imports what the file needs; the later ones find it loaded, so they are the file's own work.
    """
    start = time.perf_counter()
    from airflow.dag_processing.dagbag import BundleDagBag

    airflow = time.perf_counter() - start

    airflow_cpu = time.process_time()

    def parse() -> tuple[float, BundleDagBag]:
        start = time.perf_counter()
        bag = BundleDagBag(
            dag_folder=file, safe_mode=False, load_op_links=False, bundle_path=Path(file).parent, bundle_name="bench"
        )
        return time.perf_counter() - start, bag

    first, bag = parse()
    first_cpu = time.process_time() - airflow_cpu
    heavy = [name for name in HEAVY if name in sys.modules]
    if bag.import_errors:
        raise SystemExit(str(bag.import_errors))
    again = min(parse()[0] for _ in range(AGAIN))
    tasks = sum(len(dag.task_dict) for dag in bag.dags.values())
    tell(
        airflow=airflow,
        whole=airflow + first,
        whole_cpu=airflow_cpu + first_cpu,
        first=first,
        first_cpu=first_cpu,
        again=again,
        tasks=tasks,
        heavy=heavy,
    )


if __name__ == "__main__":
    main(sys.argv[1])
