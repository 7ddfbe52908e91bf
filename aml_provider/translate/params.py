"""Pipeline parameters as Airflow params: typed, so that the trigger form and a REST ``conf`` are checked."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from aml_provider.spec.models import Parameter, ParameterType, PipelineSpec

DATAPATH_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"datastore": {"type": "string"}, "path": {"type": "string"}},
    "required": ["datastore"],
    "additionalProperties": False,
}

DATASET_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "version": {"type": ["integer", "string"]},
        "datastore": {"type": "string"},
        "path": {"type": "string"},
        "locations": {"type": "array"},
    },
    "anyOf": [{"required": [key]} for key in ("name", "datastore", "locations", "query")],
}

OPTION_SCHEMAS: dict[str, dict[str, Any]] = {
    "regenerate_outputs": {
        "type": "boolean",
        "description": "Run every step, whatever has been computed before",
    },
    "assume_unchanged": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Names of steps whose latest result is taken, whatever has changed since",
    },
}


def airflow_params(spec: PipelineSpec) -> dict[str, Param]:
    """One param per pipeline parameter and per option of a run; the default is what the submission gave."""
    params = {p.name: _param(p, spec.submit.parameters.get(p.name, p.default)) for p in spec.parameters}
    options = {
        name: Param(value, title=name, section="Reuse", **OPTION_SCHEMAS[name])
        for name, value in spec.run_options.items()
    }
    return params | options


def _param(parameter: Parameter, default: Any) -> Param:
    title = parameter.name
    if parameter.type is ParameterType.DATAPATH:
        return Param(default, title=title, description="A path in a datastore", **DATAPATH_SCHEMA)
    if parameter.type is ParameterType.DATASET:
        said = "A registered dataset (name, version), or a path in a datastore (datastore, path)"
        return Param(default, title=title, description=said, **DATASET_SCHEMA)
    types: Any = parameter.type.value
    return Param(default, type=types if default is not None else [types, "null"], title=title)
