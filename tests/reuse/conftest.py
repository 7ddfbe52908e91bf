"""What may go wrong with a machine, for every test of reuse."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reuse.machines import Warnings


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Warnings:
    """Gives the warnings that came since it was last asked."""
    caplog.set_level(logging.WARNING)
    return Warnings(caplog)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a few records."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=128k,nr_inodes=60", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(["mount", *options], capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"nothing can be mounted: {error}")
    if mounted.returncode != 0:
        pytest.skip(f"nothing can be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
