"""v1 datasets: one or more places in datastores, read as files or as a table."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from aml_provider.sdk import registry
from aml_provider.sdk.consumption import DatasetConsumptionConfig
from aml_provider.sdk.dataset_factory import FileDatasetFactory, TabularDatasetFactory
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import is_program
from aml_provider.sdk.unavailable import PartOfV1
from aml_provider.spec.errors import NotSupportedError
from aml_provider.spec.models import DataLocation, TabularFormat

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace

KIND = "datasets"
DatasetT = TypeVar("DatasetT", bound="AbstractDataset")


class AbstractDataset(PartOfV1):
    """A dataset. Make one with ``Dataset.File.from_files`` or ``Dataset.Tabular.from_delimited_files``."""

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "get_partition_key_values": "partition_format is not supported in this version",
        "partition_keys": "partition_format is not supported in this version",
        "data_changed_time": "look at the files' times in the datastore",
    }

    #: The way to file and tabular datasets.
    File: ClassVar[type[FileDatasetFactory]] = FileDatasetFactory
    Tabular: ClassVar[type[TabularDatasetFactory]] = TabularDatasetFactory
    DATASET_TYPE: ClassVar[str] = "file"

    def __init__(self) -> None:
        self.locations: tuple[DataLocation, ...] = ()
        self.workspace: Any = None
        self.tabular: TabularFormat | None = None
        self._name: str | None = None
        self._version: int | None = None
        self._description: str | None = None
        self._tags: dict[str, str] = {}
        #: ``(skip, take)`` of a part of the files; only a program can look which files those are.
        self.window: tuple[int, int | None] | None = None

    @classmethod
    def of(
        cls: type[DatasetT],
        workspace: Any,
        locations: Iterable[DataLocation],
        tabular: TabularFormat | None = None,
    ) -> DatasetT:
        """A dataset of these places."""
        made = cls()
        made.workspace, made.locations, made.tabular = workspace, tuple(locations), tabular
        return made

    # --- what it is -----------------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:
        """``name:version`` of a registered dataset."""
        return None if self._name is None else f"{self._name}:{self._version}"

    @property
    def name(self) -> str | None:
        """The registered name."""
        return self._name

    @property
    def version(self) -> int | None:
        """The registered version."""
        return self._version

    @property
    def description(self) -> str | None:
        """The registered description."""
        return self._description

    @property
    def tags(self) -> dict[str, str]:
        """The registered tags."""
        return dict(self._tags)

    def as_named_input(self, name: str) -> DatasetConsumptionConfig:
        """The dataset as an input of a step."""
        return DatasetConsumptionConfig(name, self)

    def __repr__(self) -> str:
        places = ", ".join(f"{p.datastore}/{p.path}" for p in self.locations)
        return f"{type(self).__name__}({self.id or places})"

    # --- registered versions --------------------------------------------------------------------------------

    @staticmethod
    def get_by_name(workspace: Workspace, name: str, version: Any = "latest", **kwargs: Any) -> Any:
        """A registered version of a dataset.

        :param version: a number, or ``latest``.
        :raises UserErrorException: there is no such dataset or version.
        """
        known = registry.versions(workspace, KIND, name)
        wanted = known[-1:] if version in ("latest", None) else [v for v in known if v[0] == int(version)]
        if not wanted:
            raise UserErrorException(
                f"Dataset.get_by_name: workspace {workspace.name!r} has no dataset {name!r} version {version}; "
                f"registered are {registry.names(workspace, KIND) or 'none'}. Register it with dataset.register."
            )
        return _restored(workspace, *wanted[0])

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

        The same content under the same name is not a new version.

        :raises UserErrorException: the name is taken by another content and ``create_new_version`` is false.
        """
        content = {
            "type": self.DATASET_TYPE,
            "locations": [place.model_dump() for place in self.locations],
            "tabular": None if self.tabular is None else self.tabular.model_dump(),
        }
        _no_window(self, "register")
        known = registry.versions(workspace, KIND, name)
        last = known[-1] if known else None
        if last is not None and all(last[1].get(key) == value for key, value in content.items()):
            version = last[0]
        elif last is not None and not create_new_version:
            raise UserErrorException(
                f"Dataset.register: {name!r} is registered with other content; pass create_new_version=True."
            )
        else:
            version = registry.add(
                workspace, KIND, name, {**content, "description": description, "tags": dict(tags or {})}
            )
        other = copy.copy(self)
        other._name, other._version, other.workspace = name, version, workspace
        other._description, other._tags = description, dict(tags or {})
        return other

    def update(self: DatasetT, description: str | None = None, tags: dict[str, str] | None = None) -> DatasetT:
        """A registered version never changes.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError("A registered dataset version cannot be changed; register a new version.")

    def add_tags(self: DatasetT, tags: dict[str, str] | None = None) -> DatasetT:
        """A registered version never changes.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError("A registered dataset version cannot be changed; register a new version.")

    def remove_tags(self: DatasetT, tags: Any = None) -> DatasetT:
        """A registered version never changes.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError("A registered dataset version cannot be changed; register a new version.")

    def unregister_all_versions(self) -> None:
        """A registered version stays: runs refer to it.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError("Registered dataset versions stay, because runs refer to them; stop using the name.")

    # --- looking at the data (in a program) -----------------------------------------------------------------

    def _files(self) -> list[tuple[Any, str]]:
        """``(store, path)`` of every file, in order."""
        from aml_provider.sdk.datastore import datastore_object

        found: list[tuple[Any, str]] = []
        for place in self.locations:
            store = datastore_object(self.workspace, place.datastore).store
            found += [(store, path) for path in store.glob(place.path)]
        skip, take = self.window or (0, None)
        return found[skip:] if take is None else found[skip : skip + take]

    def _part(self: DatasetT, skip: int, take: int | None) -> DatasetT:
        before, limit = self.window or (0, None)
        left = None if limit is None else max(limit - skip, 0)
        other = copy.copy(self)
        other.window = (before + skip, take if left is None else left if take is None else min(left, take))
        return other


def _no_window(dataset: AbstractDataset, what: str) -> None:
    if dataset.window is not None:
        raise NotSupportedError(
            f"{what}: a dataset after skip() or take() cannot be kept or given to a step in this version; "
            "use a path pattern that matches only the files you want."
        )


def _restored(workspace: Workspace, version: int, record: dict[str, Any]) -> AbstractDataset:
    kind: type[AbstractDataset] = TabularDataset if record["type"] == "tabular" else FileDataset
    form = record.get("tabular")
    made = kind.of(
        workspace,
        [DataLocation(**place) for place in record["locations"]],
        None if form is None else TabularFormat(**form),
    )
    made._name, made._version = record["name"], version
    made._description, made._tags = record.get("description"), dict(record.get("tags") or {})
    return made


class FileDataset(AbstractDataset):
    """Files in datastores."""

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "mount": "a datastore that is a local folder needs no mount; use to_path or download",
        "take_sample": "use a path pattern",
        "random_split": "split in a step's script",
        "file_metadata": "look at the files in a step's script",
        "filter": "use a path pattern",
        "as_cache": "there is no cache service",
        "hydrate": "there is no cache service",
    }

    def to_path(self) -> list[str]:
        """The files' paths in their datastores, each with a leading slash; empty while the file is parsed."""
        return [f"/{path}" for _, path in self._files()] if is_program() else []

    def download(
        self, target_path: str | None = None, overwrite: bool = False, ignore_not_found: bool = False
    ) -> list[str]:
        """Copy the files below ``target_path`` (default: a new temporary folder); nothing while the file is parsed.

        :return: the copies' paths.
        :raises UserErrorException: a target exists and ``overwrite`` is false, or there are no files.
        """
        if not is_program():
            return []
        if target_path is None:
            import tempfile

            target_path = tempfile.mkdtemp(prefix="dataset-")
        files = self._files()
        if not files and not ignore_not_found:
            raise UserErrorException(f"{self!r}: there are no files to download.")
        base = _common_folder([path for _, path in files])
        copies = []
        for store, path in files:
            target = Path(target_path) / path[len(base) :].lstrip("/")
            if target.exists() and not overwrite:
                raise UserErrorException(f"{target} exists; pass overwrite=True or another target_path.")
            store.download_path(path, target, overwrite)
            copies.append(str(target))
        return copies

    def as_mount(self, path_on_compute: str | None = None) -> DatasetConsumptionConfig:
        """The dataset as an input without a name of its own, mounted on the compute."""
        return DatasetConsumptionConfig(None, self, "mount", path_on_compute)

    def as_download(self, path_on_compute: str | None = None) -> DatasetConsumptionConfig:
        """The dataset as an input without a name of its own, copied to the compute before the step."""
        return DatasetConsumptionConfig(None, self, "download", path_on_compute)

    def as_hdfs(self) -> DatasetConsumptionConfig:
        """The dataset as an input of a Spark step."""
        return DatasetConsumptionConfig(None, self, "hdfs")

    def skip(self, count: int) -> FileDataset:
        """The files after the first ``count``; for looking at them, not for steps."""
        return self._part(count, None)

    def take(self, count: int) -> FileDataset:
        """The first ``count`` files; for looking at them, not for steps."""
        return self._part(0, count)


def _common_folder(paths: list[str]) -> str:
    folders = [path.rpartition("/")[0] for path in paths]
    return os.path.commonpath(folders) if folders and all(folders) else ""


class TabularDataset(AbstractDataset):
    """Files in datastores, read as one table."""

    DATASET_TYPE: ClassVar[str] = "tabular"
    NOT_BUILT: ClassVar[dict[str, str]] = dict.fromkeys(
        (
            *("with_timestamp_columns", "timestamp_columns", "to_dask_dataframe", "to_spark_dataframe", "skip", "take"),
            *("take_sample", "random_split", "keep_columns", "partition_by", "filter", "drop_columns"),
            *("to_parquet_files", "to_csv_files", "time_before", "time_after", "time_recent", "time_between"),
            *("submit_profile_run", "get_profile", "get_profile_runs", "download", "mount"),
        ),
        "transform the table in a step's script",
    )

    def to_pandas_dataframe(self, on_error: str = "null", out_of_range_datetime: str = "null") -> Any:
        """The table as a pandas data frame; a null object while the file is parsed.

        :raises UserErrorException: there are no files.
        """
        if not is_program():
            from aml_provider.sdk.null import NULL

            return NULL
        import pandas as pd  # type: ignore[import-untyped]

        form = self.tabular or TabularFormat(format="delimited")
        files = [store.local_path(path) for store, path in self._files()]
        if not files:
            raise UserErrorException(f"{self!r}: there are no files to read.")
        if form.format == "parquet":
            frames = [pd.read_parquet(file) for file in files]
        elif form.format == "json_lines":
            frames = [pd.read_json(file, lines=True, encoding=form.encoding) for file in files]
        else:
            header: Any = 0 if form.header else None
            frames = [pd.read_csv(f, sep=form.separator, header=header, encoding=form.encoding) for f in files]
            if not form.header:  # v1 names such columns Column1, Column2, ...
                frames = [frame.set_axis([f"Column{i + 1}" for i in range(frame.shape[1])], axis=1) for frame in frames]
        return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


class Dataset(AbstractDataset):
    """The way to datasets: ``Dataset.File``, ``Dataset.Tabular``, ``Dataset.get_by_name``.

    v1's methods of the years before ``File`` and ``Tabular`` do not exist.
    """

    def __init__(self, definition: Any, workspace: Any = None, name: str | None = None, id: str | None = None) -> None:
        raise NotSupportedError("Dataset(...) cannot be made directly; use Dataset.File.from_files(...).")

    @staticmethod
    def get(workspace: Workspace, name: str | None = None, id: str | None = None) -> Any:
        """A registered dataset by name or id."""
        if name is not None:
            return AbstractDataset.get_by_name(workspace, name)
        return AbstractDataset.get_by_id(workspace, id or "")

    @staticmethod
    def list(workspace: Workspace) -> Any:
        """The newest version of every registered dataset."""
        return [*AbstractDataset.get_all(workspace).values()]
