"""What programs said about experiments: a JSON file of the state folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aml_provider.workspace.registered import change_file

NAME = "experiments.json"


def read_experiment(state: Path, name: str) -> dict[str, Any]:
    """``tags``, and ``archived`` (when, in seconds since the epoch), as far as they were set."""
    try:
        content = json.loads((state / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return dict(content.get(name) or {})


def experiment_tags(state: Path, name: str) -> dict[str, str]:
    """The tags of an experiment."""
    return dict(read_experiment(state, name).get("tags") or {})


def change_experiment(state: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what is said about one experiment, one program at a time.

    :raises WorkspaceFileError: the state folder cannot be written.
    """

    def changed(content: dict[str, Any]) -> None:
        change(content.setdefault(name, {}))

    change_file(state / NAME, changed, mode=0o644)
