"""From what a transfer is told to what it works on: two folders, and the files that go from one to the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from aml_provider.storage.datastores import Store
from aml_provider.storage.paths import normalized

from .ends import End, Entry, Folder, Refused, end_of
from .errors import TransferError
from .options import Options, PlaceType


@dataclass(frozen=True)
class Place:
    """A path in a datastore.

    :param path: as somebody has written it; a slash at its end says that it is a folder.
    """

    store: Store
    path: str = ""

    def __str__(self) -> str:
        return f"{self.store.name}:{self.path}"

    @property
    def clean(self) -> str:
        """The path in its one spelling.

        :raises PipelineError: it leads out of the datastore.
        """
        return normalized(self.path, self.store.name)

    @property
    def says_folder(self) -> bool:
        """Whether it can only be a folder."""
        return not self.clean or self.path.endswith(("/", "\\"))


@dataclass(frozen=True)
class Route:
    """Where files come from and where they go.

    :param single: the one file that is moved, and its name at the destination; ``None``: all below the source.
    :param exists: whether the destination's folder is there already.
    """

    source: End
    destination: End
    single: tuple[Entry, str] | None = None
    exists: bool = field(default=True)


def route(source: Place, destination: Place, options: Options) -> Route:
    """Look at both places.

    :raises TransferError: there is nothing to move, or one of them is not what it should be.
    """
    found = _found(source, options.source_type)
    kind = PlaceType.FILE if isinstance(found, Entry) else PlaceType.DIRECTORY
    there, wanted = _destination(destination, options.destination_type, kind)
    if kind is PlaceType.DIRECTORY:
        if wanted is PlaceType.FILE:
            raise TransferError(
                f"{_named(source)} is a folder, and the destination {_named(destination)} is declared to be a file; "
                "declare it a directory."
            )
        _check_apart(source, destination)
        start, end = end_of(source.store, source.clean), end_of(destination.store, destination.clean)
        return Route(start, end, None, there is not None)
    assert isinstance(found, Entry)
    above, _, name = source.clean.rpartition("/")
    start = end_of(source.store, above)
    if wanted is PlaceType.DIRECTORY:
        end, target = end_of(destination.store, destination.clean), name
    else:
        folder, _, target = destination.clean.rpartition("/")
        end = end_of(destination.store, folder)
    if _is_one_store(source.store, destination.store) and end.path(target) == source.clean:
        raise TransferError(f"{_named(source)} is both source and destination; give another destination.")
    return Route(start, end, (found._replace(path=name), target))


def _found(source: Place, declared: PlaceType | None) -> Entry | Folder:
    found = _look(source)
    wants_folder = declared is PlaceType.DIRECTORY or (declared is None and source.says_folder)
    if isinstance(found, Entry) and wants_folder:
        # In an object store a folder may have the name of a file.
        below = end_of(source.store, source.clean).look("") if not end_of(source.store).keeps_folders else None
        if not isinstance(below, Folder):
            raise TransferError(
                f"the source {_named(source)} is a file where a directory is declared; correct the path, or declare "
                "it a file."
            )
        return below
    if isinstance(found, Folder) and declared is PlaceType.FILE:
        raise TransferError(
            f"the source {_named(source)} is a directory where a file is declared; correct the path, or declare it a "
            "directory."
        )
    if isinstance(found, Refused):
        raise TransferError(f"the source {_named(source)} {found.why}; give the place itself.")
    if found is None:
        raise TransferError(f"there is nothing at the source {_named(source)}; upload the data, or correct the path.")
    return found


def _destination(
    place: Place, declared: PlaceType | None, source: PlaceType
) -> tuple[Entry | Folder | None, PlaceType]:
    """What is there, and what the path stands for."""
    end = end_of(place.store)
    if not end.writable:
        raise TransferError(
            f"the destination {end.origin} is a web server, which can only be read; use another datastore."
        )
    found = _look(place)
    if isinstance(found, Refused):
        raise TransferError(f"the destination {_named(place)} {found.why}; give the place itself.")
    if found is None and end.keeps_folders:
        _check_above(place)
    there = None if found is None else PlaceType.FILE if isinstance(found, Entry) else PlaceType.DIRECTORY
    wanted = declared or (PlaceType.DIRECTORY if place.says_folder else there or source)
    if there is PlaceType.FILE and (wanted is PlaceType.DIRECTORY or source is PlaceType.DIRECTORY):
        raise TransferError(
            f"the destination {_named(place)} is a file where a directory is wanted; remove it, or correct the path."
        )
    if there is PlaceType.DIRECTORY and wanted is PlaceType.FILE:
        raise TransferError(
            f"the destination {_named(place)} is a directory where a file is declared; correct the path."
        )
    return found, wanted


def _check_above(place: Place) -> None:
    """Look at what the place is below.

    :raises TransferError: that is a file.
    """
    above, found = place.clean.rpartition("/")[0], None
    while above and (found := _look(Place(place.store, above))) is None:
        above = above.rpartition("/")[0]
    if isinstance(found, Entry):
        raise TransferError(
            f"the destination {_named(place)} cannot be written: {above!r} there is a file, and nothing can be below "
            "it; remove it, or choose another destination."
        )


def _look(place: Place) -> Entry | Folder | Refused | None:
    above, _, name = place.clean.rpartition("/")
    end = end_of(place.store, above)
    # A bucket is there when it can be listed; a folder may not have been made yet.
    return end.look(name) if name or end.keeps_folders else Folder("")


def _check_apart(source: Place, destination: Place) -> None:
    if not _is_one_store(source.store, destination.store):
        return
    one, other = f"{source.clean}/".lstrip("/"), f"{destination.clean}/".lstrip("/")
    if one.startswith(other) or other.startswith(one):
        raise TransferError(
            f"one of {_named(source)} and {_named(destination)} is inside of the other; give places that are apart."
        )


def _is_one_store(one: Store, other: Store) -> bool:
    return one.url.rstrip("/") == other.url.rstrip("/")


def _named(place: Place) -> str:
    return f"{place.store.shown(place.clean) or 'root'!r} of datastore {place.store.name!r}"
