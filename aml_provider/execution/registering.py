"""Registering a step's outputs as dataset versions (v1 ``register_on_complete``)."""

from __future__ import annotations

from aml_provider.spec.models import DataLocation, Registration
from aml_provider.storage.registry import DATASETS, Registry
from aml_provider.workspace.resolved import LoadedWorkspace


def register(workspace: LoadedWorkspace, wanted: Registration, place: DataLocation) -> None:
    """A dataset version for a finished output; doing it again for the same place makes no second one."""
    registry = Registry.of(workspace, DATASETS)
    content = {"type": "file", "locations": [{"datastore": place.datastore, "path": place.path}], "tabular": None}
    known = registry.versions(wanted.name)
    if not known or any(known[-1][1].get(key) != value for key, value in content.items()):
        registry.add(wanted.name, {**content, "description": wanted.description, "tags": dict(wanted.tags)})
