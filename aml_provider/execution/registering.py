"""Registering a step's outputs as dataset versions (v1 ``register_on_complete``), and what became of such versions."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import NamedTuple

from aml_provider.datasets.access import Stores
from aml_provider.datasets.pinning import Files, files_now, pin_from, pin_of, what_changed
from aml_provider.datasets.records import from_record, same_data, to_record
from aml_provider.datasets.resolving import dataset_of
from aml_provider.runs.binding import StepRun
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import DataLocation, DatasetSource, Registration
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.storage.registry import DATASETS, Registry
from aml_provider.workspace.resolved import LoadedWorkspace

_log = logging.getLogger(__name__)


class Registered(NamedTuple):
    """A dataset version.

    :param digest: of all names and contents; ``None``: nobody can tell.
    """

    version: int
    digest: str | None


def register(
    workspace: LoadedWorkspace, wanted: Registration, place: DataLocation, cache: DigestCache | None = None
) -> Registered:
    """A dataset version for a finished output; doing it again for the same data makes no second one."""
    registry = Registry.of(workspace, DATASETS)
    made = DatasetSource(
        locations=(DataLocation(datastore=place.datastore, path=place.path),),
        dataset_type="file" if wanted.tabular is None else "tabular",
        tabular=wanted.tabular,
        operations=wanted.operations,
    )
    files = _files(workspace, made, wanted.name, cache)
    known = registry.versions(wanted.name)
    if known and same_data(from_record(known[-1][1]), made):
        before = pin_from(known[-1][1])
        if files is None or before is None or pin_of(files).digest == before.digest:
            return Registered(known[-1][0], before.digest if before is not None else None)
    record = {**to_record(made), "description": wanted.description, "tags": dict(wanted.tags)}
    if files is None:
        return Registered(registry.add(wanted.name, record), None)
    pin = pin_of(files)
    return Registered(registry.add(wanted.name, {**record, "pin": asdict(pin)}, files), pin.digest)


def _files(workspace: LoadedWorkspace, made: DatasetSource, name: str, cache: DigestCache | None) -> Files | None:
    try:
        return files_now(Stores(workspace), made, cache)
    except (AmlError, OSError) as e:
        _log.warning("nobody will be told when the data of dataset %r changes, which cannot be looked at: %s", name, e)
        return None


def changed_datasets(run: StepRun, cache: DigestCache | None) -> list[str]:
    """A sentence about each registered version that the step reads whose data is not what was registered."""
    stores, said = Stores(run.binding.workspace), []
    for source in run.step.inputs:
        try:
            dataset = dataset_of(run, source)
            if dataset is None or dataset.name is None:
                continue
            sentence = what_changed(stores, dataset, cache)
        except (AmlError, OSError) as e:
            _log.debug("input %r cannot be compared with what was registered: %s", source.name, e)
            continue
        if sentence is not None:
            said.append(f"input {source.name!r}, {sentence}")
    return said
