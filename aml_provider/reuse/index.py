"""What has been computed: one record for each fingerprint, its commit point."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from aml_provider.reuse.keeping import records_in
from aml_provider.reuse.pins import Pin, pin_name
from aml_provider.reuse.records import Record, is_key, marker_name, markers_of, record_name
from aml_provider.reuse.sealing import DamagedError, SealedReader, checked, sealed, value_of
from aml_provider.runs.layout import RunStore
from aml_provider.spec.errors import AmlError
from aml_provider.storage.record_store import Entry, RecordStore

_log = logging.getLogger(__name__)

MANIFEST_VERSION = 1
_AT_ONCE = 2000
# A marker this old without a record is nobody's that is about to write one.
_MARKER_SECONDS = 24 * 3600.0
# How often a commit looks again at a record that is neither there nor can be created.
_COMMIT_ATTEMPTS = 100


class ReuseIndex:
    """Everything known about what has been computed, in a store of small blobs.

    What cannot be read or understood in it counts as absent, with a warning in the log. What cannot be written raises
    an :class:`OSError`.
    """

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self._reader = SealedReader(store)

    @classmethod
    def of(cls, place: RunStore | Path) -> ReuseIndex:
        """The index of a run store, or in a folder.

        :raises DatastoreError: it is in a bucket that cannot be opened.
        """
        return cls(records_in(place))

    @property
    def store(self) -> RecordStore:
        """Where it is kept."""
        return self._store

    # --- records --------------------------------------------------------------------------------------------

    def read(self, key: str) -> Record | None:
        """The record of a fingerprint; ``None`` when there is none that can be trusted."""
        return self._reader.read(record_name(key), _record) if is_key(key) else None

    def read_many(self, keys: Iterable[str]) -> dict[str, Record]:
        """The records that there are."""
        wanted = [key for key in dict.fromkeys(keys) if is_key(key)]
        found = self._reader.read_many([record_name(key) for key in wanted], _record)
        return {record.fingerprint: record for record in found if record is not None}

    def commit(self, record: Record, *, replace: bool = False) -> Record:
        """Make a record known: from now on its step is computed.

        :param replace: put it in the place of one that is there.
        :return: the record that counts: this one, or the one that was there first.
        :raises ValueError: the record is none that could be read again.
        """
        value = record.to_json()
        try:
            Record.from_json(value)
        except ValueError as error:
            raise ValueError(f"a result cannot be recorded like this: {error}.") from None
        name, content = record_name(record.fingerprint), sealed(value)
        # Before the record: a process that is killed in between leaves a marker without a record, which is ignored.
        # The other way round would leave a record that its step does not know.
        self._store.create(marker_name(record), f"{record.created}\n".encode())
        if replace:
            # The marker, too, so that it is as new as what it stands for.
            self._store.replace(marker_name(record), f"{record.created}\n".encode())
            self._store.replace(name, content)
            return record
        for _ in range(_COMMIT_ATTEMPTS):
            if self._store.create(name, content):
                return record
            there = self._store.read(name)
            if there is None:
                continue
            first = self._reader.understood(name, there, _record)
            if first is not None:
                return first
            # Of several that meet the same damaged record, one replaces it, and the others take what that one wrote.
            if self._store.swap(name, there, content):
                return record
        raise FileExistsError(f"{name} in {self._store} is something that is no file; remove it.")

    def forget(self, key: str) -> bool:
        """Remove a record; ``False`` when there was none."""
        record = self.read(key)
        forgotten = is_key(key) and self._store.delete(record_name(key))
        if record is not None:
            self._store.delete(marker_name(record))
        return forgotten

    def of_step(self, step_name: str) -> list[Record]:
        """The records of a step, whatever pipeline it was in; the newest first."""
        markers = {entry.name.rpartition("/")[2]: entry for entry in self._reader.listed(markers_of(step_name))}
        found = self.read_many(markers)
        self._sweep(entry for key, entry in markers.items() if key not in found)
        return _newest_first(record for record in found.values() if record.step["name"] == step_name)

    def newest_of_step(self, step_name: str, most: int, before: float | None = None) -> list[Record]:
        """Some of :meth:`of_step`: those that were recorded last, by the clock of whatever keeps the index.

        It reads few records, however many the step has.

        :param before: only records that are older than this moment, by their own word.
        """
        markers = sorted(self._reader.listed(markers_of(step_name)), key=lambda entry: -entry.modified)
        keys = [entry.name.rpartition("/")[2] for entry in markers]
        found: list[Record] = []
        for start in range(0, len(keys), most):
            for record in self.read_many(keys[start : start + most]).values():
                if record.step["name"] == step_name and (before is None or record.created < before):
                    found.append(record)
            if len(found) >= most:
                break
        return _newest_first(found)[:most]

    def all(self) -> Iterator[Record]:
        """Every record, in the order of their keys.

        :raises OSError: they cannot be listed.
        """
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
        name = _manifest_name(digest)
        content = sealed({"manifest_version": MANIFEST_VERSION, "digest": digest, "files": dict(entries)})
        if not self._store.create(name, content) and self.manifest(digest) is None:
            self._store.replace(name, content)

    def manifest(self, digest: str) -> dict[str, str] | None:
        """The digests of a tree's files by relative path; ``None`` when they were not kept."""
        return self._reader.read(_manifest_name(digest), _manifest) if is_key(digest) else None

    # --- pins -----------------------------------------------------------------------------------------------

    def pin(self, experiment: str, step: str, key: str, note: str) -> None:
        """Have a step of an experiment use one record."""
        if not is_key(key):
            raise ValueError(f"a pin needs 64 hex digits as key, not {key!r}.")
        pin = Pin(experiment, step, key, note, time.time())
        self._store.replace(pin_name(experiment, step), sealed(pin.to_json()))

    def unpin(self, experiment: str, step: str) -> bool:
        """Take a pin away; ``False`` when there was none."""
        return self._store.delete(pin_name(experiment, step))

    def pins(self) -> dict[tuple[str, str], Pin]:
        """Every pin, by experiment and step."""
        names = [entry.name for entry in self._reader.listed("pins/")]
        return {(pin.experiment, pin.step): pin for pin in self._reader.read_many(names, _pin) if pin is not None}

    def certain_pins(self) -> dict[tuple[str, str], Pin]:
        """Every pin, for who removes what is not pinned.

        :raises AmlError: one of them cannot be read or understood.
        """
        name, found = "pins/", {}
        try:
            for name in self._store.names("pins/"):
                content = self._store.read(name)
                if content is not None:
                    pin = _pin(name, checked(content))
                    found[pin.experiment, pin.step] = pin
        except (OSError, ValueError) as error:
            raise AmlError(
                f"{name} in {self._store} cannot be read, so nobody can tell what is pinned ({error}); "
                "pin the step again, or remove the file."
            ) from error
        return found

    # --- inside ---------------------------------------------------------------------------------------------

    def _sweep(self, markers: Iterable[Entry]) -> None:
        """Remove markers that processes left which were killed before they wrote their record."""
        # Clocks differ: only what is old by any of them is removed.
        limit = time.time() - _MARKER_SECONDS
        for marker in markers:
            key = marker.name.rpartition("/")[2]
            try:
                if is_key(key) and marker.modified < limit and self._store.read(record_name(key)) is None:
                    self._store.delete(marker.name)
            except OSError as error:
                # It disturbs nobody: the next look tries again.
                _log.debug("%s in %s was not removed: %s", marker.name, self._store, error)


def _newest_first(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: (record.created, record.fingerprint), reverse=True)


def _record(name: str, content: bytes) -> Record:
    record = Record.from_sealed(content)
    if record_name(record.fingerprint) != name:
        raise DamagedError(f"it is the record of {record.fingerprint}")
    return record


def _pin(name: str, content: bytes) -> Pin:
    pin = Pin.from_json(value_of(content))
    if pin_name(pin.experiment, pin.step) != name:
        raise DamagedError(f"it is the pin of step {pin.step!r} of experiment {pin.experiment!r}")
    return pin


def _manifest_name(digest: str) -> str:
    return f"manifests/{digest}.json"


def _manifest(name: str, content: bytes) -> dict[str, str]:
    value = value_of(content)
    if not isinstance(value, dict) or value.get("manifest_version") != MANIFEST_VERSION:
        raise DamagedError("it is no manifest of this version")
    if value.get("digest") != name.rpartition("/")[2].removesuffix(".json"):
        raise DamagedError(f"it is the manifest of {value.get('digest')!r}")
    files = value.get("files")
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise DamagedError("its list of files is none")
    return files
