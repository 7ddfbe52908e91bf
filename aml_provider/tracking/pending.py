"""Runs whose end MLflow has not been told, since it could not be reached: the next run that ends tells it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

_FOLDER = "untold"


def remember(run_folder: Path, state: str, why: str) -> None:
    """Note that MLflow is to be told later how the run ended, and why it has not been told now."""
    marker = _marker(run_folder)
    marker.parent.mkdir(parents=True, exist_ok=True)
    content = {"run": run_folder.relative_to(_store_root(run_folder)).as_posix(), "state": state, "why": why}
    marker.write_text(json.dumps(content), encoding="utf-8")


def forget(run_folder: Path) -> None:
    """MLflow has been told."""
    _marker(run_folder).unlink(missing_ok=True)


def why_untold(run_folder: Path) -> str | None:
    """Why MLflow has not been told how the run ended; ``None``: it has, or the run has not ended."""
    try:
        return str(json.loads(_marker(run_folder).read_text(encoding="utf-8")).get("why"))
    except (FileNotFoundError, ValueError):
        return None


def others(run_folder: Path) -> Iterator[tuple[Path, str]]:
    """``(run folder, state)`` of the other runs in the same run store that MLflow is still to be told of."""
    root = _store_root(run_folder)
    for marker in sorted((root / _FOLDER).glob("*.json")):
        try:
            content = json.loads(marker.read_text(encoding="utf-8"))
            folder, state = root / content["run"], str(content["state"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            continue  # just told by another one, or half written by a killed one
        if not folder.is_dir():
            marker.unlink(missing_ok=True)
        elif folder != run_folder:
            yield folder, state


def _store_root(run_folder: Path) -> Path:
    return run_folder.parents[2]


def _marker(run_folder: Path) -> Path:
    name = hashlib.sha256(run_folder.relative_to(_store_root(run_folder)).as_posix().encode()).hexdigest()[:16]
    return _store_root(run_folder) / _FOLDER / f"{name}.json"
