"""From a step's records to OpenLineage's objects; imported only where OpenLineage's provider is installed.

Datasets are named as OpenLineage's naming rules want it: the store is the namespace (``s3://bucket``, ``file``), the
path in it the name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import attr
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import Dataset, InputDataset, OutputDataset
from openlineage.client.facet_v2 import RunFacet, dataset_version_dataset, output_statistics_output_dataset

from aml_provider.runs.binding import PipelineBinding
from aml_provider.runs.layout import read_json
from aml_provider.spec.models import DatasetSource, DatastoreSource, Step
from aml_provider.storage.paths import glob_root, is_glob, normalized
from aml_provider.tracking.ledger import Ledger
from aml_provider.workspace.model import DatastoreConfig
from aml_provider.workspace.resolved import LoadedWorkspace


@attr.define
class AmlRunFacet(RunFacet):  # type: ignore[misc]  # untyped where it is not installed
    """What is known of a step's run.

    :param reused: whether an earlier result stands for it; ``reusedFrom`` is the step run that made that.
    """

    pipelineRunId: str
    stepRunId: str
    mlflowRunId: str | None = None
    fingerprint: str | None = None
    reused: bool = False
    reusedFrom: str | None = None


def declared_lineage(binding: PipelineBinding, step: Step) -> OperatorLineage:
    """What a step reads, as far as its pipeline says where that is."""
    places = []
    for source in step.inputs:
        origin = source.source
        if isinstance(origin, DatastoreSource):
            places.append((origin.location.datastore, origin.location.path))
        elif isinstance(origin, DatasetSource):
            places += [(place.datastore, place.path) for place in origin.locations]
    return OperatorLineage(inputs=list(_inputs(binding.workspace, ((*place, None) for place in places))))


def lineage(binding: PipelineBinding, step: Step, dag_id: str, run_id: str) -> OperatorLineage:
    """What a step has read and written in a run, and what is known of that run."""
    folder, workspace = binding.store.run(dag_id, run_id), binding.workspace
    result = folder.result(step.key) or {}
    reused = result.get("reused")
    latest = folder.step(step.key).attempts()[-1:]
    facts = (read_json(latest[0].facts) if latest and not reused else None) or {}
    record, ledger = read_json(folder.path / "run.json") or {}, Ledger.load(folder.path)
    entry: Mapping[str, Any] = next((s for s in record.get("steps") or () if s["task_id"] == step.key), {})
    tracked = ledger.steps.get(step.key) if ledger is not None else None
    facet = AmlRunFacet(
        pipelineRunId=str(record.get("pipeline_run_id")),
        stepRunId=str(entry.get("step_run_id")),
        mlflowRunId=tracked.run_id if tracked is not None else None,
        fingerprint=reused["fingerprint"] if reused else facts.get("fingerprint"),
        reused=bool(reused),
        reusedFrom=reused.get("step_run_id") if reused else None,
    )
    read = [(*place.split(":", 1), item["digest"]) for item in facts.get("inputs") or () for place in item["places"]]
    written = (result.get("outputs") or {}).values()
    return OperatorLineage(
        inputs=list(_inputs(workspace, read)),
        outputs=[
            OutputDataset(
                *_name(workspace.datastore(place["datastore"]), place["datastore"], place["path"]),
                facets=_version(place.get("digest")),
                outputFacets=_size(place),
            )
            for place in written
        ],
        run_facets={"aml": facet},
    )


def _inputs(workspace: LoadedWorkspace, places: Iterable[Any]) -> Iterable[Dataset]:
    for datastore, path, digest in places:
        # What a query gives has no path, and no name here.
        if path:
            name = _name(workspace.datastore(datastore), datastore, path)
            yield InputDataset(*name, facets=_version(digest))


def _name(config: DatastoreConfig, datastore: str, path: str) -> tuple[str, str]:
    """Namespace and name of what is at a place in a datastore; of a pattern, those of the folder that it begins in."""
    place = normalized(path, datastore)
    below = glob_root(place) if is_glob(place) else place
    if config.local_root is not None:
        return "file", str(config.local_root / below)
    parts = urlsplit(config.url)
    # The part before @ is the container of an Azure URL, and a user anywhere else.
    store = parts.netloc if config.scheme in ("abfs", "abfss", "wasb", "wasbs") else parts.netloc.rpartition("@")[2]
    scheme = {"abfs": "abfss", "wasb": "wasbs", "gcs": "gs", "s3a": "s3"}.get(config.scheme, config.scheme)
    return f"{scheme}://{store}", "/".join(part for part in (parts.path.strip("/"), below) if part) or "/"


def _version(digest: str | None) -> dict[str, Any]:
    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=digest)} if digest else {}


def _size(place: Mapping[str, Any]) -> dict[str, Any]:
    if place.get("bytes") is None:
        return {}
    size = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        size=place["bytes"], fileCount=place["files"]
    )
    return {"outputStatistics": size}
