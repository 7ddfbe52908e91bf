"""v1 output datasets: ``OutputFileDatasetConfig`` and what is made of it."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from aml_provider.sdk.consumption import DIRECT_MODE, MOUNT_MODE, DatasetConsumptionConfig
from aml_provider.sdk.datapath import check_mode
from aml_provider.sdk.dataset_types import PromoteHeadersBehavior
from aml_provider.sdk.identity import Identity, clean_path
from aml_provider.sdk.table_verbs import table_verbs
from aml_provider.spec.errors import NotSupportedError, PipelineError
from aml_provider.spec.models import Registration
from aml_provider.spec.names import check_data_name
from aml_provider.spec.tables import TabularFormat

DEFAULT_DESTINATION = "dataset/{run-id}/{output-name}"

Output = TypeVar("Output", bound="OutputDatasetConfig")


class UploadOptions:
    """How an output is copied to its datastore.

    :param source_globs: only files that match one of these are copied.
    """

    def __init__(self, overwrite: bool = False, source_globs: list[str] | None = None) -> None:
        self.overwrite = overwrite
        self.source_globs = source_globs


class MountOptions:
    """How an output is mounted; the option has no effect here."""

    def __init__(self, disable_metadata_cache: bool = False) -> None:
        self.disable_metadata_cache = disable_metadata_cache


class RegistrationConfiguration:
    """A dataset version to register when the step has succeeded."""

    def __init__(self, name: str, description: str | None, tags: dict[str, str] | None) -> None:
        self.name = name
        self.description = description
        self.tags = tags


class OutputDatasetConfig:
    """A dataset that a step writes. The methods return a new object that means the same output."""

    def __init__(self, mode: str, name: str | None = None, **kwargs: Any) -> None:
        if name is not None:
            check_data_name(name, "An output dataset")
        self.mode = check_mode(mode, f"Output dataset {name!r}")
        self.identity = Identity(name)
        self.registration: Registration | None = None

    @property
    def name(self) -> Any:
        """The output's name; ``None`` lets the builder name it by its place."""
        return self.identity.name

    @name.setter
    def name(self, name: str) -> None:
        self.identity.name = check_data_name(name, "An output dataset")

    def register_on_complete(
        self: Output, name: str, description: str | None = None, tags: dict[str, str] | None = None
    ) -> Output:
        """The same output, registered as a dataset version when the step has succeeded."""
        if not isinstance(name, str) or not name:
            raise PipelineError(f"register_on_complete: the dataset's name is {name!r}, but must be text.")
        other = copy.copy(self)
        other.registration = Registration(name=name, description=description, tags=dict(tags or {}))
        return other

    def as_input(self, name: str | None = None) -> Any:
        """The output as an input of a later step, mounted there."""
        return DatasetConsumptionConfig(name, self, mode=MOUNT_MODE)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.identity.name!r})"


class TransformationMixin:
    """Reading a file output as a table."""

    def read_delimited_files(
        self,
        include_path: bool = False,
        separator: str = ",",
        header: Any = PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS,
        partition_format: str | None = None,
        path_glob: str | None = None,
        set_column_types: dict[str, Any] | None = None,
    ) -> OutputTabularDatasetConfig:
        """The output as a table of its delimited files."""
        return _as_table(
            self,
            "read_delimited_files",
            format="delimited",
            include_path=bool(include_path),
            separator=separator,
            header=header,
            partition_format=partition_format,
            path_glob=path_glob,
            set_column_types=set_column_types,
        )

    def read_parquet_files(
        self,
        include_path: bool = False,
        partition_format: str | None = None,
        path_glob: str | None = None,
        set_column_types: dict[str, Any] | None = None,
    ) -> OutputTabularDatasetConfig:
        """The output as a table of its Parquet files."""
        return _as_table(
            self,
            "read_parquet_files",
            format="parquet",
            include_path=bool(include_path),
            partition_format=partition_format,
            path_glob=path_glob,
            set_column_types=set_column_types,
        )


def _as_table(output: Any, method: str, **options: Any) -> OutputTabularDatasetConfig:
    from aml_provider.sdk.table_options import tabular_format

    return OutputTabularDatasetConfig(source=output, tabular=tabular_format(method, **options))


class OutputFileDatasetConfig(OutputDatasetConfig, TransformationMixin):
    """Files that a step writes into a directory that exists when the script starts.

    :param name: name of the output and of the environment variable with the path.
    :param destination: ``(datastore, path)``; the path may hold ``{run-id}`` and ``{output-name}``. Default: the
        default datastore, ``dataset/{run-id}/{output-name}``.
    :param source: path on the compute that the script writes to.
    """

    def __init__(
        self,
        name: str | None = None,
        destination: Any = None,
        source: str | None = None,
        partition_format: str | None = None,
    ) -> None:
        super().__init__(MOUNT_MODE, name)
        if partition_format:
            raise NotSupportedError("OutputFileDatasetConfig: partition_format is not supported in this version.")
        self.destination = _destination(name, destination)
        self.source = source
        self.overwrite = False
        self.source_globs: tuple[str, ...] = ()

    def as_mount(self, disable_metadata_cache: bool = False) -> OutputFileDatasetConfig:
        """The same output, written straight to the datastore."""
        other = copy.copy(self)
        other.mode = "mount"
        return other

    def as_upload(self, overwrite: bool = False, source_globs: Any = None) -> OutputFileDatasetConfig:
        """The same output, copied to the datastore when the step has ended.

        :param source_globs: only files that match one of these are copied.
        """
        other = copy.copy(self)
        other.mode, other.overwrite = "upload", bool(overwrite)
        other.source_globs = (source_globs,) if isinstance(source_globs, str) else tuple(source_globs or ())
        return other

    def as_input(self, name: str | None = None) -> DatasetConsumptionConfig:
        """The output as an input of a later step, mounted there."""
        return DatasetConsumptionConfig(name, self, mode=MOUNT_MODE)


def _destination(name: str | None, destination: Any) -> tuple[Any, str]:
    """``(datastore object or None for the default one, path)``."""
    if destination is None:
        return None, DEFAULT_DESTINATION
    if hasattr(destination, "datastore_type"):
        return destination, DEFAULT_DESTINATION
    if (
        not isinstance(destination, (tuple, list))
        or len(destination) != 2
        or not hasattr(destination[0], "datastore_type")
    ):
        raise PipelineError(
            f"OutputFileDatasetConfig {name!r}: destination is {destination!r}, but must be (datastore, path), "
            "for example (ws.get_default_datastore(), 'prepared/{run-id}')."
        )
    return destination[0], clean_path(destination[1]) or DEFAULT_DESTINATION


class OutputTabularDatasetConfig(OutputDatasetConfig):
    """A step's file output, read as a table; made by ``read_delimited_files`` and ``read_parquet_files``."""

    def __init__(self, **kwargs: Any) -> None:
        source = kwargs["source"]
        super().__init__(DIRECT_MODE)
        #: The same data as the files that it is read from.
        self.identity = source.identity
        self.source = source
        self.tabular: TabularFormat = kwargs["tabular"]
        self.operations: tuple[dict[str, Any], ...] = ()
        self.registration = source.registration

    def as_input(self, name: str | None = None) -> DatasetConsumptionConfig:
        """The table as an input of a later step: the script gets a dataset."""
        return DatasetConsumptionConfig(name, self, mode=DIRECT_MODE)

    def as_mount(self) -> OutputTabularDatasetConfig:
        """The same table, its files mounted."""
        other = copy.copy(self)
        other.mode = "mount"
        return other

    def as_upload(self, overwrite: bool = False, source_globs: Any = None) -> OutputTabularDatasetConfig:
        """The same table, its files copied to the datastore when the step has ended."""
        other = copy.copy(self)
        other.source = self.source.as_upload(overwrite, source_globs)
        return other

    def keep_columns(self, columns: Any) -> OutputTabularDatasetConfig:
        """Only these columns."""
        kept: OutputTabularDatasetConfig = table_verbs(self).keep_columns(columns)
        return kept

    def drop_columns(self, columns: Any) -> OutputTabularDatasetConfig:
        """All columns but these."""
        left: OutputTabularDatasetConfig = table_verbs(self).drop_columns(columns)
        return left

    def random_split(self, percentage: float, seed: int | None = None) -> Any:
        """Two tables that have every row once; the first has about ``percentage`` (0.0 to 1.0) of them."""
        return table_verbs(self).random_split(percentage, seed)
