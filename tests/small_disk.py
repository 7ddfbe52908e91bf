"""Disks that are soon full."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A disk of its own at a folder, while inside.

    Mounting takes rights that not everybody has.

    :param options: of the mount: ``size=2m``.
    """
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount program: nobody can make a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    seen = subprocess.run(mount, capture_output=True, text=True)
    if seen.returncode:
        pytest.skip(f"a small disk cannot be mounted: {seen.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
