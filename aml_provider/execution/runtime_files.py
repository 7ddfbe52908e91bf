"""Bringing the in-step runtime to where every step can see it: into the run store, under its content's name."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import aml_provider

SOURCE = Path(aml_provider.__file__).parent / "runtime"
PACKAGE = "aml_runtime"
_BUILDING = ".building-"
# A folder this old was left by a killed process.
_BUILDING_SECONDS = 24 * 3600


@lru_cache(maxsize=1)
def runtime_digest() -> str:
    """Hash of the runtime's files: another version of this package gets another folder."""
    digest = hashlib.sha256()
    for path in _files():
        digest.update(path.relative_to(SOURCE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _files() -> list[Path]:
    return sorted(p for p in SOURCE.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _compile(folder: Path) -> None:
    """Compile the modules for this Python: containers see the folder read-only and would compile them at every start.

    An image with another Python does that still. The folder's content never changes, so nothing needs checking later.
    """
    import compileall
    from py_compile import PycInvalidationMode

    compileall.compile_dir(folder, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)


def install_runtime(runtimes: Path) -> Path:
    """Make the runtime available under ``runtimes`` and return its folder; cheap when it is there already."""
    target = runtimes / runtime_digest()
    if target.is_dir():
        return target
    runtimes.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=runtimes, prefix=_BUILDING))
    _sweep(building)
    try:
        for path in _files():
            relative = path.relative_to(SOURCE)
            top = relative.parts[0]
            destination = building / relative if top in ("launch.sh", "shim") else building / PACKAGE / relative
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, destination)
        _compile(building)
        for folder in (building, *(p for p in building.rglob("*") if p.is_dir())):
            folder.chmod(0o755)
        try:
            os.rename(building, target)
        except OSError:
            # Somebody else installed the same content first.
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def _sweep(building: Path) -> None:
    """Remove what processes left beside ``building`` that were killed while they did the same."""
    # By the clock of whatever keeps the folder: ours may be another.
    limit = building.stat().st_mtime - _BUILDING_SECONDS
    for folder in building.parent.glob(f"{_BUILDING}*"):
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < limit:
                shutil.rmtree(folder)
