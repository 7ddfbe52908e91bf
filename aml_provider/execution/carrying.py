"""A step's files on their way to a pod that shares no volume with the worker, and back: through an object store.

Everything is below ``.aml/pods`` of that store: the attempt's folder as one archive, the order that the pod's program
(:mod:`aml_provider.runtime.carrier`) works from, and what that brings back. The receipt is the last object that the pod
writes; without it nothing has come back.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from aml_provider.execution import data
from aml_provider.execution.carried_archive import DamagedError, pack, unpack
from aml_provider.execution.staging import remove
from aml_provider.reuse.keeping import own_name, whose
from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepError, StepInterruptedError
from aml_provider.runs.layout import STORE_FOLDER, AttemptFolder
from aml_provider.spec.models import StepOutput
from aml_provider.storage.datastores import Store, store_for
from aml_provider.storage.faults import DatastoreError, NothingThereError
from aml_provider.storage.signing import LONGEST_SECONDS, signed, signs

_log = logging.getLogger(__name__)

PROGRAM = Path(__file__).parents[1] / "runtime" / "carrier.py"
LIFE, BEGUN = ".life", ".begun"
# One request writes a part: S3 takes 5 GiB by one, Azure a little less.
_PART_BYTES = 4 << 30
_PARTS = 32
_OUTSIDE = "outside"
_DATA = "data"
JOB = "job"


@dataclass(frozen=True)
class Sent:
    """What the pod needs to know.

    :param address: of the order; whoever has it can read the step's files and write its results.
    :param outside: places in the pod's volume that the step sees elsewhere: ``(path in the volume, path in the step)``.
    """

    address: str
    outside: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Carrier:
    """The way of one step run's files."""

    run: StepRun

    @property
    def store(self) -> Store:
        """The object store that they travel through.

        :raises StepError: the datastore is none.
        """
        name = self._datastore
        store = store_for(self.run.binding.workspace.datastore(name), name)
        if not signs(store):
            what = "is a folder" if store.local_root is not None else f"({store.url}) is none"
            raise StepError(
                f"step {self.run.step.name!r}: compute target {self.run.compute.name!r} has no shared volume "
                f"(shared_volume: false), so the step's files travel through an object store, and datastore {name!r} "
                f"{what}. Name a datastore in S3, Azure Blob Storage or Google Cloud Storage as staging_datastore: of "
                "the compute target in the workspace file."
            )
        return store

    @property
    def _datastore(self) -> str:
        return self.run.compute.settings.staging_datastore or self.run.binding.store.datastore

    def reported(self, number: int) -> dict[str, Any]:
        """Where the pod puts what its script reports, for who has no more than that to find it."""
        config = self.run.binding.workspace.datastore(self._datastore)
        return {**config.told(self._datastore), "path": self._journal(number)}

    def _journal(self, number: int) -> str:
        return f"{self.folder(number)}/events.jsonl"

    def folder(self, number: int | None = None) -> str:
        """Where the files of an attempt, or of all of them, are in the store."""
        own = on_the_way(own_name(self.run.binding.store), self.run.step_run_id)
        return own if number is None else f"{own}/{number}"

    # --- there ------------------------------------------------------------------------------------------------

    def send(
        self,
        attempt: AttemptFolder,
        mounts: Sequence[data.Mount],
        fetched: Sequence[data.Fetched],
        start_seconds: int,
        good_for: int,
    ) -> Sent:
        """Put what a prepared attempt needs into the store.

        :param start_seconds: how long the step's container may take to start when its files are there.
        :param good_for: seconds that the pod may need to be done.
        :raises StepInterruptedError: the store does not answer. :raises StepError: it cannot be used for this.
        """
        with self._told("sent to the pod"):
            store = self.store
            outside: list[tuple[str, str]] = []
            bundle = self.run.folder.path / f".bundle-{attempt.number}.tar"
            try:
                with tarfile.open(bundle, "w", format=tarfile.PAX_FORMAT) as archive:
                    for mount in mounts:
                        inside = _in_volume(mount.target)
                        if inside is None:
                            inside = f"{_OUTSIDE}/{len(outside)}"
                            outside.append((inside, mount.target))
                        pack(archive, mount, inside)
                store.put(bundle, f"{self.folder(attempt.number)}/bundle.tar")
            finally:
                bundle.unlink(missing_ok=True)
            return Sent(self._order(attempt, store, fetched, start_seconds, good_for), tuple(outside))

    def renew(self, attempt: AttemptFolder) -> str:
        """A new order for a pod whose addresses may have expired; its address."""
        with self._told("told to the pod"):
            return self._order(attempt, self.store, (), 0, LONGEST_SECONDS)

    def _order(
        self, attempt: AttemptFolder, store: Store, fetched: Sequence[data.Fetched], start_seconds: int, good_for: int
    ) -> str:
        folder, seconds = self.folder(attempt.number), min(good_for, LONGEST_SECONDS)

        def get(where: Store, paths: list[str]) -> list[dict[str, Any]]:
            return [request.as_json() for request in signed(where, paths, "GET", seconds)]

        def put(paths: list[str]) -> list[dict[str, Any]]:
            return [request.as_json() for request in signed(store, paths, "PUT", seconds)]

        (bundle,) = get(store, [f"{folder}/bundle.tar"])
        live, receipt = put([f"{folder}/events.jsonl", f"{folder}/receipt.json"])
        archives = [
            {
                "key": JOB,
                "name": "",
                "output": False,
                "roots": [f"{JOB}/{n}" for n in ("events.jsonl", "logs", "artifacts", "report.json")],
                "flat": "",
                "parts": put(_parts(folder, JOB)),
            }
        ]
        for key, output in self._outputs():
            archives.append(
                {
                    "key": key,
                    "name": output.name,
                    "output": True,
                    "roots": [_root(self.run, attempt, output)],
                    "flat": _DATA,
                    "parts": put(_parts(folder, key)),
                }
            )
        order = {
            "version": 1,
            "signed": time.time(),
            "base": str(data.INSIDE),
            "bundle": bundle,
            "objects": self._objects(fetched, get),
            "life": LIFE,
            "begun": BEGUN,
            "report": f"{JOB}/report.json",
            "log": f"{JOB}/logs/std_log.txt",
            "journal": f"{JOB}/events.jsonl",
            "live": live,
            "receipt": receipt,
            "start_seconds": start_seconds,
            "part_bytes": _PART_BYTES,
            "archives": archives,
        }
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            json.dump(order, file)
            file.flush()
            store.put(file.name, f"{folder}/order.json")
        (address,) = get(store, [f"{folder}/order.json"])
        return str(address["url"])

    def _objects(self, fetched: Sequence[data.Fetched], get: Any) -> list[dict[str, Any]]:
        workspace, found = self.run.binding.workspace, []
        for name in dict.fromkeys(f.datastore for f in fetched):
            own = [f for f in fetched if f.datastore == name]
            requests = get(store_for(workspace.datastore(name), name), [f.path for f in own])
            for item, request in zip(own, requests, strict=True):
                found.append(
                    {
                        **request,
                        "input": item.input,
                        "datastore": item.datastore,
                        "path": item.path,
                        "size": item.size,
                        "target": str(PurePosixPath(item.target).relative_to(data.INSIDE)),
                        "mode": 0o644 if item.private else 0o444,
                    }
                )
        return found

    def _outputs(self) -> list[tuple[str, StepOutput]]:
        return [(f"output-{n}", output) for n, output in enumerate(self.run.step.outputs)]

    # --- back -------------------------------------------------------------------------------------------------

    def receive(self, attempt: AttemptFolder) -> bool:
        """Bring what an ended attempt has left to where it would have left it on a shared volume; whether it has ended.

        The report comes last. Doing it again is safe.

        :raises StepInterruptedError: it cannot be brought here now.
        """
        with self._told("collected"):
            store, folder = self.store, self.folder(attempt.number)
            try:
                receipt = json.loads(store.read(f"{folder}/receipt.json"))
            except NothingThereError:
                return False
            come = attempt.path / ".come"
            remove(come)
            for key, output in self._outputs():
                if key in receipt["archives"]:
                    with self._output_errors(output):
                        self._extract(attempt, store, key, receipt, come / key, f", output {output.name!r}")
                        _place(come / key / _DATA, data.staged_path(self.run, attempt, output))
            self._extract(attempt, store, JOB, receipt, come / JOB, "")
            found = come / JOB / JOB
            for name in ("events.jsonl", "logs", "artifacts", "report.json"):
                if os.path.lexists(found / name):
                    _place(found / name, attempt.path / name)
            remove(come)
            return True

    def _extract(
        self, attempt: AttemptFolder, store: Store, key: str, receipt: dict[str, Any], target: Path, what: str
    ) -> None:
        try:
            unpack(store, _parts(self.folder(attempt.number), key), receipt["archives"][key], target)
        except DamagedError as error:
            # The step has to run again: nothing of this is any good.
            self.clear(attempt.number)
            raise StepInterruptedError(
                f"step {self.run.step.name!r}{what}, attempt {attempt.number}: what its pod left in datastore "
                f"{store.name!r} has been damaged ({error}), so it does not count as done."
            ) from None

    @contextmanager
    def _output_errors(self, output: StepOutput) -> Iterator[None]:
        try:
            yield
        except DatastoreError:
            raise
        except OSError as error:
            raise StepInterruptedError(
                f"step {self.run.step.name!r}, output {output.name!r}: it could not be brought to this machine: "
                f"{error.strerror or error} ({error.filename or output.datastore}). See to it and run the step again."
            ) from error

    def journal(self, attempt: AttemptFolder) -> None:
        """Bring what the script has reported so far."""
        try:
            content = self.store.read(self._journal(attempt.number))
        except NothingThereError:
            return
        part = attempt.events.with_name(f".{attempt.events.name}.part")
        part.write_bytes(content)
        part.replace(attempt.events)

    def clear(self, number: int | None = None) -> None:
        """Remove what is in the store of one attempt, or of all of them."""
        self._clear(self.folder(number))

    def clear_lost(self, owner: str) -> None:
        """Remove what is there of another step run, as its claim names it, which is lost and whose pod is gone."""
        step_run_id, place = whose(owner, self.run.binding.store)
        self._clear(on_the_way(place, step_run_id))

    def _clear(self, folder: str) -> None:
        try:
            clear(self.store, folder)
        except DatastoreError as error:
            _log.warning("what step %r had sent to its pod could not be removed: %s", self.run.step.name, error)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except DatastoreError as error:
            sentence = f"step {self.run.step.name!r}: its files could not be {what}: {error}"
            if error.transient:
                raise StepInterruptedError(sentence) from error
            raise StepError(sentence) from error


def on_the_way(place: str, step_run_id: str) -> str:
    """Where the files of all attempts of a step run are in the store.

    :param place: what tells its run store from others, whose step runs may have the same ids.
    """
    return f"{STORE_FOLDER}/pods/{place}/{step_run_id}"


def clear(store: Store, folder: str) -> None:
    """Remove what is in such a folder.

    :raises DatastoreError: the store does not answer.
    """
    for path in store.files(folder):
        store.remove(path)


def _parts(folder: str, key: str) -> list[str]:
    return [f"{folder}/{key}.{number:04d}" for number in range(_PARTS)]


def _in_volume(target: str) -> str | None:
    path = PurePosixPath(target)
    return path.relative_to(data.INSIDE).as_posix() if path.is_relative_to(data.INSIDE) else None


def _root(run: StepRun, attempt: AttemptFolder, output: StepOutput) -> str:
    """Where an output is in the pod's volume."""
    staged = data.staged_path(run, attempt, output)
    if staged.is_relative_to(attempt.path):
        return f"{JOB}/{staged.relative_to(attempt.path).as_posix()}"
    return f"outputs/{output.name}/{output.name}"


def _place(source: Path, target: Path) -> None:
    """Put what has come in the place of what was prepared; nothing where nothing has come."""
    remove(target)
    if os.path.lexists(source):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
