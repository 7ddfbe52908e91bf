"""v1's models on MLflow's registry.

The registry is the tracking store's; every workspace that tracks there sees the same models. A version refers to files
among the artifacts of an MLflow run.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aml_provider.runs.layout import SCRIPT_RUN
from aml_provider.runs.models import ModelFacts, ModelVersion
from aml_provider.spec.errors import AmlError

from . import model_tags, names
from .journal import Event

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion as Registered

_EVENT = "aml.event"
_PAGE = 1000


class ModelMissingError(AmlError, LookupError):
    """A version that is not, or no longer, registered."""


def register(client: MlflowClient, facts: ModelFacts, run: Run, path: str, event: str | None = None) -> ModelVersion:
    """Register a version.

    :param run: the MLflow run that has the files.
    :param path: the file or folder among its artifacts.
    :param event: kept with the version, for whoever must not register twice.
    """
    tags = model_tags.to_tags(facts) | {model_tags.PATH: path}
    if event is not None:
        tags[_EVENT] = event
    made = client.create_model_version(
        _registered_name(client, facts.name),
        f"{run.info.artifact_uri}/{path}",
        run.info.run_id,
        tags,
        description=facts.description,
        await_creation_for=0,
    )
    return _version(made)


def register_event(client: MlflowClient, run_id: str, event: Event, identity: str, kind: str) -> None:
    """Register what a step's script said it wants registered, once.

    :param run_id: the step's MLflow run, which has the files.
    :param identity: what tells this event from all others of the run.
    :param kind: the kind of the run that the step is part of.
    """
    known = client.search_model_versions(f"run_id = '{run_id}'")
    if any(version.tags.get(_EVENT) == identity for version in known):
        return
    run = client.get_run(run_id)
    facts = ModelFacts(
        name=str(event.get("name")),
        tags=_texts(event.get("tags")),
        properties=_texts(event.get("properties")),
        description=event.get("description") or None,
        framework=event.get("framework"),
        framework_version=event.get("framework_version"),
        datasets=tuple((str(purpose), str(dataset)) for purpose, dataset in event.get("datasets") or ()),
        sample_input=event.get("sample_input"),
        sample_output=event.get("sample_output"),
    )
    path = posixpath.normpath(f"/{event.get('path') or ''}").strip("/")
    register(client, made_by(client, run, facts, kind), run, path, identity)


def made_by(client: MlflowClient, run: Run, facts: ModelFacts, kind: str) -> ModelFacts:
    """The same, with the v1 run that an MLflow run stands for.

    :param kind: the kind of the whole run; a submitted script is its step.
    """
    tags = run.data.tags
    pipeline = tags.get("aml.pipeline_run_id")
    step = None if kind == SCRIPT_RUN else tags.get("aml.step_run_id")
    return replace(
        facts,
        run_id=step or pipeline,
        pipeline_run_id=pipeline,
        experiment=client.get_experiment(run.info.experiment_id).name,
    )


def find(client: MlflowClient, name: str | None = None) -> list[ModelVersion]:
    """Registered versions, the newest first.

    :param name: v1's name; default: all models.
    """
    found = [_version(version) for version in _registered(client, name)]
    return sorted(found, key=lambda version: (version.created, version.version), reverse=True)


def change(client: MlflowClient, name: str, version: int, changed: Callable[[ModelFacts], ModelFacts]) -> ModelVersion:
    """Change what a version says of itself.

    :param changed: gives the new facts for those that the registry has now.
    :raises ModelMissingError: there is no such version.
    """
    known = registered_version(client, name, version)
    before = _version(known)
    after = changed(before.facts)
    old, new = model_tags.to_tags(before.facts, known.tags), model_tags.to_tags(after, known.tags)
    for key, value in new.items():
        if known.tags.get(key) != value:
            client.set_model_version_tag(known.name, str(known.version), key, value)
    for key in old.keys() - new.keys():
        client.delete_model_version_tag(known.name, str(known.version), key)
    if after.description != before.facts.description:
        client.update_model_version(known.name, str(known.version), after.description)
    return replace(before, facts=after)


def delete(client: MlflowClient, name: str, version: int) -> None:
    """Delete a version; its files stay with the run that has them.

    :raises ModelMissingError: there is no such version.
    """
    known = registered_version(client, name, version)
    client.delete_model_version(known.name, str(known.version))


def registered_version(client: MlflowClient, name: str, version: int) -> Registered:
    """A version as the registry has it.

    :raises ModelMissingError: there is none.
    """
    for known in _registered(client, name):
        if int(known.version) == version:
            return known
    raise ModelMissingError(f"Model {name}:{version} is not registered any more; Model.list shows what is.")


# --- names ------------------------------------------------------------------------------------------------------


def _registered(client: MlflowClient, name: str | None) -> Iterator[Registered]:
    if name is None:
        yield from _search(client, "")
        return
    for candidate in names.model_names(name):
        for version in _search(client, f"name = {names.quoted(candidate)}"):
            if version.tags.get(model_tags.NAME, version.name) == name:
                yield version


def _search(client: MlflowClient, wanted: str) -> Iterator[Registered]:
    token: str | None = None
    while True:
        page = client.search_model_versions(wanted, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _registered_name(client: MlflowClient, name: str) -> str:
    """The name in the registry; it is made known there."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    for candidate in names.model_names(name):
        try:
            client.create_registered_model(candidate, tags={model_tags.NAME: name})
            return candidate
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        if client.get_registered_model(candidate).tags.get(model_tags.NAME, candidate) == name:
            return candidate
    raise MlflowException(
        f"model {name!r} cannot be registered, because it has models of other names as {candidate!r}",
        INVALID_PARAMETER_VALUE,
    )


def _version(known: Registered) -> ModelVersion:
    facts = model_tags.from_tags(known.tags, known.name, known.description)
    return ModelVersion(facts, int(known.version), known.creation_timestamp / 1000, known.source or "")


def _texts(values: Any) -> dict[str, str]:
    return {str(key): "" if value is None else str(value) for key, value in (values or {}).items()}
