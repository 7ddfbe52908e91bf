"""Registered datasets as Airflow assets: what a task reads and writes, for lineage and for DAGs that assets start.

An asset is called the same wherever the dataset is named: ``aml://<workspace>/<dataset>``. Airflow notes an event when
a task that has it as an outlet succeeds. The task of a reused step is skipped: no data is new, and there is no event.
"""

from __future__ import annotations

from urllib.parse import quote

from airflow.sdk import Asset

from aml_provider.spec.models import DatasetSource, Step

SCHEME = "aml"
GROUP = "aml"


def dataset_asset(workspace: str, dataset: str) -> Asset:
    """The asset of a registered dataset, all its versions."""
    # Airflow takes no other characters in names and URIs.
    place = f"{quote(workspace, safe='')}/{quote(dataset, safe='')}"
    return Asset(name=place, uri=f"{SCHEME}://{place}", group=GROUP)


def inlets_of(step: Step, workspace: str) -> list[Asset]:
    """The registered datasets that a step reads, as far as the file says; a parameter says it only when it runs."""
    names = (i.source.name for i in step.inputs if isinstance(i.source, DatasetSource))
    return [dataset_asset(workspace, name) for name in dict.fromkeys(n for n in names if n is not None)]


def outlets_of(step: Step, workspace: str) -> list[Asset]:
    """The datasets that a step registers when it has succeeded."""
    names = (o.registration.name for o in step.outputs if o.registration is not None)
    return [dataset_asset(workspace, name) for name in dict.fromkeys(names)]
