"""What several places, or a pattern, stand for: files under the names that a step finds them by."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import DataLocation
from aml_provider.storage.backend_base import Item
from aml_provider.storage.datastores import Store
from aml_provider.storage.paths import glob_regex, glob_root, is_glob, kept_by_runs, normalized


def is_single(locations: Sequence[DataLocation]) -> bool:
    """Whether this is one place, which can be used where it is."""
    return len(locations) == 1 and not is_glob(locations[0].path)


def gathered(store: Store, path: str) -> list[tuple[str, str]]:
    """``(path in the store, path in the gathered folder)`` of what a place or a pattern means; empty for nothing.

    The folders before the first wildcard do not appear below the gathered folder.

    :raises PipelineError: one has a name that would be taken for another one's.
    """
    place = normalized(path, store.name)
    if is_glob(place):
        above = glob_root(place)
        ours = kept_by_runs(above)
        found = [item for item in store.glob(place) if item.partition("/")[0] not in ours]
    else:
        found, above = [place], place.rpartition("/")[0]
    for item in found:
        _check_name(store, item)
    inside = len(above) + 1 if above else 0
    # A glob lists links that lead nowhere too.
    return [(item, item[inside:]) for item in found if store.exists(item)]


#: Gives the store behind a datastore's name.
StoreOf = Callable[[str], Store]


class NothingAtPlaceError(FileNotFoundError):
    """There is nothing at one of several places."""

    def __init__(self, place: DataLocation) -> None:
        super().__init__(f"nothing in datastore {place.datastore!r} matches {place.path!r}")
        self.place = place


@dataclass(frozen=True)
class FoundFile:
    """A file that is at a dataset's places.

    :param name: what a step finds it by, below the folder that it is given.
    """

    store: Store
    item: Item
    name: str


def units(stores: StoreOf, locations: Sequence[DataLocation]) -> list[tuple[str, str, str]]:
    """``(datastore, path, name)`` of the files and folders that are gathered into one folder.

    :raises NothingAtPlaceError: there is nothing at one of the places.
    """
    found = []
    for place in locations:
        there = gathered(stores(place.datastore), place.path)
        if not there:
            raise NothingAtPlaceError(place)
        found += [(place.datastore, path, inner) for path, inner in there]
    # A place that is given twice is there once, here as in what is told of the files.
    return apart(list(dict.fromkeys(found)))


def arrangement(found: Sequence[tuple[str, str, str]]) -> list[Any]:
    """What :func:`files_at` makes of :func:`units` besides their names and contents.

    Files are listed in the order of their units, and a file that is in two of them is listed once.

    :return: the names in order, then ``[place of one, place of the one that it is in, path in there]`` of such units.
    """
    first: dict[tuple[str, str], int] = {}
    for at, (datastore, path, _) in enumerate(found):
        first.setdefault((datastore, path), at)
    inside = [
        [at, place, path[len(above) :]]
        for at, (datastore, path, _) in enumerate(found)
        for above in _with_those_above(path)
        if (place := first.get((datastore, above), at)) != at
    ]
    return [[name for _, _, name in found], inside]


def _with_those_above(path: str) -> Iterator[str]:
    """A path, and the folders that it is in."""
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""


def files_at(stores: StoreOf, locations: Sequence[DataLocation]) -> list[FoundFile]:
    """Every file at the places, in their order, under the name that a step finds it by.

    :raises PipelineError: one has a name that would be taken for another one's.
    """
    found = _files_at(stores, locations)
    for file in found:
        _check_name(file.store, file.item.path)
    return found


def _check_name(store: Store, path: str) -> None:
    if "\\" in path:
        raise PipelineError(
            f"{path!r} in datastore {store.name!r} has a backslash in its name, which paths take for a slash; rename "
            "it, or use the folder as it is."
        )


def _files_at(stores: StoreOf, locations: Sequence[DataLocation]) -> list[FoundFile]:
    if is_single(locations):
        (place,) = locations
        store = stores(place.datastore)
        path = normalized(place.path, store.name)
        items = _data(store.items(path), path)
        above = path.rpartition("/")[0] if [item.path for item in items] == [path] else path
        return [FoundFile(store, item, item.path[len(above) + 1 if above else 0 :]) for item in items]
    below: dict[tuple[str, str, str], list[Item]] = {}
    for place in locations:
        store = stores(place.datastore)
        path = normalized(place.path, store.name)
        if is_glob(path):
            regex, above = glob_regex(path), glob_root(path)
            for item in _data(store.items(above), above):
                if regex.fullmatch(item.path):
                    below[store.name, item.path, item.path[len(above) + 1 if above else 0 :]] = [item]
        else:
            below[store.name, path, path.rpartition("/")[2]] = _data(store.items(path), path)
    names = {unit[:2]: unit[2] for unit in apart(list(below))}
    return list(
        {
            (datastore, item.path): FoundFile(stores(datastore), item, names[datastore, path] + item.path[len(path) :])
            for (datastore, path, _), items in below.items()
            for item in items
        }.values()
    )


def _data(items: Sequence[Item], path: str) -> list[Item]:
    """Those that are data: no links that lead nowhere, and not what runs keep in a datastore's root."""
    ours = kept_by_runs(path)
    return [item for item in items if item.size is not None and item.path.partition("/")[0] not in ours]


def apart(found: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Names in a gathered folder under which nothing hides anything else.

    Files of two places may have one name. Then all of them are found under their paths below what the places have in
    common, and below their datastores' names where there are several.

    :param found: ``(datastore, path, name)`` of each file or folder.
    """
    if _is_apart([name for _, _, name in found]):
        return list(found)
    if len({store for store, _, _ in found}) > 1:
        return [(store, path, f"{store}/{path}") for store, path, _ in found]
    above = os.path.commonpath([f"/{path}".rpartition("/")[0] or "/" for _, path, _ in found]).strip("/")
    inside = len(above) + 1 if above else 0
    # A place that is given twice is there once.
    return list(dict.fromkeys((store, path, path[inside:]) for store, path, _ in found))


def _is_apart(names: Sequence[str]) -> bool:
    """Whether no two of the names are the same or below one another."""
    # What is at a datastore's root is there without a folder of its own.
    below = sorted(f"{name}/" if name else "" for name in names)
    return not any(after.startswith(before) for before, after in pairwise(below))
