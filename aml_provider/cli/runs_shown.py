"""Runs as a person, or a program, wants to see them."""

from __future__ import annotations

import time
from typing import Any

from aml_provider.cli.runs_found import all_runs, the_run
from aml_provider.cli.runs_json import print_json
from aml_provider.cli.table import print_table
from aml_provider.sdk.backend import RunKind, RunState, StepInfo
from aml_provider.spec.errors import AmlError

_COLORS = {"Finished": "green", "Completed": "green", "Failed": "red", "Canceled": "yellow", "Running": "cyan"}
_KINDS = {RunKind.PIPELINE: "pipeline", RunKind.SCRIPT: "script", RunKind.INTERACTIVE: "interactive"}


def print_runs(experiment: str | None, status: str | None, tags: list[str], limit: int, as_json: bool) -> None:
    """Print the newest runs.

    :param tags: each ``NAME`` or ``NAME=VALUE``.
    :raises AmlError: ``status`` is no state of a run.
    """
    states = [state.value for state in RunState] + ["Completed"]
    if status is not None and status.lower() not in map(str.lower, states):
        raise AmlError(f"--status: no run is {status!r}; say one of {', '.join(states)}")
    found: list[Any] = []
    for run in all_runs(experiment):
        if len(found) == limit:
            break
        if status is not None and status.lower() not in (run.get_status().lower(), run.get_details()["status"].lower()):
            continue
        if all(run._is_meant(_tag(tag), None) for tag in tags):
            found.append(run)
    if as_json:
        print_json([_summary(run) for run in found])
        return
    if not found:
        print("no such runs" if experiment or status or tags else "no runs yet")
        return
    rows = []
    for run in found:
        began, ended = run._backend.span()
        seconds = "" if began is None or ended is None else f"{ended - began:.1f}"
        rows.append((run.id, run.experiment.name, _KINDS[run._backend.kind], run.get_status(), _when(began), seconds))
    print_table(("run", "experiment", "kind", "status", "began", "seconds"), rows, _COLORS)


def _tag(text: str) -> Any:
    name, equals, value = text.partition("=")
    return {name: value} if equals else name


def _when(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _summary(run: Any) -> dict[str, Any]:
    began, ended = run._backend.span()
    return {
        "id": run.id,
        "experiment": run.experiment.name,
        "kind": _KINDS[run._backend.kind],
        "status": run.get_status(),
        "began": began,
        "ended": ended,
        "tags": run.get_tags(),
        "dag_id": run._backend.dag_id,
        "run_id": run._backend.run_id,
        "url": run.get_portal_url() or None,
    }


def print_run(name: str, as_json: bool) -> None:
    """Print everything about one run."""
    run = the_run(name)
    steps = list(run._backend.steps())
    metrics = run.get_metrics(recursive=True)
    if as_json:
        value = {
            **_summary(run),
            "parameters": run._backend.parameters(),
            "properties": run.get_properties(),
            "metrics": metrics.get(run.id, {}),
            "steps": [_step(step, metrics.get(step.step_run_id)) for step in steps],
            "files": run.get_file_names(),
        }
        print_json(value)
        return
    began, ended = run._backend.span()
    print(f"run {run.id}: {run.get_status()}")
    for label, text in (
        ("name", run.display_name if run.display_name != run._backend.run_id else ""),
        ("experiment", run.experiment.name),
        ("in Airflow", "" if run.type is None else f"{run._backend.dag_id}/{run._backend.run_id}"),
        ("page", run.get_portal_url()),
        ("began", _when(began)),
        ("ended", _when(ended)),
        ("parameters", _pairs(run._backend.parameters())),
        ("tags", _pairs(run.get_tags())),
        ("metrics", _pairs(metrics.get(run.id, {}))),
        ("error", run._backend.error or ""),
    ):
        if text:
            print(f"  {label + ':':<12} {text}")
    if steps:
        print()
        rows = [_row(step, metrics.get(step.step_run_id, step.metrics)) for step in steps]
        print_table(("step", "status", "seconds", "what it gave"), rows, _COLORS)


def _row(step: StepInfo, metrics: Any) -> tuple[str, ...]:
    told = [f"reused from {step.reused.pipeline_run_id or 'an earlier run'}"] if step.reused is not None else []
    if step.error:
        told.append(step.error)
    if step.unrecorded:
        told.append(f"will not be reused: {step.unrecorded}")
    if metrics:
        told.append(_pairs(metrics))
    told += [f"{name}: {place.datastore}:{place.path}" for name, place in step.outputs.items()]
    state = "Reused" if step.reused is not None else step.state.value
    seconds = "" if step.seconds is None or step.reused is not None else f"{step.seconds:.1f}"
    return step.name, state, seconds, "\n".join(told)


def _pairs(values: Any) -> str:
    return ", ".join(f"{name}={short(value)}" if value is not None else str(name) for name, value in values.items())


def short(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, float):
        text = f"{value:.6g}"
        # 1 and 1.0 are two values.
        return f"{text}.0" if text.lstrip("-").isdigit() else text
    if isinstance(value, list) and len(value) > 4:
        return f"[{len(value)} values, the last {short(value[-1])}]"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}\N{HORIZONTAL ELLIPSIS}"


def _step(step: StepInfo, metrics: Any) -> dict[str, Any]:
    return {
        "name": step.name,
        "task_id": step.key,
        "step_run_id": step.step_run_id,
        "status": step.state.value,
        "began": step.started,
        "ended": step.ended,
        "reused_from": None if step.reused is None else step.reused.pipeline_run_id or None,
        "metrics": metrics if metrics is not None else dict(step.metrics),
        "outputs": {name: f"{place.datastore}:{place.path}" for name, place in step.outputs.items()},
        "error": step.error,
        "unrecorded": step.unrecorded,
    }


def cancel_run(name: str) -> None:
    """Stop a run, and wait until it has ended.

    :raises AmlError: it is over.
    """
    run = the_run(name)
    if run._state().is_final:
        raise AmlError(f"run {run.id} is over: it is {run.get_status()}")
    run.cancel()
    print(f"run {run.id}: {run._backend.wait(None).value}")
