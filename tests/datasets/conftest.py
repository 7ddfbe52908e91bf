"""A workspace with a datastore, and tables in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aml_provider.sdk.datasets import Dataset
from aml_provider.sdk.datastore import Datastore
from aml_provider.sdk.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose datastore ``raw`` is the folder ``data``; its folder is the current directory."""
    (tmp_path / "workspace.yaml").write_text("name: lab\ndatastores:\n  raw: {url: data}\n")
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    return Workspace.from_config()


@pytest.fixture
def raw(ws: Workspace) -> Any:
    """The datastore."""
    return Datastore(ws, "raw")


@pytest.fixture
def write(ws: Workspace, tmp_path: Path) -> Callable[..., Path]:
    """Write a file below the datastore's root."""

    def make(path: str, content: str | bytes) -> Path:
        file = tmp_path / "data" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return make


@pytest.fixture
def table(raw: Any, write: Any) -> Callable[..., Any]:
    """A table of delimited texts, one file each."""

    def make(*texts: str, **options: Any) -> Any:
        for number, text in enumerate(texts):
            write(f"t/{number:02d}.csv", text)
        return Dataset.Tabular.from_delimited_files((raw, "t/*.csv"), **options)

    return make
