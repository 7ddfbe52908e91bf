"""Publishing an attempt's output: from where its script wrote it to where readers find it."""

from __future__ import annotations

import errno
import filecmp
import fnmatch
import logging
import os
from pathlib import Path
from typing import Any

from aml_provider.execution import data
from aml_provider.execution.objects import publish_objects
from aml_provider.execution.staging import final_path, remove, replace
from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepError, StepInterruptedError
from aml_provider.runs.layout import AttemptFolder, read_json, write_json
from aml_provider.spec.models import DataLocation, DataMode, StepOutput, StoredOutput
from aml_provider.storage.datastores import store_for
from aml_provider.storage.paths import PART_PREFIX

_log = logging.getLogger(__name__)


def publish(run: StepRun, attempt: AttemptFolder, output: StepOutput, report: dict[str, Any]) -> DataLocation:
    """Put an output where readers find it. Doing it again after a crash half-way is safe.

    :param report: the runtime's, which says whether the script wrote it.
    :raises StepError: it would overwrite a file that it must not.
    :raises StepInterruptedError: it has been thrown away, because the step was started again meanwhile.
    """
    place = data.destination_of(run, output)
    folder = data.staging_folder(run, attempt.number, output)
    if not folder.is_dir() and not _is_done(run, attempt):
        raise StepInterruptedError(
            f"step {run.step.name!r}, attempt {attempt.number}: what it wrote has been removed from datastore "
            f"{output.datastore!r} before it could be published, most likely because the step was started again."
        )
    own = "{run-id}" in output.destination
    staged = _staged(run, attempt, output)
    store = store_for(run.binding.workspace.datastore(output.datastore), output.datastore)
    if store.local_root is None:
        publish_objects(run, output, store, place.path, staged, written=_exists(report, output))
        return place
    final = final_path(run, output)
    if not staged.exists():
        if own and _exists(report, output) is False and os.path.lexists(final):
            # The result of an attempt that was cleared is no result of this one, which wrote nothing.
            replace(None, final, folder)
        # Else it has been published by an earlier try of this commit.
        return place
    final.parent.mkdir(parents=True, exist_ok=True)
    if not own:
        _merge(run, attempt, output, staged, final)
    elif final.exists():
        # Only this step run writes there: what is there is the result of an attempt that was cleared.
        replace(staged, final, folder)
    else:
        _move(staged, final)
    return place


def check_published(run: StepRun, output: StepOutput, report: dict[str, Any], found: StoredOutput) -> None:
    """See that an output that was written is there.

    :raises StepInterruptedError: somebody has taken it away.
    """
    if _exists(report, output) and found.digest is None:
        raise StepInterruptedError(
            f"step {run.step.name!r}, output {output.name!r}: it was written, and somebody has removed it from "
            f"datastore {output.datastore!r} before the step had ended ({data.destination_of(run, output).path}). "
            "Run the step again."
        )


def _exists(report: dict[str, Any], output: StepOutput) -> bool | None:
    """Whether the script wrote it; ``None``: the report does not say."""
    said: bool | None = (report.get("outputs") or {}).get(output.name, {}).get("exists")
    return said


def _is_done(run: StepRun, attempt: AttemptFolder) -> bool:
    result = run.folder.result() or {}
    return result.get("state") == "Finished" and result.get("attempt") == attempt.number


def _staged(run: StepRun, attempt: AttemptFolder, output: StepOutput) -> Path:
    """Where the output is, ready to be moved to its destination, if it is still to be published.

    What a script wrote below its working directory is brought into the datastore first: that may be another file
    system, which takes time, and no reader may see it half copied.
    """
    folder = data.staging_folder(run, attempt.number, output)
    written, staged = data.staged_path(run, attempt, output), folder / output.name
    if written == staged:
        _prepare(written, output)
        return staged
    if written.exists() and not staged.exists():
        _prepare(written, output)
        _move(written, staged)
    # Before anything is published: a try of this commit that finds it would take it for something new.
    try:
        remove(written)
    except PermissionError as e:
        # Written by a container's user. Nothing worse comes of it than that the same is published once more.
        _log.debug("%s was copied and could not be removed: %s", written, e)
    return staged


def _prepare(written: Path, output: StepOutput) -> None:
    if output.source_globs:
        _keep_only(written, output.source_globs)
    _make_links_relative(written, (str(written), str(data.INSIDE / "outputs" / output.name / output.name)))


def _make_links_relative(staged: Path, roots: tuple[str, ...]) -> None:
    """Links to files of the same output keep their meaning when the output moves to its destination.

    :param roots: the output's path on this machine and inside the step.
    """
    for path in [p for p in staged.rglob("*") if p.is_symlink()]:
        target = os.readlink(path)
        for root in roots:
            if target == root or target.startswith(root + "/"):
                here = staged / os.path.relpath(target, root)
                path.unlink()
                path.symlink_to(os.path.relpath(here, path.parent))
                break


def _keep_only(staged: Path, globs: tuple[str, ...]) -> None:
    for path in [p for p in staged.rglob("*") if p.is_file()]:
        relative = path.relative_to(staged).as_posix()
        if not any(fnmatch.fnmatch(relative, g) or fnmatch.fnmatch(path.name, g) for g in globs):
            path.unlink()


def _move(source: Path, target: Path) -> None:
    """Move a folder to where nothing is, or a file, also over another one; it appears whole."""
    try:
        os.rename(source, target)
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
        part = target.with_name(f"{PART_PREFIX}{target.name}")
        remove(part)
        data.copy(source, part)
        os.rename(part, target)


def _merge(run: StepRun, attempt: AttemptFolder, output: StepOutput, staged: Path, final: Path) -> None:
    """Add files, links and folders to a place that other runs write to as well; every file appears whole."""
    files, folders = _written(staged)
    if output.mode is DataMode.UPLOAD and not output.overwrite and not staged.is_file():
        own = _uploaded(run, output)
        for relative, path in files.items():
            there = final / relative
            if relative not in own and os.path.lexists(there) and not _is_equal(path, there):
                raise StepError(
                    f"step {run.step.name!r}, output {output.name!r}: {relative} exists already at {final}. "
                    "Use as_upload(overwrite=True), or a destination with {run-id} in it."
                )
        # Before the first file is there: an attempt that comes after a crash may replace what this one wrote.
        noted = read_json(_uploads(attempt)) or {}
        write_json(_uploads(attempt), {**noted, output.name: sorted({*noted.get(output.name, ()), *files})})
    if not os.path.lexists(final):
        try:
            _move(staged, final)
            return
        except OSError as e:
            # Another run has just put its own there.
            if e.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
    _refuse_what_cannot_be_there(run, output, final, files, folders)
    for relative in folders:
        (final / relative).mkdir(parents=True, exist_ok=True)
    for relative, path in files.items():
        _move(path, final / relative)


def _written(staged: Path) -> tuple[dict[str, Path], list[str]]:
    """What a script wrote, by its path in the output: files with links of any kind, and folders, the outer ones first.

    An output that is a file has the path "".
    """
    if staged.is_symlink() or not staged.is_dir():
        return {"": staged}, []
    files, folders = {}, [""]
    for path in sorted(staged.rglob("*")):
        relative = path.relative_to(staged).as_posix()
        if path.is_dir() and not path.is_symlink():
            folders.append(relative)
        else:
            files[relative] = path
    return files, folders


def _refuse_what_cannot_be_there(
    run: StepRun, output: StepOutput, final: Path, files: dict[str, Path], folders: list[str]
) -> None:
    """See that no file meets a folder of its name, before anything is moved: another attempt would meet it as well.

    :raises StepError: one does.
    """
    for what, other, found in (
        ("folder", "file or link", [r for r in folders if _is_no_folder(final / r, inside=bool(r))]),
        ("file", "folder", [r for r in files if (final / r).is_dir() and not (final / r).is_symlink()]),
    ):
        for relative in found:
            place = final / relative
            raise StepError(
                f"step {run.step.name!r}, output {output.name!r}: it wrote a {what} {place.name!r}, and there is a "
                f"{other} of that name already in {place.parent}. Remove that, or use a destination with {{run-id}} in "
                "it."
            )


def _is_no_folder(place: Path, *, inside: bool) -> bool:
    """Whether something is there that no folder can be merged with.

    A link in the output's place is none of the step's business. One ``inside`` of it leads to what others have there,
    or to somewhere else altogether.
    """
    return os.path.lexists(place) and (not place.is_dir() or (inside and place.is_symlink()))


def _uploads(attempt: AttemptFolder) -> Path:
    return attempt.path / "uploads.json"


def _uploaded(run: StepRun, output: StepOutput) -> set[str]:
    """Files that attempts of this step run have brought to a place that others write to as well."""
    noted = (read_json(_uploads(attempt)) or {} for attempt in run.folder.attempts())
    return {file for found in noted for file in found.get(output.name, ())}


def _is_equal(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and os.readlink(one) == os.readlink(other)
    return other.is_file() and filecmp.cmp(one, other, shallow=False)
