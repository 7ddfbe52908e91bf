"""Removing results that are no longer wanted: their records, and the data that only they point to.

A record goes before its data, so that a reader never takes half an output for a result. What is about to be removed is
noted first, and the note goes last: after a kill in the middle, the next collection finishes the work.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.manifests import tree_of
from aml_provider.reuse.placed import PlacedData
from aml_provider.reuse.records import Record
from aml_provider.reuse.uses import Place, RunningRun, Uses, places_of
from aml_provider.spec.errors import AmlError
from aml_provider.storage.faults import DatastoreError
from aml_provider.workspace.resolved import LoadedWorkspace

_NOTES = "removing/"


@dataclass(frozen=True)
class Selection:
    """Which results a person wants to be rid of: those that everything given here applies to.

    :param older_than: seconds since they were recorded.
    :param larger_than: bytes of a result's outputs together.
    :param keep_bytes: of all that the rest applies to, the newest stay as long as they fit into so many bytes.
    :param step: name of the step, or a glob.
    :param experiment: likewise.
    """

    older_than: float | None = None
    larger_than: int | None = None
    keep_bytes: int | None = None
    step: str | None = None
    experiment: str | None = None

    def takes(self, record: Record, now: float) -> bool:
        """Whether it applies to ``record``; ``keep_bytes`` is not looked at."""
        return (
            (self.older_than is None or now - record.created > self.older_than)
            and (self.larger_than is None or size_of(record) > self.larger_than)
            and (self.step is None or fnmatchcase(record.step["name"], self.step))
            and (self.experiment is None or fnmatchcase(str(record.run.get("experiment", "")), self.experiment))
        )


@dataclass
class Collection:
    """What a collection removes, or has removed.

    :param removed: their records.
    :param kept: records that would have been removed, and why they are not.
    :param places: data that goes, and its bytes on the disk.
    :param kept_places: data of removed records that stays, and why.
    """

    removed: list[Record] = field(default_factory=list)
    kept: list[tuple[Record, str]] = field(default_factory=list)
    places: dict[Place, int] = field(default_factory=dict)
    kept_places: dict[Place, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """How much room it makes."""
        return sum(self.places.values())


def size_of(record: Record) -> int:
    """Bytes of all outputs of a result, as they were recorded."""
    return sum(output.bytes or 0 for output in record.stored.values())


class Collector:
    """Removes results from an index, and their data from the datastores of its workspace.

    :param running: says which runs have not ended; asked again after the records have gone.
    """

    def __init__(
        self, index: ReuseIndex, workspace: LoadedWorkspace, running: Callable[[], Iterable[RunningRun]]
    ) -> None:
        self._index = index
        self._workspace = workspace
        self._data = PlacedData(workspace)
        self._running = running

    def plan(self, selection: Selection) -> Collection:
        """What would be removed now."""
        records = list(self._index.all())
        uses = self._uses()
        found = Collection()
        now = time.time()
        wanted = sorted((r for r in records if selection.takes(r, now)), key=lambda r: -r.created)
        free: list[Record] = []
        for record in wanted:
            why = uses.of_record(record)
            if why is None:
                free.append(record)
            else:
                found.kept.append((record, why))
        if selection.keep_bytes is not None:
            free = _beyond(free, selection.keep_bytes - sum(size_of(record) for record, _ in found.kept))
        found.removed = free
        going = {record.fingerprint for record in free}
        for record in records:
            if record.fingerprint not in going:
                uses.keep(record)
        for record in (*free, *self._interrupted().values()):
            self._look_at_data(record, uses, found)
        return found

    def collect(self, selection: Selection) -> Collection:
        """Remove it, and what an earlier collection that was killed had begun to remove.

        :raises AmlError: some data cannot be removed; the next collection tries again.
        """
        done = self.plan(selection)
        for record in done.removed:
            self._index.store.replace(_note(record), json.dumps(record.to_json()).encode("ascii"))
            self._index.forget(record.fingerprint)
        # Who has started meanwhile may have read a record before it went. From now on nobody can.
        uses = self._uses()
        self._give_back(done, uses)
        left = list(self._index.all())
        for record in left:
            uses.keep(record)
        done.places, done.kept_places = {}, {}
        interrupted = self._interrupted()
        failed = [problem for record in interrupted.values() for problem in self._finish(record, uses, done)]
        self._forget_manifests(interrupted.values(), left)
        if failed:
            more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
            raise AmlError(
                f"{len(done.removed)} records were removed, but not all of their data: {'; '.join(failed[:3])}{more}. "
                "Make it writable, or collect again as somebody who may remove it."
            )
        return done

    # --- inside ---------------------------------------------------------------------------------------------

    def _uses(self) -> Uses:
        return Uses(self._workspace, self._index.certain_pins().values(), self._running())

    def _interrupted(self) -> dict[str, Record]:
        """Records that are noted as being removed."""
        found = {}
        for name in self._index.store.names(_NOTES):
            content = self._index.store.read(name)
            try:
                record = Record.from_json(json.loads(content or b""))
            except ValueError:
                # A note is written whole: this is none of ours.
                continue
            found[record.fingerprint] = record
        return found

    def _give_back(self, done: Collection, uses: Uses) -> None:
        """Put records back that are needed after all; nothing has happened to their data."""
        for record in list(done.removed):
            why = uses.of_record(record)
            if why is not None:
                self._index.commit(record)
                self._index.store.delete(_note(record))
                done.removed.remove(record)
                done.kept.append((record, why))

    def _finish(self, record: Record, uses: Uses, done: Collection) -> list[str]:
        """Remove the data of a record that has gone; what could not be removed, and why."""
        seen = Collection()
        try:
            self._look_at_data(record, uses, seen)
        except DatastoreError as e:
            return [str(e)]
        failed = []
        for place, size in seen.places.items():
            try:
                self._remove(place, record)
                done.places[place] = size
            except OSError as e:
                # Somebody else may be removing the same.
                if self._is_there(place):
                    failed.append(f"{place} ({e.filename}: {e.strerror})" if e.filename else f"{place} ({e})")
        done.kept_places |= seen.kept_places
        if not failed:
            self._index.store.delete(_note(record))
        return failed

    def _is_there(self, place: Place) -> bool:
        try:
            return self._data.size(place) is not None
        except DatastoreError:
            return True

    def _look_at_data(self, record: Record, uses: Uses, found: Collection) -> None:
        """Note which data of a record goes.

        :raises DatastoreError: a datastore cannot be looked at.
        """
        for place in places_of(record):
            if place in found.places or place in found.kept_places:
                continue
            try:
                size = self._data.size(place)
            except DatastoreError:
                raise
            except AmlError as e:
                found.kept_places[place] = str(e)
                continue
            if size is None:
                continue
            # Without a run's id in it, the path is one that an author chose: others may keep their data there, too.
            why = uses.of_place(place) if _is_own(place, record) else "its path belongs to no run alone"
            if why is None:
                found.places[place] = size
            else:
                found.kept_places[place] = why

    def _remove(self, place: Place, record: Record) -> None:
        self._data.remove(place)
        # The folder that was made for the step run goes with the last of its outputs.
        above = Place(place.datastore, place.path.rpartition("/")[0])
        while _is_own(above, record) and self._data.remove_empty(above):
            above = Place(above.datastore, above.path.rpartition("/")[0])

    def _forget_manifests(self, gone: Iterable[Record], left: Iterable[Record]) -> None:
        """Lists of files by which only the removed results could be explained."""
        unused = {digest for record in gone for digest in manifests_of(record)}
        for record in left:
            unused -= manifests_of(record)
        for digest in unused:
            self._index.store.delete(f"manifests/{digest}.json")


def manifests_of(record: Record) -> set[str]:
    """Digests of the trees that a record's fingerprint names: of its code and of its inputs."""
    parts = record.parts.get("key") or {}
    trees = [parts.get("code"), *(tree_of(declared[-1]) for declared in (parts.get("inputs") or {}).values())]
    return {tree for tree in trees if tree}


def _beyond(records: list[Record], budget: int) -> list[Record]:
    """Of records with the newest first, those that do not fit any more."""
    for number, record in enumerate(records):
        budget -= size_of(record)
        if budget < 0:
            return records[number:]
    return []


def _note(record: Record) -> str:
    return f"{_NOTES}{record.fingerprint}.json"


def _is_own(place: Place, record: Record) -> bool:
    """Whether only the record's own step run writes there: its id is in the path."""
    identity = record.run.get("step_run_id")
    return isinstance(identity, str) and identity != "" and identity in place.path
