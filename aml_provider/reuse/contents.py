"""What is in datastores: the identity of each place, looked at once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from aml_provider.datasets.access import Stores
from aml_provider.datasets.problems import worded
from aml_provider.datasets.queries import ANSWERED, keep
from aml_provider.datasets.resolving import dataset_of, locations_of
from aml_provider.datasets.selection import files_of, is_selected, told_by_paths, why_unknowable
from aml_provider.reuse.canonical import digest
from aml_provider.reuse.errors import UnknownIngredientError
from aml_provider.runs import sources
from aml_provider.runs.binding import StepRun
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import DataLocation, DatasetSource, StepInput, StepOutput, StepOutputSource, StoredOutput
from aml_provider.spec.tables import SqlQuery
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.storage.digests import Content
from aml_provider.storage.gathering import NothingAtPlaceError, arrangement, is_single, units
from aml_provider.storage.sql import dialect_of
from aml_provider.workspace.resolved import LoadedWorkspace

_log = logging.getLogger(__name__)


class Contents:
    """Identities of what is in a workspace's datastores, as they are now.

    A place is looked at once in the life of this object: for one plan, or one step.

    :param cache: digests of files that have not changed since somebody read them.
    """

    def __init__(self, workspace: LoadedWorkspace, cache: DigestCache | None = None) -> None:
        self.cache = cache
        self.store = Stores(workspace)
        self._seen: dict[tuple[str, str], Content | None] = {}
        self._answers: dict[SqlQuery, str] = {}
        self._databases: dict[str, bool] = {}

    def at(self, datastore: str, path: str) -> Content | None:
        """What is at a place; ``None``: nothing."""
        where = (datastore, path)
        if where not in self._seen:
            self._seen[where] = self.store(datastore).content(path, self.cache)
        return self._seen[where]

    def look_at(self, places: Iterable[tuple[str, str]]) -> None:
        """Look at many places with one question to each store, which may be far away.

        :param places: pairs of datastore and path.
        """
        wanted: dict[str, list[str]] = {}
        for datastore, path in places:
            if (datastore, path) not in self._seen:
                wanted.setdefault(datastore, []).append(path)
        for datastore, paths in wanted.items():
            unseen = list(dict.fromkeys(paths))
            try:
                found = self.store(datastore).contents(unseen, self.cache)
            except (AmlError, OSError) as e:
                # Which of them cannot be looked at, and why, is told when somebody asks for that one.
                _log.debug("%d places in datastore %r are looked at one by one: %s", len(unseen), datastore, e)
                continue
            self._seen.update(zip(((datastore, path) for path in unseen), found, strict=True))

    def is_table(self, place: DataLocation | StepOutput) -> bool:
        """Whether a place is in a database, where nobody looks at what is there."""
        name = place.datastore
        if name not in self._databases:
            self._databases[name] = dialect_of(self.store.workspace.datastore(name)) is not None
        return self._databases[name]

    def stored(self, place: DataLocation) -> StoredOutput:
        """An output at ``place`` with its identity, which a table has not."""
        content = None if self.is_table(place) else self.at(place.datastore, place.path)
        if content is None:
            return StoredOutput(datastore=place.datastore, path=place.path)
        return StoredOutput(
            datastore=place.datastore,
            path=place.path,
            digest=content.digest,
            files=content.files,
            bytes=content.bytes,
        )

    def of_input(self, run: StepRun, source: StepInput) -> Any:
        """What a step finds when it reads an input: contents and the names that it sees, not where they are kept.

        :raises UnknownIngredientError: there is nothing, or it cannot be looked at.
        """
        origin = source.source
        try:
            if isinstance(origin, StepOutputSource) and sources.only_says_where(origin):
                # As a dataset it is all files there, with nothing that its paths could tell besides.
                return self._found(run, source, None)
            dataset = dataset_of(run, source)
            unknown = None if dataset is None else why_unknowable(dataset)
            if unknown is not None:
                raise UnknownIngredientError(f"input {source.name!r} {unknown}")
            if dataset is None:
                return self._found(run, source, None)
            with worded(dataset):
                if dataset.query is not None:
                    return [ANSWERED, self._answer(run, dataset.query)]
                found = self._found(run, source, dataset)
                told = told_by_paths(self.store, dataset)
                return [*found[:-1], digest([told, found[-1]])] if told else found
        except UnknownIngredientError:
            raise
        except (AmlError, OSError) as e:
            raise UnknownIngredientError(f"input {source.name!r} cannot be looked at: {e}") from e

    def _answer(self, run: StepRun, query: SqlQuery) -> str:
        """The digest of what a database answers, which is kept for the step. It is asked once."""
        if query not in self._answers:
            self._answers[query] = keep(self.store.workspace, query, run.binding.store.root)
        return self._answers[query]

    def _found(self, run: StepRun, source: StepInput, dataset: DatasetSource | None) -> list[Any]:
        if dataset is not None and is_selected(dataset):
            chosen = files_of(self.store, dataset)
            return self._gathered(source, [(file.datastore, file.path, file.inner) for file in chosen])
        locations = sources.locations_of(run, source) if dataset is None else dataset.locations
        if not locations:
            raise UnknownIngredientError(f"input {source.name!r} is no files, so nobody can see whether it changes")
        if is_single(locations):
            return self._single(run, source, locations[0])
        try:
            return self._gathered(source, units(self.store, locations))
        except NothingAtPlaceError as e:
            raise UnknownIngredientError(
                f"input {source.name!r}: nothing in datastore {e.place.datastore!r} matches {e.place.path!r}"
            ) from None

    def _single(self, run: StepRun, source: StepInput, place: DataLocation) -> list[Any]:
        if self.is_table(place):
            raise UnknownIngredientError(
                f"input {source.name!r} is table {place.path!r} of datastore {place.datastore!r}, whose rows nobody "
                "compares; a query, by sql_query=, is compared by its answer"
            )
        content = self.at(place.datastore, place.path)
        if content is None:
            raise UnknownIngredientError(
                f"input {source.name!r}: there is nothing at {place.path!r} in datastore {place.datastore!r}"
            )
        # A step sees a single file under its own name, and a folder under the name of the input.
        return ["file", _file_name(run, source, place), content.digest] if content.is_file else ["tree", content.digest]

    def _gathered(self, source: StepInput, found: Sequence[tuple[str, str, str]]) -> list[Any]:
        files = digest(self._named(source, found))
        # Rows are read in the order of the places, and a random part of them depends on it.
        return ["gathered", files, digest([files, arrangement(found)])]

    def files_of(self, run: StepRun, source: StepInput, most: int) -> dict[str, str] | None:
        """What an input consists of: the identity of each file, and of each folder of several places, by its name.

        :param most: how many files may be listed.
        :return: ``None``: there are more, or nothing.
        :raises AmlError: that is not known; :raises OSError: it cannot be looked at.
        """
        dataset = dataset_of(run, source)
        if dataset is not None and is_selected(dataset):
            chosen = files_of(self.store, dataset)
            return self._named(source, [(file.datastore, file.path, file.inner) for file in chosen])
        locations = locations_of(run, source)
        if not is_single(locations):
            return self._named(source, units(self.store, locations))
        (place,) = locations
        there = self.at(place.datastore, place.path)
        few = there is not None and there.files <= most
        return self.store(place.datastore).identities(place.path, self.cache) if few else None

    def _named(self, source: StepInput, found: Sequence[tuple[str, str, str]]) -> dict[str, str]:
        """Identities of what a step finds in one folder; ``(datastore, path, name)`` of each."""
        names: dict[str, str] = {}
        for datastore, path, name in found:
            content = self.at(datastore, path)
            if content is None:
                raise UnknownIngredientError(
                    f"input {source.name!r}: {path!r} in datastore {datastore!r} has just gone"
                )
            names[name] = content.digest
        return names


def _file_name(run: StepRun, source: StepInput, place: DataLocation) -> str | None:
    """The name that a step sees a file under, as far as somebody chose it."""
    origin = source.source
    if not isinstance(origin, StepOutputSource):
        return place.path.rpartition("/")[2]
    output = next(o for o in run.binding.steps[origin.step].outputs if o.name == origin.output)
    last = output.destination.rstrip("/").rpartition("/")[2]
    return last if output.generated else last.replace("{output-name}", output.name)
