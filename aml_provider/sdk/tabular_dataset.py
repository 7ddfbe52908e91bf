"""v1 ``TabularDataset``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aml_provider.datasets.verbs import TableVerbs, complaining
from aml_provider.sdk.abstract_dataset import AbstractDataset
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import is_program
from aml_provider.spec.tables import TabularFormat


@complaining(UserErrorException)
class TabularDataset(AbstractDataset, TableVerbs):
    """Files in datastores, or the answer of a database, as one table."""

    DATASET_TYPE: ClassVar[str] = "tabular"
    NOT_BUILT: ClassVar[dict[str, str]] = {
        "to_dask_dataframe": "read with to_pandas_dataframe, or give dask the files of to_parquet_files().download()",
        "to_spark_dataframe": "read with to_pandas_dataframe, or give Spark the files of to_parquet_files().download()",
        "submit_profile_run": "profiles are a service of Azure; use to_pandas_dataframe().describe()",
        "get_profile": "profiles are a service of Azure; use to_pandas_dataframe().describe()",
        "get_profile_runs": "profiles are a service of Azure; use to_pandas_dataframe().describe()",
        "download": "columns of streams do not exist; make a dataset of the files with Dataset.File.from_files",
        "mount": "columns of streams do not exist; make a dataset of the files with Dataset.File.from_files",
    }

    def to_pandas_dataframe(self, on_error: str = "null", out_of_range_datetime: str = "null") -> Any:
        """The rows as a pandas data frame; a null object while the file is parsed.

        :param on_error: ``null``: a text that is no value of its column's type is a missing value, and a warning says
            how many there were; ``fail``: it is an error.
        :param out_of_range_datetime: the same for points in time: ``null`` or ``error``.
        :raises UserErrorException: there are no files, or they cannot be read so.
        """
        _one_of("on_error", on_error, ("null", "fail"))
        _one_of("out_of_range_datetime", out_of_range_datetime, ("null", "error"))
        if not is_program():
            from aml_provider.sdk.null import NULL

            return NULL
        from aml_provider.datasets.reading import frame

        self._say_what_changed()
        with self._complaints():
            return frame(self._stores(), self.source, on_error, out_of_range_datetime)

    def partition_by(
        self,
        partition_keys: list[str],
        target: Any,
        name: str | None = None,
        show_progress: bool = True,
        partition_as_file_dataset: bool = False,
    ) -> Any:
        """Write the rows to Parquet files in one folder per combination of values, and make a dataset of these.

        The folders are below ``target`` in one that belongs to this dataset and these keys; writing again replaces what
        is there. Nothing is written while the file is parsed.

        :param partition_keys: columns, the outermost folder first.
        :param target: ``(datastore, 'path')`` or a ``DataPath``.
        :param name: register the new dataset under this name.
        :param partition_as_file_dataset: the new dataset is one of files.
        """
        from aml_provider.sdk.dataset_partitioning import partitioned

        made = partitioned(self, partition_keys, target, partition_as_file_dataset)
        if name is None:
            return made
        return made.register(made.workspace, name, create_new_version=True)

    def _partition_format(self) -> str | None:
        return self._form.partition_format

    def _is_quoted(self) -> bool:
        return self._form.quoted

    @property
    def _form(self) -> TabularFormat:
        return self.tabular or TabularFormat(format="delimited")

    def _format(self) -> Mapping[str, Any]:
        return self._form.model_dump(mode="json")

    def _with_format(self, **changes: Any) -> TabularDataset:
        made: TabularDataset = self._like(tabular=self._form.model_copy(update=changes))
        return made

    def _try(self) -> Any:
        return self.take(1).to_pandas_dataframe() if is_program() else None

    def _as_files(self, operation: dict[str, Any]) -> Any:
        from aml_provider.sdk.file_dataset import FileDataset
        from aml_provider.spec.operations import canonical

        return self._like(FileDataset, operations=(*self.source.operations, *canonical([operation])))


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserErrorException(f"to_pandas_dataframe: {name} is {value!r}, but must be one of {', '.join(allowed)}.")
