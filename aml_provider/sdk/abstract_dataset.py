"""What v1's datasets of files and tables share: where they are, what is done to them, their registered versions."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from aml_provider.datasets.verbs import LibraryMissingError, PartitionFormat, TableError, Verbs, combinations
from aml_provider.sdk import registry
from aml_provider.sdk.consumption import DatasetConsumptionConfig
from aml_provider.sdk.dataset_factory import FileDatasetFactory, TabularDatasetFactory
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import is_program
from aml_provider.sdk.unavailable import PartOfV1
from aml_provider.spec.errors import AmlError, NotSupportedError
from aml_provider.spec.models import DataLocation, DatasetSource
from aml_provider.spec.tables import TabularFormat

if TYPE_CHECKING:
    from aml_provider.datasets.access import Stores
    from aml_provider.sdk.workspace import Workspace

KIND = "datasets"
DatasetT = TypeVar("DatasetT", bound="AbstractDataset")


class AbstractDataset(PartOfV1, Verbs):
    """A dataset. Make one with ``Dataset.File.from_files`` or ``Dataset.Tabular.from_delimited_files``.

    Its methods read nothing and change nothing: each returns a new dataset, and the files are read when somebody asks
    for rows or files.
    """

    #: The way to file and tabular datasets.
    File: ClassVar[type[FileDatasetFactory]] = FileDatasetFactory
    Tabular: ClassVar[type[TabularDatasetFactory]] = TabularDatasetFactory
    DATASET_TYPE: ClassVar[str] = "file"

    def __init__(self) -> None:
        self._source = DatasetSource(dataset_type=self.DATASET_TYPE)  # type: ignore[arg-type]
        self.workspace: Any = None
        self._description: str | None = None
        self._tags: dict[str, str] = {}

    @classmethod
    def of(
        cls: type[DatasetT],
        workspace: Any,
        locations: Iterable[DataLocation],
        tabular: TabularFormat | None = None,
        **more: Any,
    ) -> DatasetT:
        """A dataset of these places."""
        made = cls()
        made.workspace = workspace
        made._source = made._source.model_copy(update={"locations": tuple(locations), "tabular": tabular, **more})
        return made

    @property
    def source(self) -> DatasetSource:
        """What it is, as data."""
        return self._source

    @property
    def locations(self) -> tuple[DataLocation, ...]:
        """The places that its files are at."""
        return self._source.locations

    @property
    def tabular(self) -> TabularFormat | None:
        """How its files are read as a table."""
        return self._source.tabular

    def _like(self: DatasetT, cls: type[Any] | None = None, **changes: Any) -> Any:
        """A dataset that differs in this, and is not registered."""
        made = (cls or type(self))()
        made.workspace = self.workspace
        kept = {"derived": self._source.name is not None, "dataset_type": made.DATASET_TYPE, **changes}
        made._source = self._source.model_copy(update=kept)
        return made

    def _then(self, operation: dict[str, Any]) -> Any:
        from aml_provider.spec.operations import canonical

        return self._like(operations=(*self._source.operations, *canonical([operation])))

    # --- what it is -----------------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:
        """``name:version`` of a registered dataset."""
        return None if self.name is None else f"{self.name}:{self.version}"

    @property
    def name(self) -> str | None:
        """The registered name."""
        return None if self._source.derived else self._source.name

    @property
    def version(self) -> int | None:
        """The registered version."""
        return None if self._source.derived else self._source.version

    @property
    def description(self) -> str | None:
        """The registered description."""
        return self._description

    @property
    def tags(self) -> dict[str, str]:
        """The registered tags."""
        return dict(self._tags)

    @property
    def data_changed_time(self) -> Any:
        """When the newest of its files was changed, in UTC; ``None`` while the file is parsed, and without files."""
        from datetime import datetime, timezone

        if not is_program():
            return None
        times = [file.modified for file in self._found() if file.modified is not None]
        return datetime.fromtimestamp(max(times), timezone.utc).replace(tzinfo=None) if times else None

    def as_named_input(self, name: str) -> DatasetConsumptionConfig:
        """The dataset as an input of a step."""
        return DatasetConsumptionConfig(name, self)

    def __repr__(self) -> str:
        places = ", ".join(f"{p.datastore}/{p.path}" for p in self.locations)
        return f"{type(self).__name__}({self.id or places or 'a query'})"

    # --- partitions -----------------------------------------------------------------------------------------

    @property
    def partition_keys(self) -> list[str]:
        """The keys of its ``partition_format``."""
        form = self._partition_format()
        return [] if form is None else list(PartitionFormat(form).keys)

    def get_partition_key_values(self, partition_keys: list[str] | None = None) -> list[dict[str, Any]]:
        """Each combination of values of its partition keys, once; none while the file is parsed.

        :raises UserErrorException: it has no such key.
        """
        if not is_program():
            return []
        with self._complaints():
            return combinations(self._found(), self._partition_format(), self._is_quoted(), partition_keys)

    def _partition_format(self) -> str | None:
        return self._source.partition_format

    def _is_quoted(self) -> bool:
        return False

    # --- registered versions --------------------------------------------------------------------------------

    @staticmethod
    def get_by_name(workspace: Workspace, name: str, version: Any = "latest", **kwargs: Any) -> Any:
        """A registered version of a dataset.

        :param version: a number, or ``latest``.
        :raises UserErrorException: there is no such dataset or version.
        """
        known = registry.versions(workspace, KIND, name)
        wanted = known[-1:] if version in ("latest", None) else [v for v in known if str(v[0]) == str(version)]
        if not wanted and known:
            raise UserErrorException(
                f"Dataset.get_by_name: dataset {name!r} of workspace {workspace.name!r} has no version {version}; it "
                f"has {', '.join(str(number) for number, _ in known)}."
            )
        if not wanted:
            raise UserErrorException(
                f"Dataset.get_by_name: workspace {workspace.name!r} has no dataset {name!r}; registered are "
                f"{registry.names(workspace, KIND) or 'none'}. Register it with dataset.register."
            )
        return restored(workspace, *wanted[0])

    @staticmethod
    def get_by_id(workspace: Workspace, id: str, **kwargs: Any) -> Any:
        """The registered dataset with this id (``name:version``)."""
        name, _, version = id.rpartition(":")
        if not name or not version.isdigit():
            raise UserErrorException(f"Dataset.get_by_id: {id!r} is no dataset id; ids look like 'digits:1'.")
        return AbstractDataset.get_by_name(workspace, name, int(version))

    @staticmethod
    def get_all(workspace: Workspace) -> dict[str, Any]:
        """Name -> newest version."""
        return {n: AbstractDataset.get_by_name(workspace, n) for n in registry.names(workspace, KIND)}

    def register(
        self: DatasetT,
        workspace: Workspace,
        name: str,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        create_new_version: bool = False,
    ) -> DatasetT:
        """Register under a name; done for good only when the file runs as a program.

        The version keeps the identity of every file, so that it can be said later when the data has changed. The same
        dataset with the same data, description and tags under the same name is not a new version.

        :raises UserErrorException: the name is taken by another dataset and ``create_new_version`` is false.
        """
        from aml_provider.sdk.dataset_registering import registered_version

        version = registered_version(self, workspace, name, description, tags, create_new_version)
        other = copy.copy(self)
        other._source = self._source.model_copy(update={"name": name, "version": version.number, "derived": False})
        other.workspace = workspace
        other._description, other._tags = version.description, version.tags
        return other

    def update(self: DatasetT, description: str | None = None, tags: dict[str, str] | None = None) -> DatasetT:
        """A registered version never changes.

        :raises NotSupportedError: always.
        """
        raise _unchangeable()

    def add_tags(self: DatasetT, tags: dict[str, str] | None = None) -> DatasetT:
        """A registered version never changes.

        :raises NotSupportedError: always.
        """
        raise _unchangeable()

    def remove_tags(self: DatasetT, tags: Any = None) -> DatasetT:
        """A registered version never changes.

        :raises NotSupportedError: always.
        """
        raise _unchangeable()

    def unregister_all_versions(self) -> None:
        """A registered version stays: runs refer to it.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError("Registered dataset versions stay, because runs refer to them; stop using the name.")

    # --- looking at the data (in a program) -----------------------------------------------------------------

    def _stores(self) -> Stores:
        from aml_provider.datasets.access import Stores

        return Stores(self.workspace.loaded)

    def _found(self) -> list[Any]:
        """Its files, in order, with what its operations choose of them."""
        from aml_provider.datasets.selection import files_of

        with self._complaints():
            return files_of(self._stores(), self._source)

    def _say_what_changed(self) -> None:
        """Warn when this is a registered version whose data is not what was registered."""
        if self._source.name is None:
            return
        from aml_provider.datasets.pinning import what_changed
        from aml_provider.storage.digest_cache import DigestCache

        # A few rows of much data: reading all of it only for a warning would take too long.
        quick = any(operation["op"] == "take" for operation in self._source.operations)
        try:
            with DigestCache(self.workspace.loaded.state / "cache") as cache:
                said = what_changed(self._stores(), self._source, cache, quick=quick)
        except (AmlError, OSError):
            return  # what is wrong with the data is said when it is read
        if said is not None:
            warnings.warn(f"{said}.", stacklevel=4)

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        """Around reading: what is wrong becomes a sentence that names the dataset."""
        try:
            yield
        except LibraryMissingError as problem:
            raise UserErrorException(
                f"{self!r}: {problem}; install it with: pip install 'airflow-provider-aml[tabular]'."
            ) from None
        except TableError as problem:
            raise UserErrorException(f"{self!r}: {problem}.") from None


def _unchangeable() -> NotSupportedError:
    return NotSupportedError("A registered dataset version cannot be changed; register a new version.")


def restored(workspace: Workspace, version: int, record: dict[str, Any]) -> AbstractDataset:
    """A registered version as the dataset that it is."""
    from aml_provider.datasets.records import from_record
    from aml_provider.sdk.file_dataset import FileDataset
    from aml_provider.sdk.tabular_dataset import TabularDataset

    source = from_record(record, version)
    made: AbstractDataset = TabularDataset() if source.dataset_type == "tabular" else FileDataset()
    made.workspace, made._source = workspace, source
    made._description, made._tags = record.get("description"), dict(record.get("tags") or {})
    return made
