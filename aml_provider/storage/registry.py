"""Things registered under a name and a version: small JSON files below the workspace's state folder.

A version is written once, with an exclusive create, so two programs never share a number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aml_provider.spec.names import folder_name
from aml_provider.workspace.resolved import LoadedWorkspace

DATASETS = "datasets"
Version = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Registry:
    """The registered things of one kind in one workspace."""

    folder: Path

    @classmethod
    def of(cls, workspace: LoadedWorkspace, kind: str) -> Registry:
        """The registry of ``kind`` (``datasets``, ``environments``)."""
        return cls(workspace.state / "registry" / folder_name(workspace.name) / kind)

    def names(self) -> set[str]:
        """Every registered name."""
        folders = [d for d in self.folder.iterdir() if d.is_dir()] if self.folder.is_dir() else []
        # The author's name is in the files: a folder's name is only its legal form.
        return {known[-1][1]["name"] for d in folders if (known := _read(d))}

    def versions(self, name: str) -> list[Version]:
        """``(version, record)`` of every version, the newest last."""
        return _read(self.folder / folder_name(name))

    def files(self, name: str, version: int) -> dict[str, tuple[str, int]] | None:
        """The files of a version as they were when it was registered; ``None``: nobody has written that down."""
        try:
            text = (self.folder / folder_name(name) / f"{version}.files").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return {file: (digest, size) for file, (digest, size) in json.loads(text).items()}

    def add(self, name: str, record: dict[str, Any], files: Mapping[str, tuple[str, int]] | None = None) -> int:
        """Register a new version; its number.

        :param files: its files, each with digest and size.
        """
        folder = self.folder / folder_name(name)
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            known = _read(folder)
            version = known[-1][0] + 1 if known else 1
            part = folder / f".{version}.{os.getpid()}.part"
            part.write_text(json.dumps({**record, "name": name}, indent=1, sort_keys=True), encoding="utf-8")
            try:
                # A link is the exclusive create that never shows half a file.
                os.link(part, folder / f"{version}.json")
            except FileExistsError:
                continue
            finally:
                part.unlink()
            if files is not None:
                part.write_text(json.dumps(files, sort_keys=True), encoding="utf-8")
                part.rename(folder / f"{version}.files")
            return version


def _read(folder: Path) -> list[Version]:
    if not folder.is_dir():
        return []
    found = [(int(f.stem), f) for f in folder.glob("*.json") if f.stem.isdigit()]
    return [(number, json.loads(file.read_text(encoding="utf-8"))) for number, file in sorted(found)]
