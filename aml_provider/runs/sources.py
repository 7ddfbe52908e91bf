"""Where the data is that a step reads in this run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepError
from aml_provider.spec.base import Model
from aml_provider.spec.models import DataLocation, DatasetSource, DatastoreSource, Source, StepInput, StepOutputSource

# Where data is, and what it is called in the workspace.
PLACES = frozenset(
    ("kind", "step", "output", "datastore", "path", "location", "locations", "name", "version", "derived")
)


def only_says_where(source: Source) -> bool:
    """Whether an author has said nothing about data but where it is: a reader gets all of it, as it is."""
    names, defaults = _beyond_places(type(source))
    return tuple(map(source.__dict__.get, names)) == defaults


@cache
def _beyond_places(kind: type[Model]) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    fields = {name: field for name, field in kind.model_fields.items() if name not in PLACES}
    return tuple(fields), tuple(field.get_default(call_default_factory=True) for field in fields.values())


def locations_of(run: StepRun, source: StepInput) -> tuple[DataLocation, ...]:
    """The places an input stands for in this run.

    :raises StepError: the producing step gave no such output, or the parameter holds no data path.
    """
    origin = source.source
    if isinstance(origin, StepOutputSource):
        outputs = run.outputs_of(origin.step)
        if origin.output not in outputs:
            raise StepError(
                f"step {run.step.name!r}, input {source.name!r}: step {origin.step!r} has no recorded output "
                f"{origin.output!r} in this run. Clear that step too, so that it runs again."
            )
        return (outputs[origin.output],)
    if isinstance(origin, DatastoreSource):
        return (origin.location,)
    if isinstance(origin, DatasetSource):
        return origin.locations
    value = run.parameters.get(origin.name)
    if not isinstance(value, Mapping) or "datastore" not in value:
        raise StepError(
            f"step {run.step.name!r}, input {source.name!r}: pipeline parameter {origin.name!r} must be a data path "
            f'like {{"datastore": "workspaceblobstore", "path": "folder"}}, not {value!r}'
        )
    return (DataLocation(datastore=str(value["datastore"]), path=str(value.get("path", ""))),)
