"""Where a pipeline was written, and how the paths in it are found.

A relative path is looked for in the current directory and then beside the pipeline file, because Airflow's dag
processor runs elsewhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aml_provider.sdk.life import current_collector

_OURS = ("aml_provider", "azureml")
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


@dataclass(frozen=True)
class PipelineSource:
    """The file a pipeline comes from (``None`` for a notebook or a prompt), and its folder."""

    file: Path | None
    folder: Path


def calling_source() -> PipelineSource:
    """The pipeline file: the collector's, else the file of the nearest caller outside this package.

    Code in installed packages is passed over, so a shared helper library does not hide the file that uses it.
    """
    collector = current_collector()
    if collector is not None and collector.file is not None:
        return PipelineSource(collector.file, collector.file.parent)
    files = list(_calling_files())
    for file in files:
        if not any(part in file for part in _INSTALLED):
            return PipelineSource(Path(file), Path(file).parent)
    if files:
        return PipelineSource(Path(files[0]), Path(files[0]).parent)
    return PipelineSource(None, Path.cwd())


def _calling_files() -> Iterator[str]:
    frame = sys._getframe(1)
    while frame is not None:
        names = frame.f_globals
        if str(names.get("__name__", "")).split(".", 1)[0] not in _OURS:
            file = names.get("__file__")
            # A module's frame stands for the file only if its code came from there, not from exec() in a library.
            if isinstance(file, str) and not frame.f_code.co_filename.startswith("<"):
                yield os.path.abspath(file)
            elif "__file__" not in names and names.get("__name__") == "__main__":
                return  # a notebook or a prompt: what lies further out is the kernel
        frame = frame.f_back  # type: ignore[assignment]


def candidates(path: str | os.PathLike[str], source: PipelineSource) -> list[str]:
    """The absolute places where this path may be, the likeliest first."""
    text = os.path.expanduser(os.fspath(path))
    if os.path.isabs(text):
        return [os.path.normpath(text)]
    places = (os.path.normpath(os.path.join(base, text)) for base in (os.getcwd(), str(source.folder)))
    return list(dict.fromkeys(places))


def find_file(path: str | os.PathLike[str], source: PipelineSource | None = None) -> Path | None:
    """The existing file or directory that this path means, ``None`` if there is none."""
    for place in candidates(path, source or calling_source()):
        if os.path.exists(place):
            return Path(place)
    return None


def looked_in(path: str | os.PathLike[str], source: PipelineSource) -> str:
    """The places that were searched, as the end of a sentence."""
    return " or ".join(candidates(path, source))


def portable(path: str, source: PipelineSource, *, absolute: bool) -> str:
    """``path`` as a spec holds it: relative to the pipeline file's folder, with forward slashes.

    :param path: an absolute path.
    :param absolute: the author wrote an absolute path: it stays one unless it is below the folder.
    """
    folder = str(source.folder)
    for base, place in ((folder, path), (os.path.realpath(folder), os.path.realpath(path))):
        relative = os.path.relpath(place, base)
        if relative == "." or not (relative == ".." or relative.startswith(".." + os.sep)):
            return Path(relative).as_posix()
    if absolute:
        return Path(path).as_posix()
    return Path(os.path.relpath(path, folder)).as_posix()
