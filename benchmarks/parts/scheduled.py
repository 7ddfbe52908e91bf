"""What a wholly reused pipeline takes on a real scheduler, against a DAG by hand that skips as many empty tasks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import cached
from benchmarks.airflow_server import AirflowServer
from benchmarks.measure import Failed, Options, alternate, middle
from benchmarks.table import Row

STEPS = cached.WIDTH * cached.DEPTH
LEAST_RUNS = 3


def rows(folder: Path, options: Options) -> Iterator[Row]:
    """Runs of both DAGs in turns, as long as Airflow says that they were."""
    dags = folder / "dags"
    file = cached.write(dags, by_hand=True)
    (dags / "workspace.yaml").write_text("name: bench\n", encoding="utf-8")
    cached.compute_all(file)
    with AirflowServer(folder) as server:
        server.ready({cached.EXPERIMENT, cached.BY_HAND})
        results = alternate(
            max(LEAST_RUNS, options.runs),
            {
                "ours": partial(_run, server, cached.EXPERIMENT, "reuse"),
                "hand": partial(_run, server, cached.BY_HAND, "head"),
            },
        )
    ours, hand = middle(results["ours"], "seconds"), middle(results["hand"], "seconds")
    head, by_hand = middle(results["ours"], "head"), middle(results["hand"], "head")
    detail = f"{ours:.2f} s, by hand {hand:.2f} s ({len(results['ours'])} runs each, from trigger to end); "
    detail += f"from the head task's end {middle(results['ours'], 'ending'):.2f} s, by hand "
    detail += f"{middle(results['hand'], 'ending'):.2f} s; LocalExecutor, SQLite"
    yield Row(f"airflow: {STEPS} reused steps over skips by hand", ours / hand, "x", 1.2, detail)
    after = f"MLflow is told within {middle(results['ours'], 'after'):.1f} s after it, while nobody waits"
    yield Row("airflow: the head task of it", head, "s", None, f"by hand {by_hand:.2f} s; {after}")


def _run(server: AirflowServer, dag_id: str, head: str) -> dict[str, Any]:
    run = server.run(dag_id)
    skipped = server.count(run, "skipped")
    if skipped < STEPS:
        raise Failed(f"{skipped} tasks of {dag_id} were skipped, where {STEPS} should be")
    task = server.task(run, head)
    # Else what a task does after its success would be paid by the next run, the other side's.
    server.ended(task)
    return {
        "seconds": _between(run, "queued_at", "end_date"),
        "head": _between(task, "start_date", "end_date"),
        "ending": _moment(run["end_date"]) - _moment(task["end_date"]),
        "after": time.time() - _moment(task["end_date"]),
    }


def _between(told: dict[str, Any], start: str, end: str) -> float:
    return _moment(told[end]) - _moment(told[start])


def _moment(told: str) -> float:
    return datetime.fromisoformat(told.replace("Z", "+00:00")).timestamp()
