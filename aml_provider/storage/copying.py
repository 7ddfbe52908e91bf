"""What copying between a datastore and this machine needs besides the store."""

from __future__ import annotations

import errno
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from aml_provider.spec.errors import PipelineError

from .faults import DatastoreError, Reason
from .paths import PART_PREFIX, leads_to_folder

T = TypeVar("T")
R = TypeVar("R")
_log = logging.getLogger(__name__)


def each(work: Callable[[T], R], items: Sequence[T], at_once: int) -> list[R]:
    """Do the same with every item, some at once. The first failure ends it; what has begun is finished before."""
    if at_once < 2 or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(at_once, len(items)), thread_name_prefix="datastore") as pool:
        running = [pool.submit(work, item) for item in items]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            # An interrupted program does not copy the rest either.
            for future in running:
                future.cancel()
    failed = next((f for f in running if not f.cancelled() and f.exception() is not None), None)
    return [failed.result()] if failed is not None else [future.result() for future in running]


def named(files: Iterable[str | Path], relative_root: str | Path | None, datastore: str) -> list[tuple[Path, str]]:
    """Files of this machine with the names that they get below a datastore's folder.

    :param relative_root: the names are relative to this folder; default: each file's own name.
    :raises PipelineError: a file does not exist or is not below ``relative_root``, or two of them have one name.
    """
    pairs: dict[str, Path] = {}
    for file in map(Path, files):
        if not file.is_file():
            raise PipelineError(
                f"upload_files to datastore {datastore!r}: file {str(file)!r} does not exist (current directory: "
                f"{str(Path.cwd())!r})."
            )
        name = _relative(file, relative_root, datastore)
        if name in pairs:
            raise PipelineError(
                f"upload_files to datastore {datastore!r}: {str(pairs[name])!r} and {str(file)!r} would both "
                f"become {name!r}; give a relative_root that keeps them apart."
            )
        pairs[name] = file
    return [(file, name) for name, file in pairs.items()]


def files_below(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Every file of a folder of this machine, always in the same order; linked folders are followed, as in v1.

    :param above: the folders that it is in: a link to one of them is not followed, or it would never end.
    """
    here = folder.resolve()
    if here in above:
        return
    folders = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if leads_to_folder(entry):
            folders.append(Path(entry.path))
        elif not entry.name.startswith(PART_PREFIX):
            yield Path(entry.path)
    for inner in folders:
        yield from files_below(inner, (*above, here))


def fetched(get: Callable[[Path], None], target: Path, inside: str, datastore: str) -> None:
    """Write a file of this machine as a whole or not at all.

    :param get: writes it to a path.
    :param inside: its path in the datastore: no listing of whatever store makes a file land outside its folder.
    """
    if any(part in ("", ".", "..") for part in inside.split("/")):
        raise DatastoreError(
            f"datastore {datastore!r}: no file of this machine can be called {inside!r}; rename it there.", Reason.NAME
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(error, target, inside, datastore) from error
    part = target.with_name(f"{PART_PREFIX}{uuid.uuid4().hex}")
    try:
        get(part)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _unwritable(error, target, inside, datastore) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _unwritable(error: OSError, target: Path, inside: str, datastore: str) -> OSError:
    """What is wrong with a target, in words where a program is not the one to know."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        why = "where a part of the folder is a file"
    elif isinstance(error, IsADirectoryError):
        why = "which is a folder"
    elif error.errno == errno.ENAMETOOLONG:
        why = "a name that is too long for this machine"
    else:
        return error
    return DatastoreError(
        f"datastore {datastore!r}: {inside!r} cannot be written to {str(target)!r}, {why}; choose another target.",
        Reason.NAME,
    )


def tell(message: str, show_progress: bool) -> None:
    """What v1 prints goes to the terminal; without ``show_progress`` it is still in the debug log."""
    if show_progress:
        print(message)
    else:
        _log.debug(message)


def _relative(file: Path, relative_root: str | Path | None, datastore: str) -> str:
    if relative_root is None:
        return file.name
    here, root = Path(os.path.normpath(file.absolute())), Path(os.path.normpath(Path(relative_root).absolute()))
    try:
        return here.relative_to(root).as_posix()
    except ValueError:
        raise PipelineError(
            f"upload_files to datastore {datastore!r}: {str(file)!r} is not below relative_root {str(root)!r}; "
            "give a folder that holds every file."
        ) from None
