"""Paths inside a datastore: text with forward slashes, relative to its root, never outside it."""

from __future__ import annotations

import os
import re
from functools import lru_cache

from aml_provider.spec.errors import PipelineError

# A file that is being written. No reader, glob or download ever sees one, and it is no part of any identity.
PART_PREFIX = ".aml-part-"
BOOKKEEPING = frozenset({".aml"})
# What ext4, xfs and most other file systems take.
FILE_NAME_BYTES = 255
FILE_PATH_BYTES = 4095
_DRIVE = re.compile(r"^[A-Za-z]:[\\/]")


def normalized(path: str | None, datastore: str) -> str:
    """The one spelling of a path in a datastore: no empty or ``.`` parts, no slash at either end.

    Backslashes count as slashes, since v1 code written on Windows has them. ``a/../b`` is ``b``. Azure ML takes a
    leading slash for the datastore's root, but a path like ``/data/x`` is usually a path of the machine given by
    mistake, so it is refused.

    :param path: ``None`` and ``""`` and ``.`` are the root, whose spelling is ``""``.
    :param datastore: its name, for the message.
    :raises PipelineError: the path is absolute, leaves the datastore, or holds a NUL character.
    """
    text = "" if path is None else str(path)
    if _DRIVE.match(text) or text.startswith(("/", "\\")):
        relative = text.lstrip("/\\") or "."
        raise PipelineError(
            f"path {text!r} in datastore {datastore!r} is absolute; give it relative to the datastore's root, "
            f"e.g. {relative!r}."
        )
    if "\0" in text:
        raise PipelineError(f"path {text!r} in datastore {datastore!r} holds a NUL character; remove it.")
    parts: list[str] = []
    for part in text.replace("\\", "/").split("/"):
        if part == "..":
            if not parts:
                raise PipelineError(
                    f"path {text!r} in datastore {datastore!r} leads out of the datastore; "
                    "use a path below its root, without a leading '..'."
                )
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def no_file_name(path: str, full: str) -> str:
    """Why a file system cannot have a file of this path, as the end of a sentence; empty when it can.

    :param full: the whole path there.
    """
    for part in path.split("/"):
        size = len(part.encode("utf-8", "surrogateescape"))
        if size > FILE_NAME_BYTES:
            return f"is too long: it has a name of {size} bytes, and the destination takes {FILE_NAME_BYTES}"
    if len(full.encode("utf-8", "surrogateescape")) > FILE_PATH_BYTES:
        return f"is too long: the destination takes a path of {FILE_PATH_BYTES} bytes"
    return ""


def leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; of a link that leads to itself, the entry cannot be asked."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def leads_to_file(entry: os.DirEntry[str]) -> bool:
    """The same of a file; only of a link does it take a question to the system."""
    return os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file()


def kept_by_runs(folder: str) -> frozenset[str]:
    """Names directly in a folder of a datastore that are no data, and change while a step runs.

    Runs keep their records in the root; a folder of that name elsewhere is an author's.

    :param folder: its normalized path.
    """
    return frozenset() if folder else BOOKKEEPING


def is_glob(path: str) -> bool:
    """Whether the path is a pattern rather than one place."""
    return "*" in path or "?" in path


def glob_root(pattern: str) -> str:
    """The folder that every match of a normalized pattern is below: its parts before the first wildcard."""
    fixed: list[str] = []
    for part in pattern.split("/"):
        if is_glob(part):
            break
        fixed.append(part)
    return "/".join(fixed)


@lru_cache(maxsize=256)
def glob_regex(pattern: str) -> re.Pattern[str]:
    """What a v1 glob matches, for a normalized pattern.

    ``*`` is any text without a slash, ``?`` one character that is not a slash; ``**`` as a whole part is any number
    of folders, none included, and as the last part everything below. Inside a part ``**`` is ``*``.
    """
    out: list[str] = []
    parts = pattern.split("/")
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            out.append(".+" if last else "(?:[^/]+/)*")
            continue
        for character in part:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character)))
        if not last:
            out.append("/")
    return re.compile("".join(out), re.DOTALL)
