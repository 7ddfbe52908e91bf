"""What a file system refuses while a step starts or ends, as a sentence about the step and its datastore."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepInterruptedError
from aml_provider.storage.faults import DatastoreError

_FULL = {errno.ENOSPC, errno.EDQUOT}
# With less than this, not even a report can be written.
_NO_ROOM_BYTES = 64 << 10
_NO_ROOM_FILES = 8


@contextmanager
def disk_errors(run: StepRun) -> Iterator[None]:
    """Around work on a step's files.

    :raises StepInterruptedError: a disk is full, or refuses something else.
    """
    try:
        yield
    except OSError as e:
        raise StepInterruptedError(_sentence(run, e)) from e


def no_room(run: StepRun, folder: Path) -> str:
    """What to say of a disk that has no room left, by which a process in ``folder`` may have died; empty: it has."""
    try:
        left = os.statvfs(folder)
    except OSError:
        return ""
    # Some file systems count no files.
    if left.f_bavail * left.f_frsize >= _NO_ROOM_BYTES and (left.f_favail >= _NO_ROOM_FILES or not left.f_files):
        return ""
    datastore = _datastore(run, str(folder))
    where = "the run's folder" if datastore is None else f"datastore {datastore!r}"
    return f"there is no room left in {where} ({folder}). Make room there and run the step again."


def _sentence(run: StepRun, error: OSError) -> str:
    # What was being written is the second of two names; a write itself knows no name.
    path, reason = error.filename2 or error.filename, error.strerror or str(error)
    full = error.errno in _FULL
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        # Of all that could not be copied, the first.
        _, path, reason = error.args[0][0]
        full = any(f"[Errno {number}]" in reason for number in _FULL)
    if isinstance(error, DatastoreError) and not full:
        # It names its datastore, which may be another one than that of the run's files.
        return f"step {run.step.name!r}: {str(error).rstrip('.')}. See to it and run the step again."
    place = os.fsdecode(path) if path and not isinstance(path, int) else ""
    datastore = _datastore(run, place)
    where = place if datastore is None else f"datastore {datastore!r}" + (f" ({place})" if place else "")
    if full:
        return f"step {run.step.name!r}: there is no room left in {where}. Make room there and run the step again."
    return f"step {run.step.name!r}: {where} cannot be used: {reason}. See to it and run the step again."


def _datastore(run: StepRun, path: str) -> str | None:
    """The datastore that a path is in; of an unknown path, the one that keeps the run's own files."""
    if not path:
        return run.binding.store.datastore
    workspace = run.binding.workspace
    roots = {name: workspace.folder_of(name) for name in workspace.datastores}
    found = [(len(root.parts), name) for name, root in roots.items() if Path(path).is_relative_to(root)]
    return max(found)[1] if found else None
