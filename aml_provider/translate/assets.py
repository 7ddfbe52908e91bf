"""Registered datasets as Airflow assets: what a task reads and writes, for lineage and for DAGs that assets start.

An asset is called the same wherever the dataset is named: ``aml://<workspace>/<dataset>``. Airflow notes an event when
a task that has it as an outlet succeeds; it says which version was made. The task of a reused step is skipped: no data
is new, and there is no event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow.sdk import Asset

from aml_provider.spec.models import DatasetSource, Parameter, ParameterSource, Step, StepInput
from aml_provider.spec.names import asset_name

SCHEME = "aml"
GROUP = "aml"


def dataset_asset(workspace: str, dataset: str) -> Asset:
    """The asset of a registered dataset, all its versions."""
    place = asset_name(workspace, dataset)
    return Asset(name=place, uri=f"{SCHEME}://{place}", group=GROUP)


def inlets_of(step: Step, workspace: str, parameters: Iterable[Parameter] = ()) -> list[Asset]:
    """The registered datasets that a step reads; of one that a parameter chooses, the parameter's default."""
    defaults = {parameter.name: parameter.default for parameter in parameters}
    names = (_name_of(source, defaults) for source in step.inputs)
    return [dataset_asset(workspace, name) for name in dict.fromkeys(n for n in names if n is not None)]


def _name_of(read: StepInput, defaults: Mapping[str, Any]) -> str | None:
    if isinstance(read.source, DatasetSource):
        return read.source.name
    default = defaults.get(read.source.name) if isinstance(read.source, ParameterSource) else None
    # What a data path says has no name.
    name = default.get("name") if isinstance(default, Mapping) else None
    return name if isinstance(name, str) else None


def outlets_of(step: Step, workspace: str) -> list[Asset]:
    """The datasets that a step registers when it has succeeded."""
    names = (o.registration.name for o in step.outputs if o.registration is not None)
    return [dataset_asset(workspace, name) for name in dict.fromkeys(names)]
