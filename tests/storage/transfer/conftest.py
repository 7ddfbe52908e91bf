from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aml_provider.storage.transfer import Options, Place, Summary, transfer
from tests import stores

Make = Callable[[str], stores.Place]
Move = Callable[..., Summary]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes fresh roots in stores, by kind."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with contextlib.ExitStack() as stack:
        yield lambda kind: stack.enter_context(stores.place(kind, tmp_path, monkeypatch))


@pytest.fixture
def move(tmp_path: Path) -> Move:
    """A transfer between two roots that keeps what it notes, and says nothing."""

    def moved(source: stores.Place, start: str, destination: stores.Place, end: str, **options: object) -> Summary:
        return transfer(
            Place(source.store, start),
            Place(destination.store, end),
            Options(**options),  # type: ignore[arg-type]
            state=tmp_path / "state",
            say=lambda _: None,
        )

    return moved


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A big file is one of a few MiB."""
    from aml_provider.storage.transfer import azure_end, ends, folder_end, fsspec_end, s3_end, sftp_end

    monkeypatch.setattr(ends, "PART_BYTES", 256 << 10)
    monkeypatch.setattr(azure_end, "PART_BYTES", 256 << 10)
    monkeypatch.setattr(s3_end, "_PART", 5 << 20)  # S3 takes no smaller ones
    monkeypatch.setattr(s3_end.S3End, "whole_bytes", 5 << 20)
    for end in (azure_end.AzureEnd, folder_end.FolderEnd, fsspec_end.FsspecEnd, sftp_end.SftpEnd):
        monkeypatch.setattr(end, "whole_bytes", 256 << 10)
