"""What attempts staged and never published: removed, but for what a publication had to move out of its way."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from aml_provider.execution import data
from aml_provider.runs.binding import StepRun
from aml_provider.spec.models import StepOutput
from aml_provider.storage.datastores import store_for

# In an output's staging folder: what was at its destination, while something else is moved there.
_REPLACED = ".replaced"
_REMOVED = ".removed"


def final_path(run: StepRun, output: StepOutput) -> Path:
    """Where an output's readers find it in a datastore that is a folder."""
    place = data.destination_of(run, output)
    return store_for(run.binding.workspace.datastore(place.datastore), place.datastore).local_path(place.path)


def replace(staged: Path | None, final: Path, folder: Path) -> None:
    """Put what is staged in the place of what is at ``final``.

    A folder cannot be replaced at once. If this process dies in the middle, :func:`discard_attempts` puts the old one
    back.

    :param staged: ``None``: nothing comes in its place.
    :param folder: the output's staging folder.
    """
    if staged is not None and not staged.is_dir() and not final.is_dir():
        os.replace(staged, final)
        return
    old = folder / _REPLACED
    remove(old)
    folder.mkdir(parents=True, exist_ok=True)
    os.rename(final, old)
    if staged is not None:
        os.rename(staged, final)
    # It is removed piece by piece: from here on it is nothing that could be put back.
    remove(folder / _REMOVED)
    os.rename(old, folder / _REMOVED)
    remove(folder / _REMOVED)


def discard_attempts(run: StepRun, number: int | None = None) -> None:
    """Remove what attempts staged and never published.

    :param number: of this attempt only; else of all of them, none of which may matter any more.
    """
    for output in run.step.outputs:
        for folder in _folders(run, output, number):
            old = folder / output.name / _REPLACED
            if os.path.lexists(old) and not os.path.lexists(final := final_path(run, output)):
                os.rename(old, final)
    for output in run.step.outputs:
        for folder in _folders(run, output, number):
            remove(folder)


def remove(path: Path) -> None:
    """Remove a file or a folder that may be gone already, or that another process is removing as well."""
    while os.path.lexists(path):
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except FileNotFoundError:
            continue


def _folders(run: StepRun, output: StepOutput, number: int | None) -> list[Path]:
    parent = data.staging_folder(run, 0, output).parent.parent
    return list(parent.glob(f"{run.step_run_id}-{'*' if number is None else number}"))
