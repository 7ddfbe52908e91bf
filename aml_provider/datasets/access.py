"""The stores of a workspace, each opened once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aml_provider.spec.tables import SqlQuery
from aml_provider.storage.datastores import Store, store_for
from aml_provider.workspace.resolved import LoadedWorkspace


class Stores:
    """Datastore name -> store.

    :param workspace: where the datastores are declared.
    :param answers: files with what databases have answered already.
    """

    def __init__(self, workspace: LoadedWorkspace, answers: Mapping[SqlQuery, Path] | None = None) -> None:
        self.workspace = workspace
        self.answers = dict(answers or {})
        self._open: dict[str, Store] = {}

    def __call__(self, datastore: str) -> Store:
        if datastore not in self._open:
            self._open[datastore] = store_for(self.workspace.datastore(datastore), datastore)
        return self._open[datastore]
