"""What importing the SDK, building a DAG and parsing a file cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import samples
from benchmarks.measure import Failed, Options, alternate, child, middle
from benchmarks.table import Row


def rows(folder: Path, options: Options) -> Iterator[Row]:
    """In each process: Airflow's import, and after it what is ours."""
    home = folder
    files = samples.write(home / "dags")
    sides: Mapping[str, Callable[[], dict[str, Any]]] = {
        "imports": partial(child, "imports", home=home),
        "pipeline": partial(child, "parse", str(files["pipeline"]), home=home),
        "by_hand": partial(child, "parse", str(files["by_hand"]), home=home),
    }
    results = alternate(options.runs, sides)
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
        raise Failed(f"parsing a docker pipeline imported {', '.join(heavy)}")
    tasks = f"{pipeline[0]['tasks']} tasks; numpy and pandas neither" if not heavy else f"but {', '.join(heavy)}"
    yield Row("parse: kubernetes or mlflow imported", None, "no", None, tasks)
