"""Datasets and environments registered under a name: small JSON files below the workspace's state folder.

A version is written once, with an exclusive create. While a file is parsed nothing is written; what the file
registers is remembered for the rest of that parse, so that it can get it back.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aml_provider.sdk.life import is_program
from aml_provider.spec.names import legal_key

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace


def _folder(workspace: Workspace, kind: str) -> Path:
    return workspace.loaded.state / "registry" / legal_key(workspace.name) / kind


def _remembered(workspace: Workspace, kind: str) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    kinds: dict[str, dict[str, list[tuple[int, dict[str, Any]]]]] = workspace.shared.registered
    return kinds.setdefault(kind, {})


def names(workspace: Workspace, kind: str) -> list[str]:
    """Every registered name of this kind."""
    folder = _folder(workspace, kind)
    # The author's name is in the files: a folder's name is only its legal form.
    stored = {versions_of[-1][1]["name"] for d in _folders(folder) if (versions_of := _stored(d))}
    return sorted(stored | set(_remembered(workspace, kind)))


def versions(workspace: Workspace, kind: str, name: str) -> list[tuple[int, dict[str, Any]]]:
    """``(version, record)`` of every version, the newest last."""
    stored = _stored(_folder(workspace, kind) / legal_key(name))
    return sorted([*stored, *_remembered(workspace, kind).get(name, [])], key=lambda v: v[0])


def add(workspace: Workspace, kind: str, name: str, record: dict[str, Any]) -> int:
    """Register a new version; its number."""
    while True:
        known = versions(workspace, kind, name)
        version = known[-1][0] + 1 if known else 1
        content = {**record, "name": name}
        if not is_program():
            _remembered(workspace, kind).setdefault(name, []).append((version, content))
            return version
        folder = _folder(workspace, kind) / legal_key(name)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{version}.{os.getpid()}.part"
        part.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
        try:
            # A link is the exclusive create that never shows half a file.
            os.link(part, folder / f"{version}.json")
        except FileExistsError:
            continue
        finally:
            part.unlink()
        return version


def _folders(folder: Path) -> list[Path]:
    return sorted(d for d in folder.iterdir() if d.is_dir()) if folder.is_dir() else []


def _stored(folder: Path) -> list[tuple[int, dict[str, Any]]]:
    if not folder.is_dir():
        return []
    found = [(int(f.stem), f) for f in folder.glob("*.json") if f.stem.isdigit()]
    return [(number, json.loads(file.read_text(encoding="utf-8"))) for number, file in sorted(found)]
