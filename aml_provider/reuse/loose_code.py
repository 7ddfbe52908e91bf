"""Code that lies among an interpreter's packages and belongs to none: no version tells of its content."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from aml_provider.reuse.canonical import digest
from aml_provider.runs.layout import read_json, write_json
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.storage.digests import content_of, entries_of

_log = logging.getLogger(__name__)
_PACKAGE = (".dist-info", ".egg-info")
# What Python imports, or runs when it starts.
_CODE = (".py", ".so", ".pyd", ".pth")
_COMPILED = "__pycache__"
# Of the programs that make virtual environments, each its own.
_OF_VENVS = ("_virtualenv.py", "_virtualenv.pth")
# Two changes within a clock's tick leave the same times.
_SETTLED_NS = 2_000_000_000
_Stamp = tuple[int, int, int, int]


def loose_code(sites: Sequence[str], cache: DigestCache | None) -> dict[str, str]:
    """Digests of the modules, folders and ``.pth`` files that no package's list of files has, by name.

    Where two folders have one name, the first one's is imported.

    :param sites: the folders that the interpreter has its packages in.
    :param cache: digests of files that have not changed; beside it is kept which names are loose.
    :raises PipelineError: one cannot be read; :raises OSError: a folder cannot.
    """
    found: dict[str, str] = {}
    for site in sites:
        with suppress(FileNotFoundError):
            for name in _names(site, cache):
                found.setdefault(name, _content(f"{site}/{name}", cache))
    return found


def _content(path: str, cache: DigestCache | None) -> str:
    if not os.path.isdir(path):
        return content_of(path, cache).digest
    entries = entries_of(Path(path), cache)
    return digest([[e.relative, e.digest] for e in entries if _COMPILED not in e.relative.split("/")])


def _names(site: str, cache: DigestCache | None) -> Sequence[str]:
    """The names in a folder that belong to no package; finding them takes reading a list of each package's files."""
    status = os.stat(site)
    stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    file = None if cache is None else cache.file.with_name(f"{cache.file.stem}-sites.json")
    known = _kept(file).get(site) if file is not None else None
    if isinstance(known, dict) and known.get("stamp") == list(stamp):
        return list(map(str, known["loose"]))
    names = _looked_up(site, stamp)
    if file is not None and time.time_ns() - max(stamp[2:]) > _SETTLED_NS:
        _keep(file, site, {"stamp": stamp, "loose": names})
    return names


@lru_cache(maxsize=64)
def _looked_up(site: str, _: _Stamp) -> Sequence[str]:
    owned: set[str] = set()
    names = []
    for entry in os.scandir(site):
        stem, suffix = os.path.splitext(entry.name)
        if suffix in _PACKAGE:
            owned.update(_owned(entry.path, stem))
        elif not stem.startswith(".") and (suffix in _CODE or entry.is_dir()):
            names.append(entry.name)
    return sorted({*names} - {*owned, *_OF_VENVS, _COMPILED})


def _owned(package: str, stem: str) -> Iterator[str]:
    """The names directly in the folder that a package has."""
    with suppress(OSError):
        for line in _lines(f"{package}/RECORD"):
            yield line.partition(",")[0].strip('"').partition("/")[0]
        return
    # Linux distributions leave the list out.
    modules = [stem.partition("-")[0].replace("-", "_")]
    with suppress(OSError):
        modules += _lines(f"{package}/top_level.txt")
    for module in modules:
        yield from (module, f"{module}.py")


def _lines(file: str) -> list[str]:
    return Path(file).read_text(encoding="utf-8", errors="surrogateescape").splitlines()


# --- what was found before ----------------------------------------------------------------------------------------


def _kept(file: Path) -> dict[str, object]:
    try:
        return read_json(file) or {}
    except (OSError, ValueError):
        return {}


def _keep(file: Path, site: str, known: dict[str, object]) -> None:
    """It only saves work, and so does what a program at the same time keeps."""
    try:
        write_json(file, {**_kept(file), site: known}, compact=True)
    except OSError as error:
        _log.debug("what %s has cannot be kept in %s: %s", site, file, error)
