"""Measuring in fresh processes: every figure is the median of several, taken in turns with its baseline.

A machine with other work on it is slower at one moment than at the next. Taking turns makes both sides of a ratio
suffer alike, and the median forgets the worst of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULT = "benchmark-result: "
KINDS = ("local", "docker", "kubernetes")
BIN = Path(sys.executable).parent


class Failed(Exception):
    """A part that did not do what was to be measured; the text says what happened."""


@dataclass(frozen=True)
class Options:
    """What a person asked for.

    :param runs: how often each side is measured, after one turn that only warms up.
    :param kinds: the compute kinds whose steps are measured.
    """

    runs: int
    kinds: tuple[str, ...]


def busy() -> str:
    """The machine's load, for the reader."""
    return f"load {os.getloadavg()[0]:.1f}"


def child(module: str, *arguments: str, home: Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run ``benchmarks.children.MODULE`` in a fresh interpreter with an Airflow of its own, and return what it told.

    To that, ``process`` is added: the seconds from its start to its end.
    """
    name = f"benchmarks.children.{module}"
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments],
        cwd=ROOT,
        env={**clean_environment(home), **airflow_environment(home), **(environment or {})},
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(RESULT):
            return {"process": seconds, **json.loads(line.removeprefix(RESULT))}
    raise Failed(f"{name} {' '.join(arguments)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}")


def program(*command: str | Path, folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a program in ``folder``; ``process`` are the seconds from start to end, ``cpu`` those of a processor.

    :raises Failed: it failed.
    """
    before, start = os.times(), time.perf_counter()
    done = subprocess.run([str(c) for c in command], cwd=folder, env=dict(environment), capture_output=True, text=True)
    seconds, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise Failed(f"{' '.join(map(str, command))} failed:\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return {"process": seconds, "cpu": cpu, "stdout": done.stdout}


def clean_environment(home: Path) -> dict[str, str]:
    """This process's environment without anything that says which Airflow, workspace or MLflow is meant."""
    own = ("AIRFLOW", "AML_", "MLFLOW_TRACKING_URI", "DVC_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    # Compiled modules as any installation has them, whatever this shell says, and without touching the tree; the turn
    # that does not count writes them.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return {
        **variables,
        "PYTHONPYCACHEPREFIX": str(home / "pycache"),
        "PATH": f"{BIN}{os.pathsep}{variables['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


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
