"""Reading ``events.jsonl``: what a step's script reported, as it reports it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Event = dict[str, Any]
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_log = logging.getLogger(__name__)


def read_events(path: Path) -> list[Event]:
    """Every event so far; none when there is no journal."""
    events, _ = read_new_events(path, 0)
    return events


def read_new_events(path: Path, offset: int, limit: int | None = None) -> tuple[list[Event], int]:
    """The events after ``offset`` and the offset after them.

    Only complete lines count: a line that is being written, or was torn by a kill, is left for the next time. A
    complete line that is no event is skipped with a warning.

    :param offset: in bytes, 0 or one that this function returned.
    :param limit: at most this many lines.
    """
    events: list[Event] = []
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return events, offset
    with file:
        file.seek(offset)
        for number, line in enumerate(file):
            if not line.endswith(b"\n") or number == limit:
                break
            offset += len(line)
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            if isinstance(event, dict) and isinstance(event.get("type"), str):
                events.append(event)
            elif line.strip():
                _log.warning("%s: a line that is no event is skipped: %.80r", path, line)
    return events, offset


def metrics_of(events: Iterable[Event]) -> dict[str, Any]:
    """The step run's metrics as v1 ``get_metrics`` gives them.

    A name logged once has its value, a name logged several times the list of its values in order; lists are joined;
    rows and tables are a dict of columns. What the script logged to a child run or to the pipeline run is left out.
    The result is what JSON can hold: NaN and the infinities are the texts ``NaN``, ``Infinity``, ``-Infinity``, which
    :func:`with_numbers` turns back.
    """
    logged: dict[str, list[Event]] = {}
    for event in events:
        if event["type"] == "metric" and not event.get("child") and not event.get("to"):
            logged.setdefault(str(event.get("name")), []).append(event)
    return {name: _combined(entries) for name, entries in logged.items()}


def with_numbers(value: Any) -> Any:
    """The same with the texts ``NaN``, ``Infinity`` and ``-Infinity`` as floats, at any depth."""
    if isinstance(value, dict):
        return {key: with_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_numbers(item) for item in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value


def number(value: Any) -> float | None:
    """A scalar as MLflow takes it; ``None`` when it is no number."""
    if isinstance(value, str):
        return _WORDS.get(value)
    if isinstance(value, (bool, int, float)):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def _combined(entries: list[Event]) -> Any:
    kinds = {entry.get("kind") for entry in entries}
    values = [entry.get("value") for entry in entries]
    if kinds <= {"row", "table"}:
        return _columns(values, rows=kinds == {"row"})
    if "list" in kinds:
        return [item for value in values for item in (value if isinstance(value, list) else [value])]
    return values[0] if len(values) == 1 else values


def _columns(values: list[Any], rows: bool) -> dict[str, Any]:
    if len(values) == 1 and not rows:
        return dict(values[0])
    columns: dict[str, list[Any]] = {}
    for value in values:
        for column, cell in value.items():
            columns.setdefault(column, []).extend(cell if isinstance(cell, list) else [cell])
    return columns
