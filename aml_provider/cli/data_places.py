"""Places as they are typed: ``datastore:path``, or a path of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from aml_provider.spec.errors import AmlError
from aml_provider.storage.datastores import store_for
from aml_provider.storage.transfer import Place, TablePlace, place_for
from aml_provider.workspace.model import DatastoreConfig
from aml_provider.workspace.resolved import LoadedWorkspace

# A path with a colon in it is written ./a:b.
_DATASTORE = re.compile(r"([^:/\\.]+):(?!//)(.*)", re.DOTALL)


def place_typed(text: str, workspace: LoadedWorkspace) -> Place | TablePlace | None:
    """The place in a datastore, a table where that is a database; ``None``: it is a path of this machine.

    :raises AmlError: there is no such datastore, or it is a URL.
    """
    found = _DATASTORE.fullmatch(text)
    if found is not None:
        return place_for(workspace.datastore(found[1]), found[1], found[2])
    if "://" in text:
        raise AmlError(
            f"{text!r} is a URL; declare it as a datastore in workspace.yaml, or register it, and write DATASTORE:PATH"
        )
    return None


def in_datastore(text: str, workspace: LoadedWorkspace, what: str) -> Place:
    """:func:`place_typed` where a path of this machine will not do.

    :param what: what it is for.
    :raises AmlError: it is one, or a table.
    """
    found = _DATASTORE.fullmatch(text)
    if found is not None:
        return Place(store_for(workspace.datastore(found[1]), found[1]), found[2])
    # What is neither a place nor a path has a sentence of its own.
    place_typed(text, workspace)
    raise AmlError(
        f"{what} {text!r} is no place in a datastore; write DATASTORE:PATH, like workspaceblobstore:titanic/. "
        f"There is {', '.join(sorted(workspace.datastores))}"
    )


class LocalPlace(Place):
    """A path of this machine: in a store that is the whole machine."""

    def __str__(self) -> str:
        return f"/{self.clean}"


def on_this_machine(text: str) -> LocalPlace:
    """A path of this machine as a place."""
    # The last part is not followed: a link is told from what it leads to.
    full = os.path.join(os.path.realpath(Path(text).expanduser().parent), Path(text).name) if text else os.getcwd()
    if Path(text).name in ("", "..", "."):
        full = os.path.realpath(text)
    path = full.lstrip("/") + ("/" if text.endswith("/") else "")
    return LocalPlace(store_for(DatastoreConfig(url="/"), "this machine"), path)
