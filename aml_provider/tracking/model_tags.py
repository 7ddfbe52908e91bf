"""What v1 keeps of a model, as tags of a version in MLflow's registry, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from aml_provider.runs.models import ModelFacts

from . import names

NAME = "aml.model_name"
#: Where in its run's artifacts the model is.
PATH = "aml.path"
_PROPERTY = "aml.property."
#: Key -> name, as JSON, of the tags and properties whose names MLflow does not take as they are.
_NAMES = "aml.names"
_DATASETS = "aml.datasets"
_PLAIN = (
    *("framework", "framework_version", "run_id", "pipeline_run_id", "experiment"),
    *("sample_input", "sample_output"),
)
_RESERVED = ("aml.", "mlflow.")
T = TypeVar("T")


def to_tags(facts: ModelFacts, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Everything but the description, which MLflow has a place for.

    :param known: the tags that the version has; a name keeps the key that it has there.
    """
    taken = {key: _full(name, key.startswith(_PROPERTY)) for key, name in _names_in(known or {}).items()}
    said: dict[str, str] = {}
    tags: dict[str, str] = {}
    for values, is_property in ((facts.tags, False), (facts.properties, True)):
        for name, value in values.items():
            key = names.key(_full(name, is_property), taken)
            tags[key], said[key] = value, name
    tags |= {f"aml.{part}": str(value) for part in _PLAIN if (value := getattr(facts, part)) is not None}
    if facts.datasets:
        tags[_DATASETS] = json.dumps(facts.datasets)
    renamed = {key: name for key, name in said.items() if key.removeprefix(_PROPERTY) != name}
    if renamed:
        tags[_NAMES] = json.dumps(renamed)
    return {**tags, NAME: facts.name}


def from_tags(tags: Mapping[str, str], registered_name: str, description: str | None) -> ModelFacts:
    """What the tags of a version say; a version that MLflow's own API has made has only tags.

    :param registered_name: the name in the registry.
    """
    renamed = _names_in(tags)
    own, properties = {}, {}
    for key, value in tags.items():
        if key.startswith(_PROPERTY):
            properties[renamed.get(key, key.removeprefix(_PROPERTY))] = value
        elif not key.startswith(_RESERVED):
            own[renamed.get(key, key)] = value
    plain: dict[str, Any] = {part: tags.get(f"aml.{part}") for part in _PLAIN}
    return ModelFacts(
        name=tags.get(NAME, registered_name),
        tags=own,
        properties=properties,
        description=description or None,
        datasets=tuple(
            (str(pair[0]), str(pair[1]))
            for pair in _parsed(tags, _DATASETS, list)
            if isinstance(pair, list) and len(pair) == 2
        ),
        **plain,
    )


def _names_in(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: str(name) for key, name in _parsed(tags, _NAMES, dict).items()}


def _parsed(tags: Mapping[str, str], key: str, kind: type[T]) -> T:
    """What a tag of ours holds; in MLflow's pages anybody can change it to anything."""
    try:
        value = json.loads(tags.get(key, "null"))
    except ValueError:
        return kind()
    return value if isinstance(value, kind) else kind()


def _full(name: str, is_property: bool) -> str:
    """What a key is made from; an author's tag must not pass for one of ours."""
    if is_property:
        return f"{_PROPERTY}{name}"
    return f"tag {name}" if name.startswith(_RESERVED) else name
