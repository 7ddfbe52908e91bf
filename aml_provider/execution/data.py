"""Where a step's inputs are and where its outputs go: on this machine, and as the step sees them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from aml_provider.datasets.access import Stores
from aml_provider.datasets.describing import described
from aml_provider.datasets.problems import DatasetError, worded
from aml_provider.datasets.queries import ANSWERED, kept
from aml_provider.datasets.reading import lay_out
from aml_provider.datasets.resolving import dataset_of, locations_of
from aml_provider.datasets.selection import is_selected, is_written
from aml_provider.reuse.keeping import own_name
from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepError
from aml_provider.runs.layout import STORE_FOLDER, AttemptFolder
from aml_provider.spec.models import (
    DataLocation,
    DataMode,
    StepInput,
    StepOutput,
    StepOutputSource,
)
from aml_provider.storage.datastores import Store
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.storage.gathering import NothingAtPlaceError, is_single, units
from aml_provider.storage.links import lead_out
from aml_provider.storage.paths import kept_by_runs, normalized
from aml_provider.storage.signing import signs
from aml_provider.storage.stage_cache import StageCache
from aml_provider.workspace.resolved import memory_bytes

INSIDE = PurePosixPath("/mnt/aml")
JOB_INSIDE = INSIDE / "job"
RUNTIME_INSIDE = INSIDE / "runtime"
UPLOAD = (
    "Upload the data, or correct the path. A pipeline's file that uploads it does so when it is run as a program "
    "(`aml run FILE`): read by Airflow, it uploads nothing."
)


@dataclass(frozen=True)
class Mount:
    """A folder or file of a datastore that a container sees at ``target``.

    :param relative: the source's path in the datastore, what a Kubernetes ``subPath`` needs.
    """

    source: Path
    target: str
    read_only: bool
    datastore: str
    relative: str


@dataclass(frozen=True)
class Fetched:
    """An object that a pod fetches by itself.

    :param target: the file that it becomes, as the step sees it.
    :param private: the step may change it.
    """

    input: str
    datastore: str
    path: str
    size: int | None
    target: str
    private: bool


@dataclass(frozen=True)
class Placed:
    """An input or output: ``host`` on this machine, ``inside`` as the step sees it.

    :param dataset: what the step is told about the dataset that an input is.
    :param fetched: what is not on this machine, and comes to ``inside`` in another way.
    """

    host: Path
    inside: str
    mount: Mount | None = None
    dataset: dict[str, Any] | None = None
    fetched: tuple[Fetched, ...] = ()


def mount(run: StepRun, datastore: str, host: Path, target: str, *, read_only: bool) -> Mount:
    """A mount of ``host``, which lies in ``datastore``."""
    root = _root(run, datastore)
    relative = host.relative_to(root).as_posix()
    return Mount(host, target, read_only, datastore, "" if relative == "." else relative)


def _root(run: StepRun, datastore: str) -> Path:
    return run.binding.workspace.folder_of(datastore)


# --- inputs -----------------------------------------------------------------------------------------------------


def place_input(
    run: StepRun,
    attempt: AttemptFolder,
    source: StepInput,
    *,
    in_place: bool,
    fetches: bool = False,
    identity: Any = None,
) -> Placed:
    """Make one input available to an attempt.

    A single place that is mounted is used where it is, without a copy; what the step may change (download), what is
    gathered from several places or a glob, and a folder with links that lead out of it is copied into the attempt.

    :param in_place: the step runs on this machine and sees the same paths.
    :param fetches: the step's pod fetches by itself what is one place of an object store.
    :param identity: what the step's fingerprint says of the input's content; ``None``: it has none.
    :raises StepError: there is no such data.
    """
    stores = Stores(run.binding.workspace)
    dataset = dataset_of(run, source)
    if dataset is None:
        return _placed(run, attempt, source, stores, in_place, fetches)
    made: list[Path] = []
    try:
        with worded(dataset):
            if not is_written(dataset) and not is_selected(dataset):
                placed = _placed(run, attempt, source, stores, in_place, fetches)
            else:
                if dataset.query is not None and identity is not None and identity[0] == ANSWERED:
                    workspace, root = run.binding.workspace, run.binding.store.root
                    stores.answers[dataset.query] = kept(workspace, dataset.query, root, identity[1])
                private = attempt.inputs / source.name
                made = lay_out(stores, dataset, private)
                if not made:
                    raise StepError(
                        f"step {run.step.name!r}, input {source.name!r}: the operations on the dataset leave none of "
                        "its files. Change them, or the data."
                    )
                placed = _own(attempt, source, private, in_place)
            return replace(placed, dataset=described(stores, dataset, made))
    except DatasetError as error:
        raise StepError(f"step {run.step.name!r}, input {source.name!r}: {error}.") from None


def _placed(
    run: StepRun, attempt: AttemptFolder, source: StepInput, stores: Stores, in_place: bool, fetches: bool
) -> Placed:
    locations = locations_of(run, source)
    if is_single(locations):
        (single,) = locations
        store = stores(single.datastore)
        if store.local_root is not None:
            host = _existing(run, source, single, store)
            # A mount does not have what is outside of it.
            if source.mode is not DataMode.DOWNLOAD and (in_place or not lead_out(host)):
                return _used_where_it_is(run, attempt, source, single.datastore, host, in_place)
        private = attempt.inputs / source.name / (PurePosixPath(single.path).name or "data")
        if fetches and signs(store):
            return _fetched(run, attempt, source, store, single.path, private)
        _bring(run, source, store, single.path, private)
    else:
        private = attempt.inputs / source.name
        _gather(run, source, stores, locations, private)
    return _own(attempt, source, private, in_place)


def _fetched(run: StepRun, attempt: AttemptFolder, source: StepInput, store: Store, path: str, private: Path) -> Placed:
    """What a pod fetches by itself, to where it would find its own copy of the input."""
    place = normalized(path, store.name)
    items = store.items(place)
    if not place:
        items = [i for i in items if i.path.partition("/")[0] not in kept_by_runs(place)]
    if not items:
        raise _missing_input(
            run, source, DataLocation(datastore=store.name, path=path), f"looked for it at {store.url}"
        )
    if source.path_on_compute and not PurePosixPath(source.path_on_compute).is_absolute():
        private = attempt.code / source.path_on_compute
    inside = str(JOB_INSIDE / private.relative_to(attempt.path).as_posix())
    start = len(place) + 1 if place else 0
    found = [
        Fetched(
            input=source.name,
            datastore=store.name,
            path=item.path,
            size=item.size,
            target=inside if item.path == place else f"{inside}/{item.path[start:]}",
            private=source.mode is DataMode.DOWNLOAD,
        )
        for item in items
    ]
    return Placed(private, inside, fetched=tuple(found))


def _own(attempt: AttemptFolder, source: StepInput, private: Path, in_place: bool) -> Placed:
    """The attempt's own copy of an input."""
    if source.path_on_compute and not PurePosixPath(source.path_on_compute).is_absolute():
        wanted = attempt.code / source.path_on_compute
        wanted.parent.mkdir(parents=True, exist_ok=True)
        private = private.rename(wanted)
    relative = private.relative_to(attempt.path).as_posix()
    return Placed(private, str(private) if in_place else str(JOB_INSIDE / relative))


def _existing(run: StepRun, source: StepInput, place: DataLocation, store: Store) -> Path:
    host = store.local_path(place.path)
    if not host.exists():
        raise _missing_input(run, source, place, f"looked for {host}")
    return host


def _missing_input(run: StepRun, source: StepInput, place: DataLocation, where: str) -> StepError:
    """What to say when there is nothing where an input was to be."""
    origin = source.source
    if isinstance(origin, StepOutputSource):
        return StepError(
            f"step {run.step.name!r}, input {source.name!r}: step {origin.step!r} finished, but there is nothing at "
            f"its output {origin.output!r} (datastore {place.datastore!r}, path {place.path!r}). Make its script "
            "write to the path it is given."
        )
    return StepError(
        f"step {run.step.name!r}, input {source.name!r}: datastore {place.datastore!r} has no path {place.path!r} "
        f"({where}). {UPLOAD}"
    )


def _bring(run: StepRun, source: StepInput, store: Store, path: str, target: Path) -> None:
    """Bring what is at a path of a store to ``target``: from another machine by way of this machine's kept copies.

    :raises StepError: there is nothing.
    :raises PipelineError: the store cannot be read, what is there changes meanwhile, or there is no room for it.
    """
    if store.local_root is not None:
        copy(store.local_path(path), target, kept_by_runs(normalized(path, store.name)))
        return
    content = store.content(path)
    if content is None:
        raise _missing_input(
            run, source, DataLocation(datastore=store.name, path=path), f"looked for it at {store.url}"
        )
    workspace = run.binding.workspace
    with DigestCache(run.binding.digest_cache) as digests:
        cache = StageCache(workspace.state / "staged", memory_bytes(workspace.file.stage.max_size), digests)
        cache.bring(store, path, content, target, private=source.mode is DataMode.DOWNLOAD)


def _used_where_it_is(
    run: StepRun, attempt: AttemptFolder, source: StepInput, datastore: str, host: Path, in_place: bool
) -> Placed:
    wanted = PurePosixPath(source.path_on_compute) if source.path_on_compute else None
    if in_place:
        if wanted is not None and not wanted.is_absolute():
            link = attempt.code / wanted
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(host, target_is_directory=host.is_dir())
            return Placed(host, str(link))
        return Placed(host, str(host))
    if wanted is None:
        target = INSIDE / "inputs" / source.name / host.name if host.is_file() else INSIDE / "inputs" / source.name
    else:
        target = wanted if wanted.is_absolute() else JOB_INSIDE / "code" / wanted
    return Placed(host, str(target), mount(run, datastore, host, str(target), read_only=True))


def copy(source: Path, target: Path, without: Set[str] = frozenset()) -> None:
    """Copy a file or a folder. Links are followed; those that lead nowhere, or back up, are left out.

    :param without: names directly in the folder that are left out.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():

        def left_out(folder: str, names: list[str]) -> set[str]:
            # copytree's own ignore_dangling_symlinks looks for what a link leads to in the working directory.
            places = {name: os.path.join(folder, name) for name in names}
            useless = {name for name, place in places.items() if not os.path.exists(place) or _leads_up(place)}
            return useless | without if Path(folder) == source else useless

        shutil.copytree(source, target, ignore=left_out, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def _leads_up(place: str) -> bool:
    """Whether it is a link to a folder that it is in, in which one would find it again and again."""
    if not os.path.islink(place):
        return False
    inside = os.path.realpath(os.path.dirname(place))
    return f"{inside}/".startswith(os.path.realpath(place).rstrip("/") + "/")


def _gather(run: StepRun, source: StepInput, stores: Stores, locations: Sequence[DataLocation], target: Path) -> None:
    target.mkdir(parents=True)
    try:
        found = units(stores, locations)
    except NothingAtPlaceError as error:
        raise StepError(f"step {run.step.name!r}, input {source.name!r}: {error}. {UPLOAD}") from None
    for datastore, path, inner in found:
        _bring(run, source, stores(datastore), path, target / inner)


# --- outputs ----------------------------------------------------------------------------------------------------


def destination_of(run: StepRun, output: StepOutput) -> DataLocation:
    """Where an output is published in its datastore."""
    own = told_apart(run, output.datastore, run.step_run_id)
    path = output.destination.replace("{run-id}", own).replace("{output-name}", output.name)
    return DataLocation(datastore=output.datastore, path=path.strip("/"))


def told_apart(run: StepRun, datastore: str, identity: str) -> str:
    """The run's own part of a path: several Airflows, whose runs may have the same ids, write to one bucket."""
    if run.binding.workspace.datastore(datastore).local_root is not None:
        return identity
    return f"{identity}-{own_name(run.binding.store)[:8]}"


def staging_folder(run: StepRun, number: int, output: StepOutput) -> Path:
    """The private folder in, or beside, the output's own datastore in which attempt ``number`` writes it."""
    return _root(run, output.datastore) / STORE_FOLDER / "staging" / f"{run.step_run_id}-{number}" / output.name


def staged_path(run: StepRun, attempt: AttemptFolder, output: StepOutput) -> Path:
    """Where an attempt's output is on this machine before it is published."""
    relative = _relative_on_compute(output)
    if relative is not None:
        return attempt.code / relative
    return staging_folder(run, attempt.number, output) / output.name


def _relative_on_compute(output: StepOutput) -> PurePosixPath | None:
    """Where a script insists on writing, when that is below its working directory."""
    if not output.path_on_compute:
        return None
    path = PurePosixPath(output.path_on_compute)
    return None if path.is_absolute() else path


def place_output(run: StepRun, attempt: AttemptFolder, output: StepOutput, *, in_place: bool) -> Placed:
    """Prepare the place an attempt writes an output to."""
    folder = staging_folder(run, attempt.number, output)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    host = staged_path(run, attempt, output)
    if output.directory:
        host.mkdir(parents=True, exist_ok=True)
    if _relative_on_compute(output) is not None:
        host.parent.mkdir(parents=True, exist_ok=True)
        inside = str(host) if in_place else str(JOB_INSIDE / host.relative_to(attempt.path).as_posix())
        return Placed(host, inside)
    if in_place:
        return Placed(host, str(host))
    target = INSIDE / "outputs" / output.name
    return Placed(host, str(target / output.name), mount(run, output.datastore, folder, str(target), read_only=False))
