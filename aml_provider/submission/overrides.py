"""What ``aml run`` was told on its command line: it wins over what the file passes to ``submit``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from aml_provider.spec.errors import ParameterError, PipelineError, UnknownParameterError
from aml_provider.spec.graph import check_step_names
from aml_provider.spec.models import Parameter, ParameterType, PipelineSpec
from aml_provider.spec.numbers import finite


@dataclass(frozen=True)
class Overrides:
    """Parameter values as typed (text), another experiment name, and what is to be run or not whatever has changed."""

    parameters: dict[str, str] = field(default_factory=dict)
    experiment: str | None = None
    regenerate: bool = False
    assume_unchanged: tuple[str, ...] = ()


NONE = Overrides()
_active: ContextVar[Overrides] = ContextVar("aml_overrides", default=NONE)


@contextmanager
def overriding(overrides: Overrides) -> Iterator[None]:
    """Apply ``overrides`` to every submission inside the block."""
    token = _active.set(overrides)
    try:
        yield
    finally:
        _active.reset(token)


def apply_overrides(spec: PipelineSpec) -> PipelineSpec:
    """``spec`` with the command line's values.

    :raises UnknownParameterError: the pipeline has no such parameter.
    :raises ParameterError: the text is no value of the parameter's type.
    :raises PipelineError: it has no step of a name that is to be assumed unchanged.
    """
    overrides = _active.get()
    if overrides == NONE:
        return spec
    known = {p.name: p for p in spec.parameters}
    values = dict(spec.submit.parameters)
    for name, text in overrides.parameters.items():
        if name not in known:
            raise UnknownParameterError(
                f"unknown pipeline parameter {name!r}; this pipeline has {', '.join(sorted(known)) or 'none'}"
            )
        values[name] = parsed(known[name], text)
    check_step_names(spec, overrides.assume_unchanged)
    update: dict[str, Any] = {"parameters": values}
    if overrides.regenerate:
        update["regenerate_outputs"] = True
    if overrides.assume_unchanged:
        update["assume_unchanged"] = overrides.assume_unchanged
    if overrides.experiment is not None:
        if not overrides.experiment.strip():
            raise PipelineError(
                f"the experiment's name is {overrides.experiment!r}, but must be text that is not empty; leave it out "
                "for the file's own"
            )
        update["experiment"] = overrides.experiment
    return spec.model_copy(update={"submit": spec.submit.model_copy(update=update)})


def parsed(parameter: Parameter, text: str) -> Any:
    """The value that ``text`` is for a parameter of this type.

    :raises ParameterError: it is none.
    """
    try:
        if parameter.type is ParameterType.INTEGER:
            return int(text)
        if parameter.type is ParameterType.NUMBER:
            number = float(text)
        if parameter.type is ParameterType.BOOLEAN:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if parameter.type is ParameterType.DATAPATH:
            value = json.loads(text) if text.lstrip().startswith("{") else _datapath(text)
            if not isinstance(value, dict) or not isinstance(value.get("datastore"), str):
                raise ValueError
            return {"datastore": value["datastore"], "path": str(value.get("path", ""))}
        if parameter.type is ParameterType.DATASET:
            return _dataset(text)
    except (ValueError, KeyError):
        expected = _EXPECTED.get(parameter.type, f"of type {parameter.type.value}, like {parameter.default!r}")
        raise ParameterError(f"pipeline parameter {parameter.name!r} must be {expected}, not {text!r}") from None
    return finite(parameter.name, number) if parameter.type is ParameterType.NUMBER else text


_EXPECTED = {
    ParameterType.DATAPATH: 'a data path like datastore:folder or {"datastore": "...", "path": "..."}',
    ParameterType.DATASET: "a registered dataset like titanic or titanic:2, or a data path like datastore:folder",
}


def _dataset(text: str) -> dict[str, Any]:
    """``name``, ``name:version``, ``datastore:path`` or JSON."""
    if text.lstrip().startswith("{"):
        value = json.loads(text)
        if not any(key in value for key in ("name", "datastore", "locations", "query")):
            raise ValueError
        return dict(value)
    name, _, version = text.partition(":")
    if not name:
        raise ValueError
    if version.isdigit():
        return {"name": name, "version": int(version)}
    return _datapath(text) if version else {"name": name}


def _datapath(text: str) -> dict[str, str]:
    datastore, colon, path = text.partition(":")
    if not colon:
        raise ValueError
    return {"datastore": datastore, "path": path}
