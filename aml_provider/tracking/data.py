"""Inputs and outputs of a step as MLflow datasets: one for each content, with all runs that read or wrote it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import names
from .projection import tolerant

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

SOURCE_TYPE = "aml_datastore"
# MLflow keeps no longer ones; the whole digest is in a tag of the input.
_DIGEST = 36
_TAG = 500
_NAME = 500
_MOST = 200


def log_inputs(client: MlflowClient, run_id: str, inputs: Sequence[Mapping[str, Any]]) -> None:
    """Tell MLflow what a step reads.

    :param inputs: as an attempt's facts have them.
    """
    _log(client, run_id, [_input(item) for item in inputs[:_MOST]])


def log_outputs(client: MlflowClient, run_id: str, outputs: Mapping[str, Mapping[str, Any]]) -> None:
    """Tell MLflow what a step has written.

    :param outputs: as a step's result has them.
    """
    _log(client, run_id, [_output(name, place) for name, place in list(outputs.items())[:_MOST]])


def _log(client: MlflowClient, run_id: str, datasets: list[DatasetInput]) -> None:
    if datasets:
        with tolerant(f"datasets of run {run_id}"):
            client.log_inputs(run_id, datasets)


def _input(item: Mapping[str, Any]) -> DatasetInput:
    # What a step wrote is the same dataset to those who read it.
    name = item["dataset"] or item["output"] or item["name"]
    tags = {"aml.input": item["name"], "aml.mode": item["mode"]}
    if item["dataset"]:
        tags |= {"aml.dataset": item["dataset"], "aml.version": str(item["version"])}
    return _dataset(name, item["places"], item["digest"], "input", tags)


def _output(name: str, place: Mapping[str, Any]) -> DatasetInput:
    size = {part: place[part] for part in ("files", "bytes") if place.get(part) is not None}
    where = f"{place['datastore']}:{place['path']}"
    return _dataset(name, [where], place.get("digest"), "output", {"aml.output": name}, size)


def _dataset(
    name: str,
    places: Sequence[str],
    digest: str | None,
    context: str,
    tags: Mapping[str, str],
    profile: Mapping[str, Any] | None = None,
) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    where = ", ".join(places)
    # MLflow takes two of one name and digest for one dataset, whose source is the first run's: each has its own place
    # in a tag.
    every = {MLFLOW_DATASET_CONTEXT: context, **tags, "aml.place": where, **({"aml.digest": digest} if digest else {})}
    unknown = f"unknown-{hashlib.sha256(where.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    dataset = Dataset(
        names.text(name, _NAME),
        digest[:_DIGEST] if digest else unknown,
        SOURCE_TYPE,
        json.dumps({"uri": places[0]} if len(places) == 1 else {"uris": list(places)}),
        profile=json.dumps(profile) if profile else None,
    )
    return DatasetInput(dataset, [InputTag(key, names.text(value, _TAG)) for key, value in every.items()])
