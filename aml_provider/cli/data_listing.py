"""``aml data ls``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from aml_provider.cli.amounts import size
from aml_provider.cli.data_places import in_datastore
from aml_provider.cli.table import print_table
from aml_provider.spec.errors import AmlError
from aml_provider.storage.backend_base import Item
from aml_provider.storage.datastores import Store
from aml_provider.storage.paths import glob_regex, glob_root, is_glob, kept_by_runs, normalized
from aml_provider.storage.transfer import Place
from aml_provider.storage.transfer.ends import Folder, end_of
from aml_provider.workspace.discovery import load_workspace
from aml_provider.workspace.registered import RegisteredDatastore


@dataclass
class Row:
    """A file, or a folder with what is below it together.

    :param path: in the datastore.
    :param bytes: ``None`` where the store does not say.
    """

    path: str
    is_folder: bool
    bytes: int | None
    modified: float | None
    files: int = 1

    def add(self, item: Item) -> None:
        """A further file below the folder."""
        self.files += 1
        self.bytes = None if self.bytes is None or item.size is None else self.bytes + item.size
        self.modified = max((t for t in (self.modified, item.modified) if t is not None), default=None)


def print_datastores(*, as_json: bool) -> None:
    """Print every datastore with the place that it is."""
    workspace = load_workspace()
    default = workspace.file.default_datastore
    found = workspace.datastores
    if as_json:
        values = [
            {
                "name": name,
                "url": config.url,
                "conn_id": config.conn_id,
                "default": name == default,
                "registered": isinstance(config, RegisteredDatastore),
            }
            for name, config in found.items()
        ]
        print(json.dumps(values, indent=2))
        return
    rows = [(name, "default" if name == default else "", config.url) for name, config in found.items()]
    print_table(("datastore", "", "url"), rows)


def print_listing(text: str, *, recursive: bool, long: bool, as_json: bool) -> None:
    """Print what is at a place.

    :raises AmlError: there is nothing, or it cannot be looked at.
    """
    place = in_datastore(text, load_workspace(), "PLACE")
    try:
        rows = _rows(place, recursive)
    except AmlError:
        # That of a store on another machine is an OSError, too.
        raise
    except OSError as error:
        raise AmlError(f"{error.filename or place} cannot be listed: {error.strerror}") from None
    if as_json:
        print(json.dumps([_as_json(row) for row in rows], indent=2))
    elif long:
        table = [(_amount(row), _time(row.modified), _shown(row)) for row in rows]
        print_table(("size", "modified", "path"), table)
    else:
        for row in rows:
            print(_shown(row))


def _rows(place: Place, recursive: bool) -> list[Row]:
    wanted = normalized(place.path, place.store.name)
    if is_glob(wanted):
        return matches(place, wanted, recursive)
    hidden = kept_by_runs(wanted)
    start = f"{wanted}/" if wanted else ""
    items = [item for item in place.store.items(wanted) if item.path[len(start) :].partition("/")[0] not in hidden]
    own = [item for item in items if item.path == wanted]
    if own and place.says_folder and len(items) == 1:
        raise AmlError(f"{wanted!r} in datastore {place.store.name!r} is a file, not a folder; leave the slash out")
    if not items and wanted and not place.store.exists(wanted):
        raise AmlError(
            f"there is nothing at {wanted!r} in datastore {place.store.name!r}; "
            f"`aml data ls {place.store.name}:{wanted.rpartition('/')[0]}` lists what is there"
        )
    rows = _grouped(items, start, recursive)
    if not own:
        # Files tell of the folders that they are in.
        known = {above for item in items for above in _above(item.path)}
        empty = [path for path in _folders(place.store, wanted, hidden) if path not in known]
        rows.update(
            (f"{path}/", Row(path, True, 0, None, 0)) for path in empty if recursive or "/" not in path[len(start) :]
        )
    return sorted(rows.values(), key=lambda row: row.path)


def _folders(store: Store, wanted: str, hidden: frozenset[str]) -> list[str]:
    """The folders below a folder, where the store has such things."""
    end = end_of(store, wanted)
    if not end.keeps_folders or not store.exists(wanted):
        return []
    below = [item.path for item in end.walk() if isinstance(item, Folder)]
    return [end.path(path) for path in below if path.partition("/")[0] not in hidden]


def matches(place: Place, pattern: str, recursive: bool) -> list[Row]:
    """Files and folders of such a name; of folders, with ``recursive`` what is below.

    :raises AmlError: there are none.
    """
    regex = glob_regex(pattern)
    rows: dict[str, Row] = {}
    hidden = kept_by_runs("")
    for item in place.store.items(glob_root(pattern)):
        if item.path.partition("/")[0] in hidden:
            continue
        folder = next((path for path in _above(item.path) if regex.fullmatch(path)), None)
        if folder is None and not regex.fullmatch(item.path):
            continue
        _note(rows, item, None if recursive else folder)
    if not rows:
        raise AmlError(f"nothing in datastore {place.store.name!r} matches {pattern!r}")
    return list(rows.values())


def _above(path: str) -> Iterator[str]:
    """The folders that a path is in, the outermost first."""
    parts = path.split("/")
    return ("/".join(parts[:n]) for n in range(1, len(parts)))


def _grouped(items: list[Item], start: str, recursive: bool) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for item in items:
        inner, slash, _ = item.path[len(start) :].partition("/")
        _note(rows, item, None if recursive or not slash else start + inner)
    return rows


def _note(rows: dict[str, Row], item: Item, folder: str | None) -> None:
    # An object store may have a file and a folder of one name.
    key = item.path if folder is None else f"{folder}/"
    if key in rows:
        rows[key].add(item)
    else:
        rows[key] = Row(folder or item.path, folder is not None, item.size, item.modified)


def _shown(row: Row) -> str:
    # A name with a line break in it must not look like two.
    name = row.path if row.path.isprintable() else repr(row.path)
    return f"{name}/" if row.is_folder else name


def _amount(row: Row) -> str:
    amount = "" if row.bytes is None else size(row.bytes)
    return f"{amount} in {row.files}" if row.is_folder else amount


def _time(modified: float | None) -> str:
    return "" if modified is None else datetime.fromtimestamp(modified).astimezone().isoformat(" ", "seconds")


def _as_json(row: Row) -> dict[str, Any]:
    when = None if row.modified is None else datetime.fromtimestamp(row.modified, timezone.utc).isoformat()
    value: dict[str, Any] = {
        "path": row.path,
        "type": "folder" if row.is_folder else "file",
        "bytes": row.bytes,
        "modified": when,
    }
    return {**value, "files": row.files} if row.is_folder else value
