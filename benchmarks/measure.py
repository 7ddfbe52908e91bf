"""Measuring in fresh processes: every figure is the median of several, taken in turns with its baseline.

A machine with other work on it is slower at one moment than at the next. Taking turns makes both sides of a ratio
suffer alike, and the median forgets the worst of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT = "benchmark-result: "


@dataclass(frozen=True)
class Row:
    """One line of the table.

    :param value: what was measured, ``None`` when it could not be; ``unit`` is ``s`` or ``x`` (times the baseline).
    :param goal: the most that ``value`` should be, ``None`` for what is only shown.
    :param detail: what the value was made of, or why there is none.
    """

    name: str
    value: float | None
    unit: str
    goal: float | None
    detail: str

    @property
    def missed(self) -> bool:
        """Whether there is a goal, and a value beyond it."""
        return self.goal is not None and self.value is not None and self.value > self.goal


def child(module: str, *arguments: str, home: Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run ``benchmarks.MODULE`` in a fresh interpreter with an Airflow of its own, and return what it told."""
    # Compiled modules as any installation has them, whatever this shell says, and without touching the tree; the turn
    # that does not count writes them.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables["PYTHONPYCACHEPREFIX"] = str(home / "pycache")
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        env={**variables, **airflow_environment(home), **(environment or {})},
        capture_output=True,
        text=True,
    )
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(RESULT):
            return dict(json.loads(line.removeprefix(RESULT)))
    raise SystemExit(f"benchmarks.{module} {' '.join(arguments)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}")


def tell(**result: Any) -> None:
    """Called in the child: hand the result to the parent."""
    print(RESULT + json.dumps(result), flush=True)


def airflow_environment(home: Path) -> dict[str, str]:
    """An Airflow that reads only ``home``: nobody's configuration, no examples, its own database."""
    bundle = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [{"name": "dags-folder", "classpath": bundle, "kwargs": {}}]
        ),
    }


def alternate(runs: int, sides: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Call every side in turn, ``runs`` times after one turn that only warms the disk's cache up."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for turn in range(runs + 1):
        for name, call in sides.items():
            result = call()
            if turn:
                results[name].append(result)
    return results


def middle(results: Iterable[Mapping[str, Any]], key: str) -> float:
    """The median of one figure."""
    return float(median(r[key] for r in results))
