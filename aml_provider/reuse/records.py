"""What one step has computed, as the index keeps it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from typing import Any

from aml_provider.reuse.sealing import DamagedError
from aml_provider.spec.models import StoredOutput
from aml_provider.spec.names import folder_name

RECORD_VERSION = 1
_KEY = re.compile(r"[0-9a-f]{64}")
_MAPPINGS = ("parts", "step", "run", "outputs", "metrics", "lineage")
_TIMES = ("started", "ended", "seconds", "created")


@dataclass(frozen=True)
class Record:
    """What one step computed.

    :param fingerprint: 64 hex digits of its parts; the record's name.
    :param parts: what the fingerprint was made of.
    :param step: ``name``, ``type``, ``key``.
    :param run: ``pipeline_run_id``, ``dag_id``, ``run_id``, ``step_run_id``, ``experiment``, ``attempt_folder``.
    :param started: seconds since the epoch, as are ``ended`` and ``created``; by whatever clock the worker had.
    :param seconds: how long it took.
    :param outputs: for each name what :class:`StoredOutput` says, as a mapping.
    """

    fingerprint: str
    parts: dict[str, Any]
    step: dict[str, Any]
    run: dict[str, Any]
    started: float
    ended: float
    seconds: float
    created: float
    outputs: dict[str, dict[str, Any]]
    metrics: dict[str, Any] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)

    @property
    def stored(self) -> dict[str, StoredOutput]:
        """The outputs by name."""
        return {name: StoredOutput.model_validate(value) for name, value in self.outputs.items()}

    @classmethod
    def from_json(cls, value: Any) -> Record:
        """The record that a JSON value is.

        :raises ValueError: it is none, or one of another version.
        """
        if not isinstance(value, dict):
            raise DamagedError("it is no mapping")
        version = value.get("record_version")
        if type(version) is not int or version != RECORD_VERSION:
            raise DamagedError(f"its version is {version!r}, and this program reads version {RECORD_VERSION}")
        if not is_key(value.get("fingerprint")):
            raise DamagedError(f"its fingerprint is {value.get('fingerprint')!r}")
        for name in _MAPPINGS:
            if type(value.get(name)) is not dict:
                raise DamagedError(f"{name} is {value.get(name)!r}")
        for name in _TIMES:
            if type(value.get(name)) not in (int, float) or not math.isfinite(value[name]):
                raise DamagedError(f"{name} is {value.get(name)!r}")
        if type(value["step"].get("name")) is not str:
            raise DamagedError("its step has no name")
        for name, output in value["outputs"].items():
            try:
                StoredOutput.model_validate(output, strict=True)
            except ValueError:
                raise DamagedError(f"its output {name!r} is {output!r}") from None
        return cls(**{name: value[name] for name in _FIELDS})

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON value."""
        return {"record_version": RECORD_VERSION} | {name: getattr(self, name) for name in _FIELDS}


_FIELDS = tuple(f.name for f in fields(Record))


def is_key(value: object) -> bool:
    """Whether it is what a fingerprint looks like: 64 hex digits."""
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def record_name(key: str) -> str:
    """The blob that the record of a fingerprint is."""
    return f"records/{key[:2]}/{key}.json"


def marker_name(record: Record) -> str:
    """The blob by which a record is found from its step's name."""
    return f"{markers_of(record.step['name'])}{record.fingerprint}"


def markers_of(step_name: str) -> str:
    """What the markers of a step's records begin with."""
    return f"by-step/{folder_name(step_name)}/"
