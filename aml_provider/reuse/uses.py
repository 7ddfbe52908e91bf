"""What recorded results are needed for: by runs that go on, by pins, and by registered datasets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aml_provider.reuse.pins import Pin
from aml_provider.reuse.records import Record
from aml_provider.runs.layout import RunFolder, RunStore, read_json
from aml_provider.spec.errors import AmlError
from aml_provider.storage.datastores import store_for
from aml_provider.storage.paths import glob_regex, glob_root, is_glob, normalized
from aml_provider.storage.registry import DATASETS, Registry
from aml_provider.workspace.resolved import LoadedWorkspace

# So long after the last start in it, a run that was cleared may still go on, though all that has started has ended:
# steps wait for a place in their pool. Where Airflow can be asked, nobody has to wait.
_QUIET_SECONDS = 86_400.0


@dataclass(frozen=True)
class Place:
    """A file or folder in a datastore, in the one spelling of its path."""

    datastore: str
    path: str

    @classmethod
    def of(cls, value: Any) -> Place | None:
        """The place that a mapping with ``datastore`` and ``path`` names; ``None`` when it names none."""
        if not isinstance(value, dict) or not isinstance(value.get("datastore"), str):
            return None
        try:
            return cls(value["datastore"], normalized(str(value.get("path", "")), value["datastore"]))
        except AmlError:
            return None

    def __str__(self) -> str:
        return f"{self.datastore}:{self.path}"


class Places:
    """Places that somebody needs, and who that is."""

    def __init__(self) -> None:
        self._at: dict[Place, str] = {}
        self._above: dict[Place, str] = {}
        self._globs: dict[str, list[tuple[str, str]]] = {}

    def add(self, place: Place, who: str) -> None:
        """Note that ``who`` needs what is at ``place``; a path with wildcards is a pattern."""
        if is_glob(place.path):
            self._globs.setdefault(place.datastore, []).append((place.path, who))
            return
        self._at.setdefault(place, who)
        for folder in _folders_above(place):
            self._above.setdefault(folder, who)

    def needed_by(self, place: Place, files: Callable[[], Iterable[str]]) -> str | None:
        """Who needs something at, below or above ``place``; ``None``: nobody.

        :param files: lists the files at the place; asked only where a pattern has to decide.
        """
        for known in (place, *_folders_above(place)):
            if known in self._at:
                return self._at[known]
        if place in self._above:
            return self._above[place]
        for pattern, who in self._globs.get(place.datastore, ()):
            root = Place(place.datastore, glob_root(pattern))
            if root == place or place in _folders_above(root):
                return who
            if root in _folders_above(place) and any(glob_regex(pattern).fullmatch(file) for file in files()):
                return who
        return None


def _folders_above(place: Place) -> list[Place]:
    """The folders that ``place`` is in, the datastore's root included."""
    parts = place.path.split("/") if place.path else []
    return [Place(place.datastore, "/".join(parts[:length])) for length in range(len(parts))]


@dataclass(frozen=True)
class RunningRun:
    """A run that has not ended, and what it needs.

    :param undecided: names of its steps that have no result yet: any record of theirs may still be used.
    :param step_run_ids: whoever of them writes, writes to places with these in their paths.
    :param keys: fingerprints of the earlier results that it uses or is about to record.
    """

    pipeline_run_id: str
    undecided: frozenset[str]
    step_run_ids: frozenset[str]
    keys: frozenset[str]
    places: tuple[Place, ...]


def _never(dag_id: str, run_id: str) -> bool:
    return False


def running_runs(store: RunStore, is_over: Callable[[str, str], bool] = _never) -> list[RunningRun]:
    """The runs that have not ended, or in which something has started since.

    :param is_over: whether a run that did not say how it ended, or was cleared, is known not to go on, by DAG id and
        run id.
    :raises AmlError: the records of a run cannot be read, so nobody knows what it needs.
    """
    found = []
    for folder in sorted((store.root / "runs").glob("*/*")):
        if not folder.is_dir():
            continue
        try:
            record = read_json(folder / "run.json")
            if record is None:
                continue
            ended = _modified(folder / "end.json")
            if ended is None:
                goes_on = not is_over(str(record["dag_id"]), str(record["run_id"]))
            else:
                # In a run that had ended, a step that was cleared runs again, or the head task decides anew.
                newest = max(_starts(folder), default=0.0)
                goes_on = newest > ended and not (
                    is_over(str(record["dag_id"]), str(record["run_id"]))
                    or _is_quiet(RunFolder(folder), record, newest)
                )
            if goes_on:
                found.append(_running(RunFolder(folder), record))
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise AmlError(
                f"the records of the run in {folder} cannot be read ({e}), so nobody can tell what it needs. "
                "Remove that folder if the run is over."
            ) from e
    return found


def _running(folder: RunFolder, record: dict[str, Any]) -> RunningRun:
    results = {step["task_id"]: folder.result(step["task_id"]) or {} for step in record["steps"]}
    undecided = {s["name"] for s in record["steps"] if results[s["task_id"]].get("state") != "Finished"}
    keys, places = set(), []
    for result in results.values():
        keys.add((result.get("reused") or {}).get("fingerprint"))
        places += [Place.of(place) for place in result.get("outputs", {}).values()]
    for step in record["steps"]:
        for attempt in folder.step(step["task_id"]).attempts():
            keys.add((read_json(attempt.fingerprint) or {}).get("key"))
    places += [Place.of(value) for value in record.get("parameters", {}).values()]
    return RunningRun(
        str(record["pipeline_run_id"]),
        frozenset(undecided),
        frozenset(step["step_run_id"] for step in record["steps"]),
        frozenset(key for key in keys if key),
        tuple(place for place in places if place is not None),
    )


def _is_quiet(folder: RunFolder, record: dict[str, Any], newest: float) -> bool:
    """Whether what was cleared has ended. Airflow ends no run anew of which a single step was cleared.

    :param newest: when something has last started.
    """
    if time.time() - newest < _QUIET_SECONDS:
        # A later step may have been cleared with it.
        return False
    for step in record["steps"]:
        key = step["task_id"]
        latest = folder.step(key).latest
        if latest and (folder.result(key) or {}).get("attempt", 0) < latest:
            return False
    return True


def _starts(folder: Path) -> Iterator[float]:
    for pattern in ("run.json", "steps/*/attempts/*/job.json", "steps/*/attempts/*/alive"):
        for path in folder.glob(pattern):
            moment = _modified(path)
            if moment is not None:
                yield moment


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def registered(workspace: LoadedWorkspace) -> Iterator[tuple[Place, str]]:
    """The places of every version of every registered dataset, and the dataset's name in words.

    :raises AmlError: a registration cannot be read.
    """
    # A pipeline may know the workspace under another name, which has its own registry.
    for folder in sorted((workspace.state / "registry").glob(f"*/{DATASETS}")):
        registry = Registry(folder)
        try:
            names = sorted(registry.names())
            versions = [(name, number, record) for name in names for number, record in registry.versions(name)]
        except (OSError, ValueError, KeyError) as e:
            raise AmlError(
                f"the registered datasets in {folder} cannot be read ({e}), so nobody can tell what they need."
            ) from e
        for name, number, record in versions:
            for location in record.get("locations", ()):
                place = Place.of(location)
                if place is not None:
                    yield place, f"dataset {name!r} (version {number})"


class Uses:
    """Who needs which records and which data."""

    def __init__(self, workspace: LoadedWorkspace, pins: Iterable[Pin], runs: Iterable[RunningRun]) -> None:
        self._workspace = workspace
        self._pinned = {pin.key: pin for pin in pins}
        self._runs = list(runs)
        self._of_runs = Places()
        self._lasting = Places()
        for place, who in registered(workspace):
            self._lasting.add(place, who)
        for run in self._runs:
            for place in run.places:
                self._of_runs.add(place, f"run {run.pipeline_run_id}")

    def keep(self, record: Record) -> None:
        """Note that this record stays, and its data with it."""
        for place in places_of(record):
            self._lasting.add(place, f"result {record.fingerprint[:12]}, which stays,")

    def of_record(self, record: Record) -> str | None:
        """Why a record is needed; ``None``: it is not."""
        pin = self._pinned.get(record.fingerprint)
        if pin is not None:
            return f"pinned for step {pin.step!r} of experiment {pin.experiment!r}"
        for run in self._runs:
            if record.fingerprint in run.keys or run.pipeline_run_id == record.run.get("pipeline_run_id"):
                return f"run {run.pipeline_run_id}, which has not ended, uses it"
            if record.step["name"] in run.undecided:
                return f"run {run.pipeline_run_id}, which has not ended, may still use it"
        for place in places_of(record):
            who = self._of_runs.needed_by(place, partial(self._files, place))
            if who is not None:
                return f"{who}, which has not ended, uses its data"
        return None

    def of_place(self, place: Place) -> str | None:
        """Why data is needed, in words that follow its name; ``None``: it is not."""
        for run in self._runs:
            if any(identity in place.path for identity in run.step_run_ids):
                return f"run {run.pipeline_run_id}, which has not ended, writes there"
        for places in (self._of_runs, self._lasting):
            who = places.needed_by(place, partial(self._files, place))
            if who is not None:
                return f"{who} needs it"
        return None

    def _files(self, place: Place) -> list[str]:
        if place.datastore not in self._workspace.datastores:
            return []
        return store_for(self._workspace.datastore(place.datastore), place.datastore).files(place.path)


def places_of(record: Record) -> list[Place]:
    """Where a result's outputs are."""
    return [place for value in record.outputs.values() if (place := Place.of(value)) is not None]
