"""Runs that have not ended, as they tell it in a bucket: who collects results there does not see their folders."""

from __future__ import annotations

import logging
import time
from typing import Any

from aml_provider.reuse.keeping import is_in_bucket, name_of_this_place, records_in
from aml_provider.reuse.sealing import DamagedError, sealed, unsealed
from aml_provider.reuse.uses import Place, RunningRun
from aml_provider.runs.binding import PipelineBinding, pipeline_run_id, step_run_id
from aml_provider.runs.layout import RunStore
from aml_provider.spec.errors import AmlError

_log = logging.getLogger(__name__)

_PREFIX = "running/"
#: A run that has begun no step for so long, and did not say that it ended, has died.
SILENT_SECONDS = 7 * 86_400.0


def announce(binding: PipelineBinding, dag_id: str, run_id: str, parameters: dict[str, Any]) -> None:
    """Tell that a run goes on, before it looks for results that it may use.

    :raises OSError: that cannot be told.
    """
    if not is_in_bucket(binding.store):
        return
    value = {
        "pipeline_run_id": pipeline_run_id(dag_id, run_id),
        "steps": sorted({step.name for step in binding.spec.steps}),
        "step_run_ids": [step_run_id(dag_id, run_id, step.key) for step in binding.spec.steps],
        "places": [value for value in parameters.values() if Place.of(value) is not None],
    }
    records_in(binding.store).replace(f"{_folder(binding.store, dag_id, run_id)}run.json", sealed(value))


def announce_use(store: RunStore, dag_id: str, run_id: str, key: str) -> None:
    """Tell that a run uses a result that another step has computed.

    :raises OSError: that cannot be told.
    """
    if is_in_bucket(store):
        records_in(store).create(f"{_folder(store, dag_id, run_id)}uses/{key}", b"")


def withdraw(store: RunStore, dag_id: str, run_id: str) -> None:
    """Tell that a run has ended.

    :raises OSError: that cannot be told.
    """
    if is_in_bucket(store):
        records = records_in(store)
        for name in records.names(_folder(store, dag_id, run_id)):
            records.delete(name)


def announced_runs(store: RunStore) -> list[RunningRun]:
    """The runs of other machines that use the same bucket.

    :raises AmlError: what one of them needs cannot be read.
    """
    if not is_in_bucket(store):
        return []
    records, here = records_in(store), name_of_this_place(store)
    folders: dict[str, list[str]] = {}
    newest: dict[str, float] = {}
    for entry in records.entries(_PREFIX):
        folder, _, name = entry.name.removeprefix(_PREFIX).partition("/")
        folders.setdefault(folder, []).append(name)
        newest[folder] = max(entry.modified, newest.get(folder, 0.0))
    found = []
    for folder, names in folders.items():
        if folder.endswith(f"@{here}"):
            continue
        if time.time() - newest[folder] > SILENT_SECONDS:
            _log.warning("run %s has begun no step for a week and counts as ended", folder.rpartition("@")[0])
            continue
        name = f"{_PREFIX}{folder}/run.json"
        try:
            content = records.read(name)
            if content is None:
                # It ends right now.
                continue
            found.append(_running(unsealed(content), names))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AmlError(
                f"{name} in {records!r} cannot be read, so nobody can tell what that run needs ({error}); remove it if "
                "the run is over."
            ) from error
    return found


def _running(value: Any, names: list[str]) -> RunningRun:
    if not isinstance(value, dict):
        raise DamagedError("it is no mapping")
    places = [place for item in value["places"] if (place := Place.of(item)) is not None]
    return RunningRun(
        str(value["pipeline_run_id"]),
        frozenset(value["steps"]),
        frozenset(value["step_run_ids"]),
        frozenset(name.removeprefix("uses/") for name in names if name.startswith("uses/")),
        tuple(places),
    )


def _folder(store: RunStore, dag_id: str, run_id: str) -> str:
    return f"{_PREFIX}{pipeline_run_id(dag_id, run_id)}@{name_of_this_place(store)}/"
