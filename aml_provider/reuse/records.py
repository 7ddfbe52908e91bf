"""What has been computed: one record for each fingerprint, its commit point."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from blake3 import blake3

from aml_provider.spec.names import folder_name
from aml_provider.storage.record_store import FolderStore, RecordStore, record_store

_log = logging.getLogger(__name__)

RECORD_VERSION = 1
_HEAD, _MIDDLE, _TAIL = b'{"blake3":"', b'","record":', b"}\n"
_BODY = len(_HEAD) + 64 + len(_MIDDLE)
_KEY = re.compile(r"[0-9a-f]{64}")
_AT_ONCE = 2000
# A marker this old without a record is nobody's that is about to write one.
_MARKER_SECONDS = 24 * 3600.0
_PLAIN_TYPES = {"parts": dict, "step": dict, "run": dict, "outputs": dict, "metrics": dict, "lineage": dict}
_TIMES = ("started", "ended", "seconds", "created")
_PIN_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("experiment", "step", "key", "note"), (str,)),
    "created": (int, float),
}
# How often a commit looks again at a record that is neither there nor can be created.
_COMMIT_ATTEMPTS = 100


class _Damaged(ValueError):
    """Why bytes of the index are not what they should be."""


@dataclass(frozen=True)
class StoredOutput:
    """Where an output is kept, and what was there when it was committed.

    :param digest: of its content.
    :param bytes: the size of all its files.
    """

    datastore: str
    path: str
    digest: str
    files: int
    bytes: int

    @classmethod
    def from_json(cls, value: Any) -> StoredOutput:
        """The output that a record describes.

        :raises ValueError: ``value`` describes none.
        """
        if not isinstance(value, dict):
            raise _Damaged("an output is no mapping")
        for name, kind in (("datastore", str), ("path", str), ("digest", str), ("files", int), ("bytes", int)):
            if type(value.get(name)) is not kind:
                raise _Damaged(f"an output has {value.get(name)!r} as {name}")
        return cls(value["datastore"], value["path"], value["digest"], value["files"], value["bytes"])

    def to_json(self) -> dict[str, Any]:
        """The mapping that a record holds."""
        return asdict(self)


@dataclass(frozen=True)
class Record:
    """What one step computed.

    :param fingerprint: 64 hex digits of its parts; the record's name.
    :param parts: what the fingerprint was made of.
    :param step: ``name``, ``type``, ``key``.
    :param run: ``pipeline_run_id``, ``dag_id``, ``run_id``, ``step_run_id``, ``experiment``, ``attempt_folder``.
    :param started: seconds since the epoch, as are ``ended`` and ``created``; by whatever clock the worker had.
    :param seconds: how long it took.
    :param outputs: for each name what :class:`StoredOutput` says.
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
        return {name: StoredOutput.from_json(value) for name, value in self.outputs.items()}

    @classmethod
    def from_json(cls, value: Any) -> Record:
        """The record that a JSON value is.

        :raises ValueError: it is none, or one of another version.
        """
        if not isinstance(value, dict):
            raise _Damaged("it is no mapping")
        version = value.get("record_version")
        if type(version) is not int or version != RECORD_VERSION:
            raise _Damaged(f"its version is {version!r}, and this program reads version {RECORD_VERSION}")
        if not is_key(value.get("fingerprint")):
            raise _Damaged(f"its fingerprint is {value.get('fingerprint')!r}")
        for name, kind in _PLAIN_TYPES.items():
            if type(value.get(name)) is not kind:
                raise _Damaged(f"{name} is {value.get(name)!r}")
        for name in _TIMES:
            if type(value.get(name)) not in (int, float):
                raise _Damaged(f"{name} is {value.get(name)!r}")
        if type(value["step"].get("name")) is not str:
            raise _Damaged("its step has no name")
        for output in value["outputs"].values():
            StoredOutput.from_json(output)
        return cls(**{name: value[name] for name in _FIELDS})

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON value."""
        return {"record_version": RECORD_VERSION} | {name: getattr(self, name) for name in _FIELDS}


_FIELDS = tuple(f.name for f in fields(Record))


@dataclass(frozen=True)
class Pin:
    """A person's word that a step is to use one record.

    :param note: why.
    :param created: seconds since the epoch.
    """

    experiment: str
    step: str
    key: str
    note: str
    created: float


class ReuseIndex:
    """Everything known about what has been computed, in a store of small blobs.

    What cannot be understood in it counts as absent, with a warning in the log.
    """

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self._told: set[tuple[str, str]] = set()

    @classmethod
    def of(cls, root: Path) -> ReuseIndex:
        """The index in a folder: ``reuse`` in the run store."""
        return cls(record_store(root))

    @property
    def store(self) -> RecordStore:
        """Where it is kept."""
        return self._store

    # --- records --------------------------------------------------------------------------------------------

    def read(self, key: str) -> Record | None:
        """The record of a fingerprint; ``None`` when there is none that can be trusted."""
        return self._record(key, self._contents([_record_name(key)])[0]) if is_key(key) else None

    def read_many(self, keys: Iterable[str]) -> dict[str, Record]:
        """The records that there are."""
        wanted = [key for key in dict.fromkeys(keys) if is_key(key)]
        contents = self._contents([_record_name(key) for key in wanted])
        found = ((key, self._record(key, content)) for key, content in zip(wanted, contents, strict=True))
        return {key: record for key, record in found if record is not None}

    def commit(self, record: Record, *, replace: bool = False) -> Record:
        """Make a record known: from now on its step is computed.

        :param replace: put it in the place of one that is there.
        :return: the record that counts: this one, or the one that was there first.
        """
        if not is_key(record.fingerprint):
            raise ValueError(f"a record needs 64 hex digits as fingerprint, not {record.fingerprint!r}.")
        name, content = _record_name(record.fingerprint), _sealed(record.to_json())
        # Before the record: a process that is killed in between leaves a marker without a record, which is ignored.
        # The other way round would leave a record that its step does not know.
        self._store.create(_marker_name(record), f"{record.created}\n".encode())
        if replace:
            self._store.replace(name, content)
            return record
        for _ in range(_COMMIT_ATTEMPTS):
            if self._store.create(name, content):
                return record
            there = self._store.read(name)
            if there is None:
                continue
            first = self._record(record.fingerprint, there)
            if first is not None:
                return first
            # Of several that meet the same damaged record, one replaces it, and the others take what that one wrote.
            if self._store.swap(name, there, content):
                return record
        raise FileExistsError(f"{name} in {self._store!r} is something that is no file; remove it.")

    def forget(self, key: str) -> bool:
        """Remove a record; ``False`` when there was none."""
        record = self.read(key)
        forgotten = is_key(key) and self._store.delete(_record_name(key))
        if record is not None:
            self._store.delete(_marker_name(record))
        return forgotten

    def of_step(self, step_name: str) -> list[Record]:
        """The records of a step, whatever pipeline it was in; the newest first."""
        folder = f"by-step/{folder_name(step_name)}/"
        markers = {entry.name[len(folder) :]: entry for entry in self._store.entries(folder)}
        found = self.read_many(markers)
        # Clocks differ: only what is old by any of them is removed.
        limit = time.time() - _MARKER_SECONDS
        for key, marker in markers.items():
            if key not in found and marker.modified < limit and self._store.read(_record_name(key)) is None:
                self._store.delete(marker.name)
        mine = [record for record in found.values() if record.step["name"] == step_name]
        return sorted(mine, key=lambda record: (record.created, record.fingerprint), reverse=True)

    def all(self) -> Iterator[Record]:
        """Every record, in the order of their keys."""
        names = self._store.names("records/")
        keys = [key for name in names if is_key(key := name.rpartition("/")[2].removesuffix(".json"))]
        for start in range(0, len(keys), _AT_ONCE):
            yield from self.read_many(keys[start : start + _AT_ONCE]).values()

    # --- manifests ------------------------------------------------------------------------------------------

    def keep_manifest(self, digest: str, entries: Sequence[tuple[str, str]]) -> None:
        """Keep which files a tree of this digest has.

        :param entries: pairs of relative path and digest.
        """
        if not is_key(digest):
            raise ValueError(f"a manifest needs 64 hex digits as its name, not {digest!r}.")
        name = f"manifests/{digest}.json"
        content = _sealed({"manifest_version": 1, "digest": digest, "files": dict(entries)})
        if not self._store.create(name, content) and self.manifest(digest) is None:
            self._store.replace(name, content)

    def manifest(self, digest: str) -> dict[str, str] | None:
        """The digests of a tree's files by relative path; ``None`` when they were not kept."""
        if not is_key(digest):
            return None
        name = f"manifests/{digest}.json"
        content = self._contents([name])[0]
        if content is None:
            return None
        try:
            value = _unsealed(content)
            if not isinstance(value, dict) or value.get("manifest_version") != 1 or value.get("digest") != digest:
                raise _Damaged("it is no manifest of this name")
            files = value.get("files")
            if not isinstance(files, dict) or not all(isinstance(v, str) for v in files.values()):
                raise _Damaged("its list of files is none")
        except ValueError as error:
            self._warn(name, content, error)
            return None
        return files

    # --- pins -----------------------------------------------------------------------------------------------

    def pin(self, experiment: str, step: str, key: str, note: str) -> None:
        """Have a step of an experiment use one record."""
        if not is_key(key):
            raise ValueError(f"a pin needs 64 hex digits as key, not {key!r}.")
        pin = Pin(experiment, step, key, note, time.time())
        self._store.replace(_pin_name(experiment, step), _sealed({"pin_version": 1, **asdict(pin)}))

    def unpin(self, experiment: str, step: str) -> bool:
        """Take a pin away; ``False`` when there was none."""
        return self._store.delete(_pin_name(experiment, step))

    def pins(self) -> dict[tuple[str, str], Pin]:
        """Every pin, by experiment and step."""
        names = self._store.names("pins/")
        found = {}
        for name, content in zip(names, self._contents(names), strict=True):
            if content is None:
                continue
            try:
                pin = _pin(_unsealed(content), name)
            except ValueError as error:
                self._warn(name, content, error)
                continue
            found[pin.experiment, pin.step] = pin
        return found

    # --- inside ---------------------------------------------------------------------------------------------

    def _contents(self, names: Sequence[str]) -> list[bytes | None]:
        """What the store has under these names; what it fails to give is absent, with a warning."""
        try:
            return self._store.read_many(names) if len(names) != 1 else [self._store.read(names[0])]
        except OSError as error:
            if len(names) == 1 or not isinstance(self._store, FolderStore):
                _log.warning("%s in %r cannot be read and counts as absent: %s", _several(names), self._store, error)
                return [None] * len(names)
        # One file that cannot be read does not hide the others.
        return [content for name in names for content in self._contents([name])]

    def _record(self, key: str, content: bytes | None) -> Record | None:
        if content is None:
            return None
        try:
            record = Record.from_json(_unsealed(content))
            if record.fingerprint != key:
                raise _Damaged(f"it is the record of {record.fingerprint}")
        except ValueError as error:
            self._warn(_record_name(key), content, error)
            return None
        return record

    def _warn(self, name: str, content: bytes, error: ValueError) -> None:
        seen = (name, blake3(content).hexdigest())
        if seen not in self._told:
            self._told.add(seen)
            _log.warning("%s in %r cannot be used and counts as absent: %s.", name, self._store, error)


def is_key(value: object) -> bool:
    """Whether it is what a fingerprint looks like: 64 hex digits."""
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def _several(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _record_name(key: str) -> str:
    return f"records/{key[:2]}/{key}.json"


def _marker_name(record: Record) -> str:
    return f"by-step/{folder_name(record.step['name'])}/{record.fingerprint}"


def _pin_name(experiment: str, step: str) -> str:
    return f"pins/{folder_name(experiment)}/{folder_name(step)}.json"


def _pin(value: Any, name: str) -> Pin:
    if not isinstance(value, dict) or value.get("pin_version") != 1:
        raise _Damaged("it is no pin of this version")
    for word, kinds in _PIN_TYPES.items():
        if type(value.get(word)) not in kinds:
            raise _Damaged(f"{word} is {value.get(word)!r}")
    pin = Pin(value["experiment"], value["step"], value["key"], value["note"], value["created"])
    if not is_key(pin.key) or _pin_name(pin.experiment, pin.step) != name:
        raise _Damaged("it is the pin of something else")
    return pin


def _sealed(value: dict[str, Any]) -> bytes:
    """A value with a checksum in front, in one fixed layout."""
    # ASCII, so that names of files which are no UTF-8 come back as they were.
    body = json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
    return b"".join((_HEAD, blake3(body).hexdigest().encode(), _MIDDLE, body, _TAIL))


def _unsealed(content: bytes) -> Any:
    """The value, when not one bit of it has changed."""
    body = content[_BODY : -len(_TAIL)]
    if not (content.startswith(_HEAD) and content.endswith(_TAIL) and content[_BODY - len(_MIDDLE) : _BODY] == _MIDDLE):
        raise _Damaged("it is incomplete, or something else")
    if blake3(body).hexdigest().encode() != content[len(_HEAD) : len(_HEAD) + 64]:
        raise _Damaged("its content does not fit its checksum")
    return json.loads(body)
