"""What a step's log begins with: what runs where, with what, and why."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from aml_provider.runs.binding import StepRun
from aml_provider.runs.layout import AttemptFolder
from aml_provider.tracking.pages import where_to_look

_log = logging.getLogger(__name__)
_LONGEST = 200
_MOST = 4


def tell(lines: Iterable[str]) -> None:
    """Log lines one by one, as Airflow shows them best."""
    for line in lines:
        _log.info("%s", line)


def header(run: StepRun, attempt: AttemptFolder, facts: dict[str, Any], why: list[str]) -> list[str]:
    """Some ten lines about an attempt that is about to start.

    :param facts: as :func:`aml_provider.execution.facts.keep_facts` makes them.
    :param why: why the step runs, in lines.
    """
    rows = [
        ("runs", _command(facts)),
        ("on", _compute(facts["compute"])),
        *_environment(facts["environment"] or {}),
        ("code", _code(facts["snapshot"])),
        *_listed("input", (_input(item) for item in facts["inputs"])),
        *_listed("output", (f"{o['name']} -> {o['datastore']}" for o in facts["outputs"])),
        ("parameters", _parameters(facts["parameters"])),
        ("fingerprint", facts["fingerprint"] or "not known, so the result is not kept for reuse"),
        ("MLflow", where_to_look(run.run_folder.path, run.step.key, run.binding.workspace.tracking_uri)),
        ("why", "; ".join(why)),
    ]
    first = f"Step {run.step.name!r} of run {run.pipeline_run_id}, attempt {attempt.number}"
    return [first, *(f"  {name:<12}{_short(text)}" for name, text in rows if text)]


def _command(facts: dict[str, Any]) -> str:
    command = facts["command"]
    if command is None:
        return "a transfer of data, by this worker"
    if command["kind"] == "shell":
        return str(command["line"])
    return " ".join([command["script"], *command["arguments"]])


def _compute(compute: dict[str, Any]) -> str:
    parts = [f"{compute['name']} ({compute['kind']}), pool {compute['pool']}"]
    if compute.get("cpus"):
        parts.append(_count(compute["cpus"], "CPU"))
    if compute.get("memory_bytes"):
        parts.append(f"{compute['memory_bytes'] / 2**30:.3g} GiB")
    if compute.get("gpus"):
        parts.append(_count(compute["gpus"], "GPU"))
    return ", ".join(parts)


def _environment(environment: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    if environment.get("image"):
        rows.append(("image", f"{environment['image']} ({environment.get('digest') or 'taken by its name'})"))
    if environment.get("python"):
        packages = _count(len(environment.get("packages") or ()), "package")
        rows.append(("python", f"{environment['python']}, {packages}"))
    return rows


def _code(snapshot: dict[str, Any] | None) -> str:
    if snapshot is None:
        return ""
    digest = f"snapshot {snapshot['digest'][:16]}, " if snapshot["digest"] else ""
    return f"{digest}{_count(snapshot['files'], 'file')}, {snapshot['bytes']:,} bytes"


def _input(item: dict[str, Any]) -> str:
    more = f" and {item['more_places']} more" if item["more_places"] else ""
    dataset = f" (dataset {item['dataset']}, version {item['version']})" if item["dataset"] else ""
    digest = f" ({item['digest'][:16]})" if item["digest"] else ""
    return f"{item['name']} <- {', '.join(item['places'])}{more}{dataset}{digest}"


def _parameters(parameters: dict[str, Any]) -> str:
    from airflow.sdk._shared.secrets_masker import redact

    # What Airflow takes for a secret, by its name or because it is one of a connection's, is not shown.
    return ", ".join(f"{name}={redact(value, name)}" for name, value in parameters.items())


def _listed(name: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    every = list(texts)
    rows = [(name, text) for text in every[:_MOST]]
    return [*rows, (name, f"and {len(every) - _MOST} more")] if len(every) > _MOST else rows


def _count(number: float, word: str) -> str:
    return f"{number:g} {word}" if number == 1 else f"{number:g} {word}s"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
