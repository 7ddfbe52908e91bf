"""v1 pipeline data: ``PipelineData``, port bindings, and pipeline datasets."""

from __future__ import annotations

import copy
from typing import Any

from aml_provider.sdk.datapath import check_mode
from aml_provider.sdk.dataset_types import PromoteHeadersBehavior
from aml_provider.sdk.identity import Identity
from aml_provider.sdk.table_verbs import table_verbs
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import Registration
from aml_provider.spec.names import check_data_name, data_name_part
from aml_provider.spec.tables import TabularFormat

DEFAULT_DESTINATION = "azureml/{run-id}/{output-name}"


class PipelineData:
    """Data that a step hands to later steps: the script gets a path and creates a file or a directory there.

    ``str()`` gives ``$AZUREML_DATAREFERENCE_<name>``, which is also the environment variable with the path.

    :param name: letters, digits, underscores.
    :param datastore: where it is kept; default: the pipeline's default datastore.
    :param output_name: the output port's name, default ``name``.
    :param pipeline_output_name: name for ``PipelineRun.get_pipeline_output``.
    """

    def __init__(
        self,
        name: str,
        datastore: Any = None,
        output_name: str | None = None,
        output_mode: str = "mount",
        output_path_on_compute: str | None = None,
        output_overwrite: bool | None = None,
        data_type: Any = None,
        is_directory: bool | None = None,
        pipeline_output_name: str | None = None,
        training_output: Any = None,
    ) -> None:
        self._name = check_data_name(name, "PipelineData")
        if training_output is not None:
            raise PipelineError(f"PipelineData {name!r}: training_output belongs to AutoML, which does not exist here.")
        self._datastore = datastore
        self.output_name = check_data_name(output_name or name, "An output")
        self.mode = check_mode(output_mode or "mount", f"PipelineData {name!r}")
        self.path_on_compute = output_path_on_compute
        self.overwrite = bool(output_overwrite)
        self._data_type = data_type
        self.is_directory = is_directory
        self.pipeline_output_name = pipeline_output_name
        self.identity = Identity(name)
        #: Where in the datastore it is kept.
        self._destination = DEFAULT_DESTINATION

    @property
    def name(self) -> str:
        """The data's name."""
        return self._name

    @property
    def datastore(self) -> Any:
        """Where it is kept, ``None`` for the default datastore."""
        return self._datastore

    @property
    def data_type(self) -> Any:
        """Kept as it was given."""
        return self._data_type

    def as_download(
        self, input_name: str | None = None, path_on_compute: str | None = None, overwrite: bool | None = None
    ) -> InputPortBinding:
        """The data as an input, copied to the compute before the step."""
        return self.create_input_binding(input_name, "download", path_on_compute, overwrite)

    def as_mount(self, input_name: str | None = None) -> InputPortBinding:
        """The data as an input, mounted on the compute."""
        return self.create_input_binding(input_name, "mount")

    def as_input(self, input_name: str) -> InputPortBinding:
        """The data as an input of another name."""
        return self.create_input_binding(input_name)

    def create_input_binding(
        self,
        input_name: str | None = None,
        mode: str | None = None,
        path_on_compute: str | None = None,
        overwrite: bool | None = None,
    ) -> InputPortBinding:
        """The data as an input."""
        return InputPortBinding(input_name or self._name, self, mode or "mount", path_on_compute, overwrite)

    def get_env_variable_name(self) -> str:
        """Name of the environment variable with the path."""
        return f"AZUREML_DATAREFERENCE_{self._name}"

    def as_dataset(self) -> PipelineOutputFileDataset:
        """The data as a file dataset of the consuming step."""
        return PipelineOutputFileDataset(self)

    def __str__(self) -> str:
        return f"${self.get_env_variable_name()}"

    def __repr__(self) -> str:
        return str(self)


class InputPortBinding:
    """A named input of a step.

    :param bind_object: what is read: ``PipelineData``, ``OutputPortBinding``, ``DataReference``, a dataset input.
    """

    def __init__(
        self,
        name: str,
        bind_object: Any = None,
        bind_mode: str = "mount",
        path_on_compute: str | None = None,
        overwrite: bool | None = None,
        is_resource: bool = False,
        additional_transformations: Any = None,
        **kwargs: Any,
    ) -> None:
        self.name = check_data_name(name, "An input")
        if bind_object is None:
            raise PipelineError(f"InputPortBinding {name!r}: bind_object is missing; give the data that it reads.")
        self.bind_object = bind_object
        self.bind_mode = check_mode(bind_mode, f"InputPortBinding {name!r}")
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite
        self.is_resource = is_resource
        self.additional_transformations = additional_transformations

    @property
    def data_type(self) -> Any:
        """The data's type, as it was given."""
        return self.get_bind_object_data_type()

    @property
    def data_reference_name(self) -> str:
        """Name of the environment variable's last part."""
        return self.name

    def get_bind_object_name(self) -> str:
        """Name of what is read."""
        return str(getattr(self.bind_object, "data_reference_name", getattr(self.bind_object, "name", "")))

    def get_bind_object_data_type(self) -> Any:
        """The data's type, as it was given."""
        return getattr(self.bind_object, "data_type", None)

    def as_resource(self) -> InputPortBinding:
        """The same input as a resource: a file beside the script.

        :raises PipelineError: always, in this version.
        """
        raise PipelineError(f"Input {self.name!r}: as_resource() is not supported in this version; read its path.")

    def __str__(self) -> str:
        return f"$AZUREML_DATAREFERENCE_{self.name}"

    def __repr__(self) -> str:
        return f"InputPortBinding({self.name!r}, {self.bind_object!r})"


class OutputPortBinding:
    """A named output of a step; the parameters mean what those of :class:`PipelineData` mean."""

    def __init__(
        self,
        name: str,
        datastore: Any = None,
        output_name: str | None = None,
        bind_mode: str = "mount",
        path_on_compute: str | None = None,
        is_directory: bool | None = None,
        overwrite: bool | None = None,
        data_type: Any = None,
        pipeline_output_name: str | None = None,
        training_output: Any = None,
        dataset_registration: Any = None,
        dataset_output: Any = None,
    ) -> None:
        self._name = check_data_name(name, "An output")
        if training_output is not None or dataset_output is not None:
            raise PipelineError(f"OutputPortBinding {name!r}: training_output and dataset_output are not supported.")
        self.datastore = datastore
        self.output_name = check_data_name(output_name or name, "An output")
        self.mode = check_mode(bind_mode, f"OutputPortBinding {name!r}")
        self.path_on_compute = path_on_compute
        self.is_directory = is_directory
        self.overwrite = bool(overwrite)
        self.data_type = data_type
        self.pipeline_output_name = pipeline_output_name
        self.training_output = None
        self.dataset_registration = dataset_registration
        self.identity = Identity(name)

    @property
    def name(self) -> str:
        """The output's name."""
        return self._name

    @property
    def bind_mode(self) -> str:
        """``mount`` or ``upload``."""
        return self.mode

    def __str__(self) -> str:
        return f"$AZUREML_DATAREFERENCE_{self._name}"

    def __repr__(self) -> str:
        return f"OutputPortBinding({self._name!r})"


class PipelineOutputAbstractDataset:
    """A step's output as a dataset."""

    def __init__(self, pipeline_data: PipelineData) -> None:
        self.pipeline_data = pipeline_data
        self.identity = pipeline_data.identity
        self._input_name: str | None = None
        self.mode = "mount"
        self.path_on_compute: str | None = None
        self.registration: Registration | None = None
        self.tabular: TabularFormat | None = None
        self.operations: tuple[dict[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The data's name."""
        return self.pipeline_data.name

    @property
    def input_name(self) -> str | None:
        """The name that ``as_named_input`` gave."""
        return self._input_name

    def register(self, name: str, create_new_version: bool = True) -> Any:
        """The same dataset, registered when the step has succeeded."""
        other = copy.copy(self)
        other.registration = Registration(name=name)
        return other

    def as_named_input(self, name: str) -> Any:
        """The same dataset under this input name."""
        other = copy.copy(self)
        other._input_name = check_data_name(name, "A dataset input")
        return other

    def create_input_binding(self) -> InputPortBinding:
        """The dataset as an input."""
        return InputPortBinding(self._input_name or self.name, self, self.mode, self.path_on_compute)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


class PipelineOutputFileDataset(PipelineOutputAbstractDataset):
    """A step's output as a file dataset."""

    def _in_mode(self, mode: str, path_on_compute: str | None) -> PipelineOutputFileDataset:
        other = copy.copy(self)
        other.mode, other.path_on_compute = mode, path_on_compute
        return other

    def as_download(self, path_on_compute: str | None = None) -> PipelineOutputFileDataset:
        """The same dataset, copied to the compute before the step."""
        return self._in_mode("download", path_on_compute)

    def as_mount(self, path_on_compute: str | None = None) -> PipelineOutputFileDataset:
        """The same dataset, mounted on the compute."""
        return self._in_mode("mount", path_on_compute)

    def as_direct(self) -> PipelineOutputFileDataset:
        """The same dataset, given to the script as a dataset object."""
        return self._in_mode("direct", None)

    def parse_delimited_files(
        self,
        include_path: bool = False,
        separator: str = ",",
        header: Any = PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS,
        partition_format: str | None = None,
        file_extension: str = "",
        set_column_types: dict[str, Any] | None = None,
        quoted_line_breaks: bool = False,
    ) -> PipelineOutputTabularDataset:
        """The output as a table of its delimited files."""
        from aml_provider.sdk.table_options import tabular_format

        form = tabular_format(
            "parse_delimited_files",
            format="delimited",
            include_path=bool(include_path),
            separator=separator,
            header=header,
            partition_format=partition_format,
            path_glob=f"**/*{file_extension}" if file_extension else None,
            set_column_types=set_column_types,
        )
        return PipelineOutputTabularDataset(self, form)

    def parse_parquet_files(
        self,
        include_path: bool = False,
        partition_format: str | None = None,
        file_extension: str = ".parquet",
        set_column_types: dict[str, Any] | None = None,
    ) -> PipelineOutputTabularDataset:
        """The output as a table of its Parquet files."""
        from aml_provider.sdk.table_options import tabular_format

        form = tabular_format(
            "parse_parquet_files",
            format="parquet",
            include_path=bool(include_path),
            partition_format=partition_format,
            path_glob=f"**/*{file_extension}" if file_extension else None,
            set_column_types=set_column_types,
        )
        return PipelineOutputTabularDataset(self, form)


class PipelineOutputTabularDataset(PipelineOutputAbstractDataset):
    """A step's output, read as a table."""

    def __init__(self, pipeline_output_dataset: PipelineOutputFileDataset, additional_transformations: Any) -> None:
        super().__init__(pipeline_output_dataset.pipeline_data)
        self._input_name = pipeline_output_dataset.input_name
        self.registration = pipeline_output_dataset.registration
        self.mode = "direct"
        self.tabular = additional_transformations

    def keep_columns(self, columns: Any) -> PipelineOutputTabularDataset:
        """Only these columns."""
        kept: PipelineOutputTabularDataset = table_verbs(self).keep_columns(columns)
        return kept

    def drop_columns(self, columns: Any) -> PipelineOutputTabularDataset:
        """All columns but these."""
        left: PipelineOutputTabularDataset = table_verbs(self).drop_columns(columns)
        return left

    def random_split(self, percentage: float, seed: int | None = None) -> Any:
        """Two tables that have every row once; the first has about ``percentage`` (0.0 to 1.0) of them."""
        return table_verbs(self).random_split(percentage, seed)


class DatasetRegistration:
    """A dataset version to register."""

    def __init__(self, name: str, create_new_version: bool) -> None:
        self.name = name
        self.create_new_version = create_new_version


class PipelineDataset:
    """A dataset as pipelines of the SDK's first years read it; prefer ``as_named_input``."""

    def __init__(
        self,
        dataset: Any = None,
        name: str | None = None,
        bind_mode: str = "mount",
        path_on_compute: str | None = None,
        overwrite: bool = False,
        parameter_name: str | None = None,
    ) -> None:
        self.validate_dataset(dataset)
        self.dataset = dataset
        self.name = check_data_name(name or self.default_name(dataset), "A PipelineDataset")
        self.bind_mode = check_mode(bind_mode, f"PipelineDataset {self.name!r}")
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite
        self.parameter_name = parameter_name

    @property
    def dataset_id(self) -> Any:
        """Id of the registered dataset."""
        return self.dataset.id

    @property
    def saved_dataset_id(self) -> Any:
        """Id of the registered dataset."""
        return self.dataset.id

    @property
    def dataset_version(self) -> Any:
        """Version of the registered dataset."""
        return self.dataset.version

    @property
    def workspace(self) -> Any:
        """The workspace of the dataset's datastore."""
        return self.dataset.workspace

    @staticmethod
    def default_name(dataset: Any) -> str:
        """A name made of the dataset's own one, or of its place."""
        first = dataset.locations[0]
        return data_name_part(dataset.name or f"{first.datastore}_{first.path}") or "dataset"

    @staticmethod
    def is_dataset(dset: Any) -> bool:
        """Whether it is a dataset."""
        from aml_provider.sdk.datasets import AbstractDataset

        return isinstance(dset, AbstractDataset)

    @staticmethod
    def validate_dataset(dset: Any) -> None:
        """Check that it is a dataset.

        :raises PipelineError: it is not.
        """
        if not PipelineDataset.is_dataset(dset):
            raise PipelineError(f"PipelineDataset: {dset!r} is not a dataset; make one with Dataset.File.from_files.")

    @staticmethod
    def create(dataset: Any, name: str | None = None, parameter_name: str | None = None) -> PipelineDataset:
        """A pipeline dataset of a dataset."""
        return PipelineDataset(dataset, name, parameter_name=parameter_name)
