"""``Dataset.File`` and ``Dataset.Tabular``: datasets of places in datastores."""

from __future__ import annotations

import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from aml_provider.sdk.datapath import DataPath
from aml_provider.sdk.dataset_types import DataType
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.identity import clean_path
from aml_provider.sdk.life import is_program
from aml_provider.sdk.source import find_file
from aml_provider.spec.errors import NotSupportedError, PipelineError
from aml_provider.spec.models import DataLocation
from aml_provider.spec.tables import SqlQuery, TabularFormat

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


def _matches(file: Path, folder: Path, pattern: str) -> bool:
    # v1 compares the whole path, and its documentation speaks of patterns like those of `glob`.
    return any(fnmatch(path.as_posix(), pattern) for path in (file.absolute(), file.relative_to(folder)))


class FileDatasetFactory:
    """Makes file datasets."""

    @staticmethod
    def from_files(path: Any, validate: bool = True, partition_format: str | None = None, is_file: bool = False) -> Any:
        """A dataset of files.

        :param path: one or a list of ``(datastore, 'path or pattern')``, ``DataPath``, ``DataReference``.
        :param validate: when run as a program, check that there are files.
        :param partition_format: how the end of each path tells values to filter by, like
            ``{country}/{day:yyyy/MM/dd}/*``.
        """
        from aml_provider.sdk.file_dataset import FileDataset
        from aml_provider.sdk.table_options import partition_format as checked

        what = "Dataset.File.from_files"
        form = checked(partition_format, what)
        return FileDataset.of(*_validated(path, what, validate), partition_format=form)

    @staticmethod
    def upload_directory(
        src_dir: str, target: Any, pattern: str | None = None, overwrite: bool = False, show_progress: bool = True
    ) -> Any:
        """Copy a folder to a datastore and make a dataset of it; the copy is made only by a program.

        :param target: ``(datastore, 'path')`` or a ``DataPath``.
        :param pattern: only files whose path matches are copied; as in v1, ``*`` stands for folders, too.
        """
        from aml_provider.sdk.file_dataset import FileDataset

        workspace, locations, stores = places(target, "Dataset.File.upload_directory")
        if is_program():
            folder = find_file(src_dir) or Path(src_dir)
            if pattern is None:
                stores[0].store.upload(folder, locations[0].path, overwrite, show_progress)
            else:
                files = sorted(f for f in folder.rglob("*") if f.is_file() and _matches(f, folder, pattern))
                if not files:
                    print(
                        f"Dataset.File.upload_directory: no file in {folder} matches {pattern!r}; nothing is uploaded.",
                        file=sys.stderr,
                    )
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
        """A table of delimited files.

        :param path: one or a list of ``(datastore, 'path or pattern')``, ``DataPath``, ``DataReference``.
        :param include_path: the table has a column ``Path``.
        :param infer_column_types: columns become numbers, truth values and points in time (``2024-01-31``, ``2024-01-31
            12:00:00``) where their first 10,000 values are; else everything is text.
        :param set_column_types: column -> ``DataType``.
        :param header: True, False or a ``PromoteHeadersBehavior``.
        :param partition_format: how the end of each path tells values, like ``{country}/{day:yyyy/MM/dd}/*.csv``.
        :param support_multi_line: without effect: line breaks in quotes are read in either case.
        :param empty_as_string: an empty field is an empty text, not a missing value.
        """
        return _table(
            "from_delimited_files",
            path,
            validate,
            format="delimited",
            include_path=bool(include_path),
            infer_types=bool(infer_column_types),
            set_column_types=set_column_types,
            separator=separator,
            header=header,
            partition_format=partition_format,
            empty_as_string=bool(empty_as_string),
            encoding=encoding,
        )

    @staticmethod
    def from_parquet_files(
        path: Any,
        validate: bool = True,
        include_path: bool = False,
        set_column_types: Any = None,
        partition_format: str | None = None,
    ) -> Any:
        """A table of Parquet files; the parameters mean what they mean for :meth:`from_delimited_files`."""
        return _table(
            "from_parquet_files",
            path,
            validate,
            format="parquet",
            include_path=bool(include_path),
            set_column_types=set_column_types,
            partition_format=partition_format,
        )

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
        """A table of files with one JSON object a line.

        :param invalid_lines: ``error``, or ``drop`` to pass over lines that are none.
        """
        if invalid_lines not in ("error", "drop"):
            raise PipelineError(
                f"Dataset.Tabular.from_json_lines_files: invalid_lines is {invalid_lines!r}, but must be 'error' or "
                "'drop'."
            )
        return _table(
            "from_json_lines_files",
            path,
            validate,
            format="json_lines",
            include_path=bool(include_path),
            set_column_types=set_column_types,
            partition_format=partition_format,
            invalid_lines=invalid_lines,
            encoding=encoding,
        )

    @staticmethod
    def from_sql_query(query: Any, validate: bool = True, set_column_types: Any = None, query_timeout: int = 30) -> Any:
        """A table that is the answer of a database.

        :param query: ``(datastore, 'select ...')`` or a ``DataPath`` of these.
        :param validate: when run as a program, ask for a row.
        :param query_timeout: seconds that the database may take.
        """
        from aml_provider.datasets.queries import check
        from aml_provider.sdk.table_options import column_types
        from aml_provider.sdk.tabular_dataset import TabularDataset

        what = "Dataset.Tabular.from_sql_query"
        store, text = (query._datastore, query.path_on_datastore) if isinstance(query, DataPath) else _pair(query, what)
        if not isinstance(text, str) or not text.strip():
            raise PipelineError(f"{what}: the query is {text!r}, but must be text that is not empty.")
        form = TabularFormat(format="parquet", column_types=column_types(set_column_types, what))
        asked = SqlQuery(datastore=store.name, query=text, timeout_seconds=query_timeout)
        check(store.workspace.loaded, asked)
        made = TabularDataset.of(store.workspace, [], form, query=asked)
        if validate:
            made._try()
        return made

    @staticmethod
    def register_pandas_dataframe(
        dataframe: Any,
        target: Any,
        name: str,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        show_progress: bool = True,
        row_group_size: int | None = None,
        make_target_path_unique: bool = True,
    ) -> Any:
        """Write a data frame to a datastore as Parquet and register it; while the file is parsed, the newest version.

        :param target: ``(datastore, 'folder')`` or a ``DataPath``.
        :param make_target_path_unique: into a folder of its own below ``target``, named after the content.
        """
        from aml_provider.sdk.dataset_frames import register_frame

        return register_frame(
            dataframe, target, name, description, tags, show_progress, row_group_size, make_target_path_unique
        )

    @staticmethod
    def register_spark_dataframe(
        dataframe: Any,
        target: Any,
        name: str,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        show_progress: bool = True,
    ) -> Any:
        """Not here.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(
            "Dataset.Tabular.register_spark_dataframe: there is no Spark session here; write Parquet files to an "
            "output of a step and call register_on_complete on it, or pass dataframe.toPandas() to "
            "register_pandas_dataframe."
        )

    @staticmethod
    def register_dask_dataframe(
        dataframe: Any,
        target: Any,
        name: str,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        show_progress: bool = True,
    ) -> Any:
        """Not here.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(
            "Dataset.Tabular.register_dask_dataframe is not available here: pass dataframe.compute() to "
            "register_pandas_dataframe."
        )


def _pair(query: Any, what: str) -> tuple[Any, Any]:
    if isinstance(query, tuple) and len(query) == 2 and hasattr(query[0], "datastore_type"):
        return query
    raise PipelineError(f"{what}: {query!r} is no query; give (datastore, 'select ...') or a DataPath.")


def _table(method: str, path: Any, validate: bool, **options: Any) -> Any:
    from aml_provider.sdk.table_options import tabular_format
    from aml_provider.sdk.tabular_dataset import TabularDataset

    what = f"Dataset.Tabular.{method}"
    form = tabular_format(what, **options)
    return TabularDataset.of(*_validated(path, what, validate), form)
