"""What may go wrong with a machine, for every test of reuse."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reuse.machines import Warnings
from tests.small_disk import small_disk as mounted


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Warnings:
    """Gives the warnings that came since it was last asked."""
    caplog.set_level(logging.WARNING)
    return Warnings(caplog)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a few records."""
    with mounted(tmp_path / "disk", "size=128k,nr_inodes=60") as folder:
        yield folder
