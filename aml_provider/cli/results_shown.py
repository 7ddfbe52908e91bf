"""``aml cache ls`` and ``aml cache show``."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

from aml_provider.cli.amounts import size
from aml_provider.cli.results import KEY_LETTERS, index_of, result, results
from aml_provider.cli.table import print_table
from aml_provider.reuse.contents import Contents
from aml_provider.reuse.gc import size_of
from aml_provider.reuse.ingredients import ingredients
from aml_provider.reuse.pins import Pin
from aml_provider.reuse.plan import duration
from aml_provider.reuse.records import Record
from aml_provider.spec.errors import AmlError
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.workspace.discovery import load_workspace
from aml_provider.workspace.resolved import LoadedWorkspace


def print_results(step: str | None, experiment: str | None, as_json: bool) -> None:
    """Print a line for each result."""
    index = index_of(load_workspace())
    found = results(index, step, experiment)
    pins = _by_key(index.pins().values())
    if as_json:
        print(json.dumps([_as_json(record, pins) for record in found], indent=2))
        return
    rows = [
        (
            record.fingerprint[:KEY_LETTERS],
            record.step["name"],
            str(record.run.get("experiment", "")),
            duration(_age(record)),
            duration(record.seconds),
            size(size_of(record)),
            "pinned" if record.fingerprint in pins else "",
        )
        for record in found
    ]
    print_table(("key", "step", "experiment", "age", "took", "size", ""), rows)


def print_result(key: str, as_json: bool) -> None:
    """Print one result in words."""
    workspace = load_workspace()
    index = index_of(workspace)
    record = result(index, key)
    pins = _by_key(index.pins().values())
    states = _states(workspace, record)
    if as_json:
        value = _as_json(record, pins)
        for name, state in states.items():
            value["outputs"][name]["state"] = state
        print(json.dumps({**value, "lineage": record.lineage, "ingredients": record.parts.get("key")}, indent=2))
        return
    run = record.run
    print(f"result {record.fingerprint}")
    print(f"  of step {record.step['name']!r} ({record.step.get('type', '')}), experiment {run.get('experiment')!r}")
    when = datetime.fromtimestamp(record.created).astimezone().isoformat(" ", "seconds")
    took = duration(record.seconds)
    print(f"  computed by run {run.get('pipeline_run_id')} in {took}, recorded at {when}, {duration(_age(record))} ago")
    if run.get("dag_id"):
        print(f"  in Airflow: DAG {run['dag_id']}, run {run.get('run_id')}")
    for pin in pins.get(record.fingerprint, []):
        print(f"  pinned for step {pin.step!r} of experiment {pin.experiment!r}{f': {pin.note}' if pin.note else ''}")
    for name, place in record.outputs.items():
        files = f"{place['files']} file{'' if place['files'] == 1 else 's'}"
        where = f"{place['datastore']}:{place['path']}"
        print(f"  output {name}: {where}, {files}, {size(place['bytes'])}: {states[name]}")
    if not record.outputs:
        print("  it has no outputs")
    for name, value in record.metrics.items():
        print(f"  metric {name}: {value}")
    parts = record.parts.get("key") or {}
    code = index.manifest(parts["code"]) if parts.get("code") else None
    print("  it was made of:")
    print_table(
        ("    ingredient", "name", "value"), [(f"    {i.part}", i.name, i.value) for i in ingredients(parts, code)]
    )
    for name, source in (record.lineage.get("overridden") or {}).items():
        print(
            f"  input {name} was chosen by a person ({source.get('how')}): result {str(source.get('fingerprint'))[:12]}"
        )


def _states(workspace: LoadedWorkspace, record: Record) -> dict[str, str]:
    """For each output whether it is what was recorded."""
    states = {}
    with DigestCache(workspace.state / "cache") as cache:
        contents = Contents(workspace, cache)
        for name, place in record.outputs.items():
            try:
                content = contents.at(place["datastore"], place["path"])
            except (AmlError, OSError) as e:
                states[name] = f"cannot be looked at: {e}"
                continue
            same = content is not None and content.digest == place["digest"]
            states[name] = "unchanged" if same else "gone" if content is None else "changed since"
    return states


def _as_json(record: Record, pins: dict[str, list[Pin]]) -> dict[str, Any]:
    return {
        "key": record.fingerprint,
        "step": record.step["name"],
        "type": record.step.get("type"),
        "experiment": record.run.get("experiment"),
        "run": record.run.get("pipeline_run_id"),
        "dag_id": record.run.get("dag_id"),
        "run_id": record.run.get("run_id"),
        "created": record.created,
        "age_seconds": round(_age(record), 3),
        "seconds": record.seconds,
        "bytes": size_of(record),
        "outputs": {name: dict(place) for name, place in record.outputs.items()},
        "metrics": record.metrics,
        "pins": [
            {"experiment": p.experiment, "step": p.step, "note": p.note} for p in pins.get(record.fingerprint, [])
        ],
    }


def _by_key(pins: Any) -> dict[str, list[Pin]]:
    found: dict[str, list[Pin]] = {}
    for pin in pins:
        found.setdefault(pin.key, []).append(pin)
    return found


def _age(record: Record) -> float:
    return max(0.0, time.time() - record.created)
