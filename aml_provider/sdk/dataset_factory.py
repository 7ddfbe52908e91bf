"""``Dataset.File`` and ``Dataset.Tabular``: datasets of places in datastores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aml_provider.sdk.datapath import DataPath
from aml_provider.sdk.dataset_types import DataType
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.identity import clean_path
from aml_provider.sdk.life import is_program
from aml_provider.sdk.source import find_file
from aml_provider.spec.errors import NotSupportedError, PipelineError
from aml_provider.spec.models import DataLocation, TabularFormat

__all__ = ["DataType", "FileDatasetFactory", "TabularDatasetFactory"]


def places(path: Any, what: str) -> tuple[Any, list[DataLocation], list[Any]]:
    """``(workspace, locations, datastores)`` of what an author gave as ``path``.

    :param what: the method, for messages.
    :raises PipelineError: not a place in a datastore.
    """
    items = path if isinstance(path, list) else [path]
    if not items:
        raise PipelineError(f"{what}: path is an empty list; give (datastore, 'path') or a list of them.")
    locations, stores = [], []
    for item in items:
        if isinstance(item, DataPath):
            store, inner = item._datastore, item.path_on_datastore
        elif isinstance(item, tuple) and len(item) == 2 and hasattr(item[0], "datastore_type"):
            store, inner = item
        elif hasattr(item, "data_reference_name"):  # what Datastore.upload and Datastore.path give
            store, inner = item.datastore, item.path_on_datastore
        elif isinstance(item, str):
            raise NotSupportedError(
                f"{what}: {item!r} is a URL or a local path, which this version cannot read; bring the data into a "
                "datastore and give (datastore, 'path')."
            )
        else:
            raise PipelineError(f"{what}: {item!r} is no place; give (datastore, 'path') or a DataPath.")
        # v1 allows a list of paths inside the tuple.
        for single in inner if isinstance(inner, list) else [inner]:
            locations.append(DataLocation(datastore=store.name, path=clean_path(single)))
            stores.append(store)
    return stores[0].workspace, locations, stores


def _validated(path: Any, what: str, validate: bool) -> tuple[Any, list[DataLocation]]:
    workspace, locations, stores = places(path, what)
    if validate and is_program():
        for place, store in zip(locations, stores, strict=True):
            if not store.store.glob(place.path):
                raise UserErrorException(
                    f"{what}: there are no files at {place.path!r} in datastore {place.datastore!r}; upload them "
                    "first, or pass validate=False."
                )
    return workspace, locations


class FileDatasetFactory:
    """Makes file datasets."""

    @staticmethod
    def from_files(path: Any, validate: bool = True, partition_format: str | None = None, is_file: bool = False) -> Any:
        """A dataset of files.

        :param path: one or a list of ``(datastore, 'path or pattern')``, ``DataPath``, ``DataReference``.
        :param validate: when run as a program, check that there are files.
        """
        from aml_provider.sdk.datasets import FileDataset

        what = "Dataset.File.from_files"
        _plain(what, partition_format=partition_format)
        return FileDataset.of(*_validated(path, what, validate))

    @staticmethod
    def upload_directory(
        src_dir: str, target: Any, pattern: str | None = None, overwrite: bool = False, show_progress: bool = True
    ) -> Any:
        """Copy a folder to a datastore and make a dataset of it; the copy is made only by a program.

        :param target: ``(datastore, 'path')`` or a ``DataPath``.
        :param pattern: only files whose path below ``src_dir`` matches are copied.
        """
        from aml_provider.sdk.datasets import FileDataset

        workspace, locations, stores = places(target, "Dataset.File.upload_directory")
        if is_program():
            folder = find_file(src_dir) or Path(src_dir)
            if pattern is None:
                stores[0].store.upload(folder, locations[0].path, overwrite, show_progress)
            else:
                files = sorted(f for f in folder.glob(pattern) if f.is_file())
                stores[0].store.upload_files(files, folder, locations[0].path, overwrite, show_progress)
        return FileDataset.of(workspace, locations)


class TabularDatasetFactory:
    """Makes tabular datasets. Options that are not supported raise, they are never ignored."""

    @staticmethod
    def from_delimited_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        infer_column_types: bool = True,
        set_column_types: Any = None,
        separator: str = ",",
        header: Any = True,
        partition_format: str | None = None,
        support_multi_line: bool = False,
        empty_as_string: bool = False,
        encoding: str = "utf8",
    ) -> Any:
        """A table of delimited files."""
        from aml_provider.sdk.dataset_types import PromoteHeadersBehavior
        from aml_provider.sdk.datasets import TabularDataset

        what = "Dataset.Tabular.from_delimited_files"
        _plain(
            what,
            include_path=include_path,
            set_column_types=set_column_types,
            partition_format=partition_format,
            empty_as_string=empty_as_string,
        )
        if not infer_column_types:
            _plain(what, **{"infer_column_types=False": True})
        form = TabularFormat(
            format="delimited",
            separator=separator,
            header=header not in (False, PromoteHeadersBehavior.NO_HEADERS),
            encoding=encoding,
        )
        return TabularDataset.of(*_validated(path, what, validate), form)

    @staticmethod
    def from_parquet_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Any = None,
        partition_format: str | None = None,
    ) -> Any:
        """A table of Parquet files."""
        from aml_provider.sdk.datasets import TabularDataset

        what = "Dataset.Tabular.from_parquet_files"
        _plain(what, include_path=include_path, set_column_types=set_column_types, partition_format=partition_format)
        return TabularDataset.of(*_validated(path, what, validate), TabularFormat(format="parquet"))

    @staticmethod
    def from_json_lines_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Any = None,
        partition_format: str | None = None,
        invalid_lines: str = "error",
        encoding: str = "utf8",
    ) -> Any:
        """A table of files with one JSON object a line."""
        from aml_provider.sdk.datasets import TabularDataset

        what = "Dataset.Tabular.from_json_lines_files"
        _plain(what, include_path=include_path, set_column_types=set_column_types, partition_format=partition_format)
        if invalid_lines != "error":
            _plain(what, invalid_lines=invalid_lines)
        form = TabularFormat(format="json_lines", encoding=encoding)
        return TabularDataset.of(*_validated(path, what, validate), form)

    @staticmethod
    def from_sql_query(query: Any, validate: bool = True, set_column_types: Any = None, query_timeout: int = 30) -> Any:
        """A table from a database.

        :raises NotSupportedError: always, in this version.
        """
        raise NotSupportedError(
            "Dataset.Tabular.from_sql_query is not supported in this version; query the database in a step's script."
        )


def _plain(what: str, **options: Any) -> None:
    for name, value in options.items():
        if value:
            given = name if value is True else f"{name}={value!r}"
            raise NotSupportedError(f"{what}: {given} is not supported in this version; do it in the step's script.")
