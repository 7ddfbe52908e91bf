"""Measure what a parse, a DAG and a step cost here, and print the table."""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import samples
from benchmarks.measure import ROOT, Row, alternate, child, middle

PARTS = ("parse", "steps")
KINDS = ("local", "docker", "kubernetes")
STEPS_PER_TURN = 3
# Where the test cluster is, when the environment does not say.
KUBECONFIG = Path(os.environ.get("TESTBED_HOME", "/var/tmp/testbed")) / "kubeconfig-airflow"
STEP_GOALS = {"docker": 0.2}


def main() -> int:
    """Measure, print the table, and end with 1 when a goal was missed and ``--strict`` was given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="parse or steps; default: both")
    parser.add_argument("--runs", type=int, default=5, help="fresh processes per figure (default 5)")
    parser.add_argument("--kinds", default=",".join(KINDS), help="compute kinds whose steps are measured")
    parser.add_argument("--strict", action="store_true", help="fail when a goal is missed")
    options = parser.parse_args()
    parts = options.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {unknown.pop()!r}; parts are {', '.join(PARTS)}")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} processors, load {load:.1f}; medians of {options.runs} fresh processes, taken in turns.")
    if load > (os.cpu_count() or 1) / 2:
        print("The machine is busy: seconds are too long and vary; ratios, taken in the same minutes, say more.")
    missed = False
    with tempfile.TemporaryDirectory(prefix="aml-bench-", dir=_folder()) as folder:
        for part in parts:
            rows = _parse(Path(folder), options.runs) if part == "parse" else _steps(Path(folder), options.kinds)
            for row in rows:
                missed |= row.missed
                _print(row)
    return 1 if missed and options.strict else 0


def _folder() -> str | None:
    # In the checkout: this machine's Docker daemon and cluster node see it, which a private /tmp they may not.
    folder = ROOT / ".aml"
    folder.mkdir(exist_ok=True)
    return str(folder)


def _print(row: Row) -> None:
    if row.value is None:
        value = "no" if row.unit == "no" else "skipped"
    else:
        value = f"{row.value:.2f} x" if row.unit == "x" else f"{row.value:.3f} s"
    goal = "" if row.goal is None else f"<= {row.goal:g} {row.unit}"
    verdict = "" if row.goal is None or row.value is None else "MISSED" if row.missed else "ok"
    print(f"{row.name:<50} {value:>9}  {goal:<9} {verdict:<6}  {row.detail}", flush=True)


# --- imports, build, parse ----------------------------------------------------------------------------------------


def _parse(folder: Path, runs: int) -> Iterator[Row]:
    home = folder / "parse"
    files = samples.write(home / "dags")
    sides: Mapping[str, Callable[[], dict[str, Any]]] = {
        "imports": partial(child, "imports", home=home),
        "pipeline": partial(child, "parse", str(files["pipeline"]), home=home),
        "by_hand": partial(child, "parse", str(files["by_hand"]), home=home),
    }
    results = alternate(runs, sides)
    yield Row(
        "import: azureml names over airflow.sdk",
        middle(results["imports"], "azureml"),
        "s",
        0.15,
        f"in the process that imported airflow.sdk, which took {middle(results['imports'], 'airflow'):.3f} s",
    )
    pipeline, by_hand = results["pipeline"], results["by_hand"]
    yield Row(
        f"build: {samples.STEPS} steps, from the user's file to a DAG",
        middle(pipeline, "again"),
        "s",
        0.2,
        f"modules loaded; {samples.STEPS} DockerOperators by hand {middle(by_hand, 'again'):.3f} s",
    )
    for name, key, what in (
        ("parse: whole, in a fresh process, over by hand", "whole", "with Airflow's own import"),
        ("parse: Airflow loaded before, over by hand", "first", "as in a process that Airflow forks"),
    ):
        mine, theirs = middle(pipeline, key), middle(by_hand, key)
        cpu = middle(pipeline, f"{key}_cpu") / middle(by_hand, f"{key}_cpu")
        yield Row(
            name, mine / theirs, "x", 1.3, f"{mine:.3f} s, by hand {theirs:.3f} s; {what}; processor time {cpu:.2f} x"
        )
    # Both sides import Airflow alike, so what this is off 1 is the machine's doing, in the rows above as well.
    control = middle(pipeline, "airflow") / middle(by_hand, "airflow")
    yield Row("parse: control, the same import on both sides", control, "x", None, "far from 1: measure again")
    heavy = sorted({name for result in pipeline for name in result["heavy"]})
    if {"kubernetes", "mlflow"} & set(heavy):
        raise SystemExit(f"parsing a docker pipeline imported {', '.join(heavy)}")
    tasks = f"{pipeline[0]['tasks']} tasks; numpy and pandas neither" if not heavy else f"but {', '.join(heavy)}"
    yield Row("parse: kubernetes or mlflow imported", None, "no", None, tasks)


# --- steps --------------------------------------------------------------------------------------------------------


def _steps(folder: Path, kinds: str) -> Iterator[Row]:
    for kind in kinds.split(","):
        name = f"step: {kind}, over the bare operator"
        reason = _absent(kind)
        if reason is not None:
            yield Row(name, None, "s", STEP_GOALS.get(kind), reason)
            continue
        environment = {"BENCH_KUBECONFIG": str(KUBECONFIG), "BENCH_NAMESPACE": "ml"}
        told = child("steps", kind, str(STEPS_PER_TURN), home=folder / kind, environment=environment)
        step, bare = median(told["step"]), median(told["bare"])
        least = min(told["step"]) - min(told["bare"])
        detail = f"{step:.3f} s, bare {bare:.3f} s ({len(told['step'])} each); of the quickest of both: {least:.3f} s"
        yield Row(name, step - bare, "s", STEP_GOALS.get(kind), detail)


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


if __name__ == "__main__":
    raise SystemExit(main())
