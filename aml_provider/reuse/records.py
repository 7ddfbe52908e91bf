"""What one step has computed, as the index keeps it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from aml_provider.reuse.sealing import DamagedError, value_of
from aml_provider.spec.models import StoredOutput
from aml_provider.spec.names import folder_name

RECORD_VERSION = 1
_KEY = re.compile(r"[0-9a-f]{64}")
_MAPPINGS = ("parts", "step", "run", "outputs", "metrics", "lineage")
_TIMES = ("started", "ended", "seconds", "created")
# What is between them in a record's text is what the fingerprint was made of: most of it, and a plan reads none of it.
_BEFORE_KEY, _AFTER_KEY = b',"key":', b'},"record_version":'


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

    def __getattr__(self, name: str) -> Any:
        # Of a record that was read from text, ``parts`` is made when somebody asks for it: see :meth:`from_sealed`.
        content = self.__dict__.get("_content") if name == "parts" else None
        if content is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        parts = self.__dict__["parts"] = value_of(content)["parts"]
        return parts

    @property
    def unnamed_outputs(self) -> list[str]:
        """The outputs whose names nobody chose, in the order in which the step declares them."""
        details = self.__dict__["_details"] if "_details" in self.__dict__ else self.parts.get("details")
        return (details or {}).get("unnamed_outputs") or []

    @cached_property
    def stored(self) -> dict[str, StoredOutput]:
        """The outputs by name."""
        return {name: StoredOutput.model_validate(value) for name, value in self.outputs.items()}

    @classmethod
    def from_sealed(cls, content: bytes) -> Record:
        """The record in what :func:`~aml_provider.reuse.sealing.sealed` has made, whose checksum is known to fit.

        :raises ValueError: it is none, or one of another version.
        """
        start, end = content.find(_BEFORE_KEY), content.rfind(_AFTER_KEY)
        if 0 <= start < end:
            try:
                short = value_of(content[: start + len(_BEFORE_KEY)] + b"0" + content[end:])
            except ValueError:
                short = None
            # Both marks may be somewhere else, in the name of an output for one. The rest is then no JSON, or lacks
            # what is written between them.
            parts = short.get("parts") if isinstance(short, dict) else None
            if isinstance(parts, dict) and parts.keys() == {"details", "key"} and parts["key"] == 0:
                stored = _check(short)
                record = object.__new__(cls)
                record.__dict__.update({name: short[name] for name in _FIELDS if name != "parts"})
                record.__dict__.update(_content=content, _details=parts["details"], stored=stored)
                return record
        return cls.from_json(value_of(content))

    @classmethod
    def from_json(cls, value: Any) -> Record:
        """The record that a JSON value is.

        :raises ValueError: it is none, or one of another version.
        """
        _check(value)
        return cls(**{name: value[name] for name in _FIELDS})

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON value."""
        return {"record_version": RECORD_VERSION} | {name: getattr(self, name) for name in _FIELDS}


_FIELDS = tuple(f.name for f in fields(Record))


def _check(value: Any) -> dict[str, StoredOutput]:
    """The outputs of the record that a JSON value is.

    :raises DamagedError: it is none, or one of another version.
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
    stored = {}
    for name, output in value["outputs"].items():
        try:
            stored[name] = StoredOutput.model_validate(output, strict=True)
        except ValueError:
            raise DamagedError(f"its output {name!r} is {output!r}") from None
    return stored


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
