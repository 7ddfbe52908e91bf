"""``aml data cp`` and ``aml data upload``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aml_provider.cli.data_listing import matches
from aml_provider.cli.data_places import LocalPlace, in_datastore, on_this_machine, place_typed
from aml_provider.execution.transferring import journals
from aml_provider.spec.errors import AmlError
from aml_provider.storage.paths import glob_root, is_glob
from aml_provider.storage.transfer import Options, Place, PlaceType, Summary, TablePlace, transfer
from aml_provider.storage.transfer.progress import Now
from aml_provider.workspace.discovery import load_workspace
from aml_provider.workspace.resolved import LoadedWorkspace

if TYPE_CHECKING:
    from rich.progress import Progress


def copy(source: str, destination: str, recursive: bool, options: Mapping[str, Any], *, as_json: bool) -> None:
    """Copy from one place to another.

    :raises AmlError: what is wrong, in a sentence.
    """
    workspace = load_workspace()
    start, end = place_typed(source, workspace), place_typed(destination, workspace)
    if start is None and end is None:
        raise AmlError(
            f"neither {source!r} nor {destination!r} is a place in a datastore; write DATASTORE:PATH for one of them"
        )
    summary = _moved(
        workspace, start or on_this_machine(source), end or on_this_machine(destination), recursive, options, as_json
    )
    if as_json:
        print(json.dumps(summary.as_dict(), indent=2))


def upload_paths(paths: list[str], destination: str, options: Mapping[str, Any], *, as_json: bool) -> None:
    """Copy files and folders of this machine to a folder of a datastore.

    :raises AmlError: what is wrong, in a sentence.
    """
    workspace = load_workspace()
    end = in_datastore(destination, workspace, "the destination")
    folder = Place(end.store, f"{end.path.rstrip('/')}/" if end.path else "")
    starts = [on_this_machine(path) for path in paths]
    names = [start.clean.rpartition("/")[2] for start in starts if not _is_folder(start)]
    for name in names:
        if names.count(name) > 1:
            raise AmlError(f"two of the files are named {name!r}, and one would replace the other; upload them apart")
    for start in starts:
        _must_exist(start)
    found = [_moved(workspace, start, folder, True, options, as_json) for start in starts]
    if as_json:
        print(json.dumps([summary.as_dict() for summary in found], indent=2))


def _moved(
    workspace: LoadedWorkspace,
    source: Place | TablePlace,
    destination: Place | TablePlace,
    recursive: bool,
    options: Mapping[str, Any],
    quiet: bool,
) -> Summary:
    chosen = Options(**options)
    if isinstance(source, Place):
        # A folder of files makes one table.
        source, chosen = _files(source, recursive or isinstance(destination, TablePlace), options)
    with _telling(quiet) as say:
        return transfer(source, destination, chosen, state=journals(workspace), say=say)


def _files(source: Place, recursive: bool, options: Mapping[str, Any]) -> tuple[Place, Options]:
    """Which files are meant.

    :raises AmlError: none, or a folder without ``recursive``.
    """
    wanted = source.clean
    local = isinstance(source, LocalPlace)
    if local:
        _must_exist(source)
    # The shell has taken care of the patterns of this machine.
    # A file may have the name that somebody means as a pattern, or has copied from a listing.
    if is_glob(wanted) and not local and not source.store.is_file(wanted):
        matches(source, wanted, recursive)
        return _by_pattern(source, wanted, recursive, options)
    if not recursive and _is_folder(source):
        name = repr(str(source)) if local else f"{wanted or 'the root'!r} of datastore {source.store.name!r}"
        raise AmlError(f"{name} is a folder; give -r to copy what is below it")
    return source, Options(**options)


def _by_pattern(source: Place, pattern: str, recursive: bool, options: Mapping[str, Any]) -> tuple[Place, Options]:
    """The folder that all matches are below, and patterns as in ``.gitignore`` that say the same."""
    if options["include"]:
        raise AmlError("a pattern as SOURCE and --include together say two things; give the folder, and --include")
    root = glob_root(pattern)
    inner = re.sub(r"([\[\]!#\\ ])", r"\\\1", pattern[len(root) + 1 :] if root else pattern)
    # In .gitignore a folder that matches stands for all that is in it.
    exclude = () if recursive or inner.endswith("**") else (f"/{inner}/**",)
    chosen = {
        **options,
        "include": (f"/{inner}",),
        "exclude": (*options["exclude"], *exclude),
        "source_type": PlaceType.DIRECTORY,
        "destination_type": PlaceType.DIRECTORY,
    }
    return Place(source.store, f"{root}/" if root else ""), Options(**chosen)


def _is_folder(place: Place) -> bool:
    path = place.clean
    if isinstance(place, LocalPlace):
        return place.store.local_path(path).is_dir()
    return not path or (not place.store.is_file(path) and place.store.exists(path))


def _must_exist(place: Place) -> None:
    if not place.store.exists(place.clean):
        raise AmlError(f"{str(place)!r} does not exist on this machine; correct the path")


# --- what is shown ------------------------------------------------------------------------------------------------


@contextmanager
def _telling(quiet: bool) -> Iterator[Any]:
    """Where the transfer's lines go: to a bar on a terminal, else out as they are."""
    if quiet:
        yield lambda line: None
    elif sys.stdout.isatty():
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

        columns = (
            TextColumn("{task.fields[files]} files"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, transient=True) as shown:
            bar = _Bar(shown)
            yield bar
        print(bar.last)
    else:
        yield lambda line: print(line, flush=True)


class _Bar:
    """A bar of bytes, or of files where a store does not say how long they are. The last line stays."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._task = shown.add_task("", total=None, files="0")
        self.last = ""

    def __call__(self, line: str) -> None:
        self.last = line

    def watch(self, now: Now) -> None:
        """Show how far it is."""
        done, total = (now.done, now.files) if now.size is None else (now.bytes, now.size)
        self._shown.update(self._task, completed=done, total=total, files=f"{now.done:,} of {now.files:,}")
