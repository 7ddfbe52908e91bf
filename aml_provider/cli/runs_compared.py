"""Runs side by side: what they were told, what they measured, what was computed anew."""

from __future__ import annotations

from typing import Any

from aml_provider.cli.runs_found import the_run
from aml_provider.cli.runs_json import print_json
from aml_provider.cli.runs_shown import short
from aml_provider.cli.table import print_table
from aml_provider.spec.errors import AmlError


def print_comparison(names: list[str], differing: bool, as_json: bool) -> None:
    """Print a table with a row for each parameter, metric and step, and a column for each run.

    :param differing: only rows in which the runs differ.
    """
    if len(names) < 2:
        raise AmlError("compare needs two runs or more: aml runs compare RUN RUN")
    runs = [the_run(name) for name in names]
    columns = [_facts(run) for run in runs]
    rows = list(dict.fromkeys(row for column in columns for row in column))
    if differing:
        rows = [row for row in rows if len({repr(column.get(row)) for column in columns}) > 1]
    if as_json:
        value = {
            run.id: {" ".join(row): column[row] for row in rows if row in column}
            for run, column in zip(runs, columns, strict=True)
        }
        print_json(value)
        return
    if not rows:
        print("the runs do not differ" if differing else "there is nothing to compare")
        return
    cells = [(*row, *("" if row not in column else short(column[row]) for column in columns)) for row in rows]
    print_table(("", "", *(run.id for run in runs)), cells)


def _facts(run: Any) -> dict[tuple[str, str], Any]:
    facts: dict[tuple[str, str], Any] = {("run", "status"): run.get_status()}
    began, ended = run._backend.span()
    if began is not None and ended is not None:
        facts["run", "seconds"] = round(ended - began, 1)
    facts |= {("parameter", name): value for name, value in run._backend.parameters().items()}
    facts |= {("tag", name): "" if value is None else value for name, value in run.get_tags().items()}
    metrics = run.get_metrics(recursive=True)
    facts |= {("metric", name): _last(value) for name, value in metrics.get(run.id, {}).items()}
    for step in run._backend.steps():
        facts["step", step.name] = "Reused" if step.reused is not None else step.state.value
        for name, value in (metrics.get(step.step_run_id) or step.metrics).items():
            facts["metric", f"{step.name}: {name}"] = _last(value)
    return facts


def _last(value: Any) -> Any:
    """Of a curve, its end."""
    return value[-1] if isinstance(value, list) and value else value
