"""The snapshot of a step's source directory: which files belong to it, and copying them to an attempt."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pathspec

from aml_provider.runs.errors import StepError
from aml_provider.storage.paths import leads_to_file, leads_to_folder

# Azure ML v1's own limits: 300 MB and 2,000 files; the file limit is wider here because nothing is uploaded.
MAX_BYTES = 300_000_000
MAX_FILES = 10_000
NEVER = (".git/", "__pycache__/", ".aml/", ".amlignore", ".ipynb_checkpoints/", ".venv/")
IGNORE_FILES = (".amlignore", ".gitignore")
_Place = tuple[int, int]


@dataclass(frozen=True)
class SourceFile:
    """A file of the snapshot; ``relative`` uses forward slashes."""

    path: Path
    relative: str
    size: int
    executable: bool = False


def source_files(directory: Path, include: Sequence[str] = ()) -> list[SourceFile]:
    """The files of the snapshot of ``directory``, sorted by name.

    :param include: only files that match one of these ``.gitignore`` patterns; empty for all.

    ``.amlignore`` decides what is left out, or else ``.gitignore``, as in Azure ML; version control's, Python's
    and our own bookkeeping never belong to it.
    """
    patterns = list(NEVER)
    for name in IGNORE_FILES:
        if (directory / name).is_file():
            patterns += (directory / name).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
            break
    ignored = pathspec.GitIgnoreSpec.from_lines(patterns)
    files = _walk(directory, directory, ignored)
    if include:
        included = pathspec.GitIgnoreSpec.from_lines(include)
        files = (f for f in files if included.match_file(f.relative))
    return sorted(files, key=lambda f: f.relative)


def _walk(
    root: Path, folder: Path, ignored: pathspec.GitIgnoreSpec, way: tuple[_Place, ...] = ()
) -> Iterator[SourceFile]:
    """The files below ``folder``.

    :param way: the folders that led there, once a link was followed on the way.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            relative = Path(entry.path).relative_to(root).as_posix()
            if leads_to_folder(entry):
                if ignored.match_file(relative + "/"):
                    continue
                if not way and not entry.is_symlink():
                    yield from _walk(root, Path(entry.path), ignored)
                    continue
                # A folder is entered through a link only when it cannot lead back to itself.
                before = way or _way(root, folder)
                place = _place(entry.path)
                above_root = entry.is_symlink() and root.resolve().is_relative_to(Path(entry.path).resolve())
                if place not in before and not above_root:
                    yield from _walk(root, Path(entry.path), ignored, (*before, place))
            elif leads_to_file(entry) and not ignored.match_file(relative):
                stat = entry.stat()
                yield SourceFile(Path(entry.path), relative, stat.st_size, bool(stat.st_mode & 0o100))


def _way(root: Path, folder: Path) -> tuple[_Place, ...]:
    return tuple(_place(p) for p in (folder, *folder.parents) if p.is_relative_to(root))


def _place(folder: Path | str) -> _Place:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def check_size(step_name: str, directory: Path, files: list[SourceFile]) -> None:
    """Refuse a source directory that would be slow to bring to every step.

    :raises StepError: more than 300 MB or 10,000 files; names the biggest files.
    """
    total = sum(f.size for f in files)
    if total <= MAX_BYTES and len(files) <= MAX_FILES:
        return
    biggest = sorted(files, key=lambda f: -f.size)[:5]
    listed = "\n".join(f"  {f.size / 1e6:8.1f} MB  {f.relative}" for f in biggest)
    folders: dict[str, int] = {}
    for f in files:
        top = f.relative.split("/")[0] + "/" if "/" in f.relative else "."
        folders[top] = folders.get(top, 0) + 1
    crowded = ", ".join(f"{n} ({c} files)" for n, c in sorted(folders.items(), key=lambda i: -i[1])[:3])
    raise StepError(
        f"step {step_name!r}: source_directory {directory} holds {len(files):,} files, {total / 1e6:,.1f} MB; "
        f"the limit is {MAX_FILES:,} files and {MAX_BYTES / 1e6:,.0f} MB. Its biggest files:\n{listed}\n"
        f"Most files are in: {crowded}. Name what the step does not need in {directory / '.amlignore'} "
        "(same patterns as .gitignore), or give the step a source_directory of its own."
    )


def copy_snapshot(
    step_name: str, directory: Path, target: Path, include: Sequence[str] = (), script: str | None = None
) -> list[SourceFile]:
    """Copy the snapshot of ``directory`` into ``target``.

    :param include: as for :func:`source_files`.
    :param script: the file that the step runs.
    :return: the copies.
    :raises StepError: the directory does not exist or is too big, or the script is left out of the snapshot.
    """
    if not directory.is_dir():
        raise StepError(
            f"step {step_name!r}: source_directory {directory} does not exist on this worker. It is looked for "
            "relative to the pipeline file; copy it next to the file in the dags folder."
        )
    files = source_files(directory, include)
    check_size(step_name, directory, files)
    wanted = None if script is None else os.path.normpath(script)
    if wanted is not None and (directory / wanted).is_file() and wanted not in (f.relative for f in files):
        by = f"`include: {list(include)}` in the workspace file" if include else "the folder's .amlignore or .gitignore"
        raise StepError(
            f"step {step_name!r}: its own script {script!r} is left out of its snapshot by {by}; let it in there."
        )
    target.mkdir(parents=True, exist_ok=True)
    for f in files:
        destination = target / f.relative
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(f.path, destination)
    return [replace(f, path=target / f.relative) for f in files]
