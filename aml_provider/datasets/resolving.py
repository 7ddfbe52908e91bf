"""Which dataset a step's input is in this run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aml_provider.datasets.records import from_record, from_value
from aml_provider.runs import sources
from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepError
from aml_provider.spec.models import DataLocation, DatasetSource, ParameterSource, StepInput, StepOutputSource
from aml_provider.storage.registry import DATASETS, Registry
from aml_provider.workspace.resolved import LoadedWorkspace


def dataset_of(run: StepRun, source: StepInput) -> DatasetSource | None:
    """The dataset that an input is; ``None`` for plain data.

    :raises StepError: a parameter's value is no dataset.
    """
    origin = source.source
    if isinstance(origin, DatasetSource):
        return origin
    if isinstance(origin, ParameterSource):
        return _chosen(run, source, origin.name)
    if isinstance(origin, StepOutputSource) and source.is_dataset:
        return DatasetSource(
            locations=sources.locations_of(run, source),
            dataset_type="tabular" if origin.tabular is not None else "file",
            tabular=origin.tabular,
            operations=origin.operations,
        )
    return None


def locations_of(run: StepRun, source: StepInput) -> tuple[DataLocation, ...]:
    """The places that an input's data is in; none when it comes from a database.

    :raises StepError: the producing step gave no such output, or the parameter holds no data.
    """
    dataset = None if isinstance(source.source, StepOutputSource) else dataset_of(run, source)
    return sources.locations_of(run, source) if dataset is None else dataset.locations


def _chosen(run: StepRun, source: StepInput, name: str) -> DatasetSource | None:
    value, default = run.parameters.get(name), _default(run, name)
    # A plain data path is given as it is, even where a dataset is the default.
    if isinstance(value, Mapping) and set(value) <= {"datastore", "path"} and default is None:
        return None
    try:
        found = from_value(value, default)
        return found if found is not None else registered(run.binding.workspace, value)
    except (TypeError, ValueError, LookupError) as error:
        raise StepError(
            f"step {run.step.name!r}, input {source.name!r}: pipeline parameter {name!r} must be a dataset like "
            f'{{"name": "titanic", "version": 1}} or a data path like {{"datastore": "workspaceblobstore", "path": '
            f'"folder"}}, not {value!r} ({error})'
        ) from None


def _default(run: StepRun, name: str) -> DatasetSource | None:
    declared = next((p.default for p in run.binding.spec.parameters if p.name == name), None)
    if not isinstance(declared, Mapping) or "datastore" in declared:
        return None
    return from_value(declared)


def registered(workspace: LoadedWorkspace, value: Any) -> DatasetSource:
    """A registered version, by ``name`` and ``version`` (default: the newest).

    :raises LookupError: there is none.
    """
    name, version = value.get("name"), value.get("version", "latest")
    known = Registry.of(workspace, DATASETS).versions(str(name)) if name else []
    wanted = known[-1:] if version in (None, "latest") else [v for v in known if str(v[0]) == str(version)]
    if not wanted:
        raise LookupError(f"no dataset {name!r} version {version} is registered")
    return from_record(wanted[0][1], wanted[0][0])
