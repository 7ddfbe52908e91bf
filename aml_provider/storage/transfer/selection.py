"""Which files a transfer moves, and whether they can be at the destination."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .ends import End, Entry, Folder, Refused
from .errors import TransferError, listed
from .moving import Job
from .options import Options
from .places import Route

# So many files are asked for one by one; for more, the destination is listed.
_ASKED_ALONE = 32


class Selection:
    """What is to be done.

    :ivar jobs: the files, sorted by name.
    :ivar folders: empty folders.
    :ivar others: files that only the destination has, and that are in the selection's reach.
    """

    def __init__(self, route: Route, options: Options) -> None:
        self._route = route
        self._wanted = _Patterns(options)
        self.others: list[str] = []
        self.folders: list[str] = []
        entries = self._entries()
        there, folders = self._there([target for _, target in entries], everything=options.mirror)
        self._check(entries, there, folders)
        self.jobs = [Job(entry, target, there.get(target)) for entry, target in entries]
        if options.mirror and route.single is None:
            targets = {target for _, target in entries}
            self.others = sorted(path for path in there if path not in targets and self._wanted.has(path))

    @property
    def nothing(self) -> bool:
        """Whether the source is an empty folder itself."""
        return not self.jobs and not self.folders and self._wanted.everything

    @property
    def size(self) -> int | None:
        """Bytes of all files together; ``None`` when a store does not say."""
        sizes = [job.entry.size for job in self.jobs]
        return None if None in sizes else sum(size or 0 for size in sizes)

    # --- inside ---------------------------------------------------------------------------------------------

    def _entries(self) -> list[tuple[Entry, str]]:
        if self._route.single is not None:
            return [self._route.single]
        found: list[tuple[Entry, str]] = []
        refused: list[str] = []
        empty: set[str] = set()
        for item in self._route.source.walk():
            if isinstance(item, Folder):
                empty.add(item.path)
            elif not self._wanted.has(item.path):
                continue
            elif isinstance(item, Refused):
                refused.append(f"{item.path!r} {item.why}")
            else:
                found.append((item, item.path))
        if refused:
            raise _refused(self._route.source, refused, "leave it out with exclude, or correct it")
        found.sort(key=lambda pair: pair[1])
        if self._wanted.all_folders:
            full = {parent for folder in (*empty, *(path for _, path in found)) for parent in _above(folder)}
            self.folders = sorted(path for path in empty - full if self._wanted.has(f"{path}/"))
        return found

    def _there(self, targets: list[str], *, everything: bool) -> tuple[dict[str, Entry], set[str]]:
        """The destination's files, and its folders; of interest is only what the targets may meet."""
        end = self._route.destination
        if not self._route.exists:
            return {}, set()
        found: Iterable[Any]
        if len(targets) > _ASKED_ALONE or (everything and self._route.single is None):
            found = end.walk()
        else:
            asked = dict.fromkeys((*targets, *(parent for target in targets for parent in _above(target))))
            found = [item for item in (end.look(path) for path in asked if not end.refusal(path)) if item is not None]
        files: dict[str, Entry] = {}
        folders: set[str] = set()
        for item in found:
            if isinstance(item, Entry):
                files[item.path] = item
            elif isinstance(item, Folder):
                folders.add(item.path)
        return files, folders

    def _check(self, entries: list[tuple[Entry, str]], there: dict[str, Entry], folders: set[str]) -> None:
        """See that every file can be where it is to be, before any is moved."""
        end, refused = self._route.destination, []
        for entry, target in entries:
            if why := _harmful(target) or end.refusal(target):
                refused.append(f"{entry.path!r} {why}")
        if refused:
            raise _refused(self._route.source, refused, "rename it, or leave it out with exclude")
        if not end.keeps_folders:
            return
        targets = {target for _, target in entries}
        for target in targets:
            for parent in _above(target):
                if parent in targets:
                    refused.append(f"{parent!r} is a file and a folder at once, which the destination cannot have")
                elif parent in there:
                    refused.append(f"{target!r} meets a file at the destination where its folder {parent!r} would be")
            if target in folders:
                refused.append(f"{target!r} meets a folder of its name at the destination")
        if refused:
            raise _refused(self._route.source, sorted(set(refused)), "rename or remove one of them")


def _harmful(path: str) -> str:
    """Why a relative path must not be used anywhere, as the end of a sentence; empty when it may."""
    if "\0" in path:
        return "has a NUL character in its name"
    parts = path.split("/")
    if ".." in parts:
        return "would lead out of the destination"
    if "" in parts or "." in parts:
        return "has an empty part or a dot in its path, which no folder could keep"
    return ""


class _Patterns:
    """``include`` and ``exclude``."""

    def __init__(self, options: Options) -> None:
        self._include = _spec(options.include, "include")
        self._exclude = _spec(options.exclude, "exclude")

    @property
    def all_folders(self) -> bool:
        """Whether empty folders are wanted: with ``include`` only files are."""
        return self._include is None

    @property
    def everything(self) -> bool:
        """Whether all files are wanted."""
        return self._include is None and self._exclude is None

    def has(self, path: str) -> bool:
        """Whether a file is wanted."""
        if self._exclude is not None and self._exclude.match_file(path):
            return False
        return self._include is None or bool(self._include.match_file(path))


def _spec(patterns: tuple[str, ...], name: str) -> Any:
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise TransferError(f"{name} {list(patterns)} is no list of patterns as in .gitignore: {error}") from error


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _refused(source: End, sentences: list[str], cure: str) -> TransferError:
    first, more = sentences[0], len(sentences) - 1
    others = f" ({more} more: {listed([s.partition(chr(39))[2].partition(chr(39))[0] for s in sentences[1:]])})"
    return TransferError(f"nothing was moved from {source.origin}: {first}{others if more else ''}; {cure}.")
