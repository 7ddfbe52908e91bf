"""What a finished command left behind: ``./outputs`` and ``./logs`` for the run, the state of the declared outputs."""

from __future__ import annotations

import contextlib
import os

from .files import place, regular_files
from .job import Job, JobError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COLLECTED = ("outputs", "logs")
"""Folders of the working directory whose files belong to the run, as in Azure ML."""


def prepare(job: Job) -> None:
    """Create what a script may count on: directory outputs, parent folders of file outputs, ``./outputs``, ``./logs``.

    :raises JobError: when an output cannot be created.
    """
    for port in job.outputs:
        folder = port.path if port.directory else os.path.dirname(port.path)
        try:
            os.makedirs(folder or ".", exist_ok=True)
        except OSError as error:
            raise JobError(
                f'The folder {folder} of the output "{port.name}" cannot be created: {error.strerror}. '
                "Check that the datastore is mounted and that the step's user may write to it."
            ) from error
    for name in COLLECTED:
        try:
            os.mkdir(os.path.join(job.working_directory, name))
        except OSError:
            continue  # there already, or a read-only working directory: the step itself may not need them


def collect(job: Job) -> str | None:
    """Bring the files of ``./outputs`` and ``./logs`` into the attempt's ``artifacts`` folder.

    A file that the script uploaded under the same name stays: what was uploaded by name was meant.

    :return: a sentence when something could not be brought.
    """
    scratch = os.path.join(job.folder, ".partial")
    failures = []
    for name in COLLECTED:
        folder = os.path.join(job.working_directory, name)
        if not os.path.isdir(folder):
            continue
        for source, relative in regular_files(folder):
            target = os.path.join(job.folder, "artifacts", name, relative)
            if os.path.exists(target):
                continue
            try:
                place(source, target, scratch, link=True)
            except OSError as error:
                failures.append(f"./{name}/{relative} ({error.strerror})")
    with contextlib.suppress(OSError):  # it was not needed, or keeps what a killed upload left
        os.rmdir(scratch)
    if not failures:
        return None
    more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
    return f"Files could not be collected for the run: {', '.join(failures[:3])}{more}."


def describe_outputs(job: Job) -> dict[str, dict[str, Any]]:
    """For every declared output: whether it exists, what it is, how many files and bytes it holds."""
    return {port.name: _describe(port.path) for port in job.outputs}


def _describe(path: str) -> dict[str, Any]:
    if os.path.isdir(path):
        files = size = 0
        for file, _ in regular_files(path):
            try:
                size += os.stat(file).st_size
            except OSError:
                continue  # removed meanwhile
            files += 1
        return {"exists": True, "directory": True, "files": files, "bytes": size}
    if os.path.exists(path):
        return {"exists": True, "directory": False, "files": 1, "bytes": os.stat(path).st_size}
    return {"exists": False, "directory": False, "files": 0, "bytes": 0}
