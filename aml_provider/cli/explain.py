"""``aml explain``: why a step would run, or ran: what differs from its nearest earlier result."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from aml_provider.cli.explained import Explained, explain_planned, explain_recorded, is_file
from aml_provider.cli.plan import changes_as_json, check_step, planned
from aml_provider.cli.runs_found import LATEST, the_run
from aml_provider.cli.table import print_table
from aml_provider.reuse.explain import Difference
from aml_provider.reuse.ingredients import ingredients
from aml_provider.reuse.plan import duration
from aml_provider.reuse.records import Record
from aml_provider.spec.errors import PipelineError
from aml_provider.submission.overrides import Overrides
from aml_provider.workspace.discovery import load_workspace


def print_explanation(target: str, step: str | None, parameters: dict[str, str], verbose: bool, as_json: bool) -> None:
    """Print why steps run.

    :param target: a pipeline file, or a run: ``latest`` is the newest one.
    :param step: a name; ``None`` for all steps of a run.
    :param verbose: print everything that the fingerprints are made of, too.
    """
    found = _found(target, step, parameters)
    if as_json:
        print(json.dumps([_as_json(explained) for explained in found], indent=2))
        return
    for number, explained in enumerate(found):
        if number:
            print()
        _print(explained, verbose)


def _found(target: str, step: str | None, parameters: dict[str, str]) -> list[Explained]:
    if not is_file(target):
        if parameters:
            raise PipelineError("-p goes with a pipeline file; a run has the values that it was started with")
        run = the_run(target).id if target == LATEST else target
        return list(explain_recorded(load_workspace(), run, step))
    with planned(Path(target), Overrides(parameters)) as pipelines:
        if step is None:
            names = dict.fromkeys(s.name for pipeline in pipelines for s in pipeline.spec.steps)
            raise PipelineError(f"say which step of {target} to explain: {', '.join(map(repr, names))}")
        check_step(pipelines, step)
        return [explained for pipeline in pipelines for explained in explain_planned(pipeline, step)]


def _print(explained: Explained, verbose: bool) -> None:
    where = f"in run {explained.run}" if explained.run else f"of experiment {explained.experiment!r}"
    print(f"step {explained.name!r} {where}: {explained.verdict}: {explained.reason}")
    if explained.assuming:
        names = ", ".join(map(repr, explained.assuming))
        then = "it is reused" if explained.difference is None and explained.record else "it runs all the same"
        print(f"if {names} should write what was written last time, {then}")
    if explained.difference is not None:
        _print_difference(explained, explained.difference)
    elif explained.record is not None:
        print(f"the earlier result: {_of_run(explained.record)}")
    for note in explained.notes:
        print(f"note: {note}")
    if explained.hint:
        print(explained.hint)
    if verbose:
        _print_ingredients(explained)


def _print_difference(explained: Explained, difference: Difference) -> None:
    if difference.record is not None:
        print(f"the nearest earlier result: {_of_run(difference.record)}; what differs from it:")
        lines = [str(change) for change in explained.changes]
    elif explained.told:
        print("the earlier results of that time are gone; what differed from the nearest of them:")
        lines = list(explained.told)
    else:
        print("there is no earlier result of a step of this name to compare it with")
        lines = []
    for line in lines:
        print(f"  {line}")


def _print_ingredients(explained: Explained) -> None:
    if explained.parts is None:
        print("what it depends on is not known" + ("" if explained.run else " (yet)"))
        return
    print(f"the key {explained.fingerprint} is made of:")
    rows = [(f"  {i.part}", i.name, i.value) for i in ingredients(explained.parts, explained.files)]
    print_table(("  ingredient", "name", "value"), rows)


def _of_run(record: Record) -> str:
    age = duration(max(0.0, time.time() - record.created))
    return f"{record.fingerprint[:12]} of run {record.run.get('pipeline_run_id')}, {age} ago"


def _as_json(explained: Explained) -> dict[str, Any]:
    return {
        "experiment": explained.experiment,
        "name": explained.name,
        "key": explained.key,
        "run": explained.run,
        "verdict": explained.verdict,
        "reason": explained.reason,
        "fingerprint": explained.fingerprint,
        "nearest": _as_nearest(explained.difference.record if explained.difference else explained.record),
        "changes": changes_as_json(Difference(None, explained.changes)),
        "hint": explained.hint,
        "notes": list(explained.notes),
        "assuming": list(explained.assuming),
        "ingredients": explained.parts,
        "files": dict(explained.files) if explained.files is not None else None,
    }


def _as_nearest(record: Record | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return {
        "fingerprint": record.fingerprint,
        "run": record.run.get("pipeline_run_id"),
        "created": record.created,
        "seconds": record.seconds,
    }
