"""v1 ``SqlDataReference``: a table of a database, or a query to it, for a ``DataTransferStep``."""

from __future__ import annotations

from typing import Any, NoReturn

from aml_provider.sdk.data_reference import DataReference
from aml_provider.spec.errors import NotSupportedError, PipelineError


class SqlDataReference(DataReference):
    """A table of a database, or a query to it.

    :param datastore: a datastore object that is a database.
    :param sql_table: ``table`` or ``schema.table``.
    :param sql_query: in the database's SQL; only a source can be one.
    :raises NotSupportedError: a stored procedure was given.
    """

    def __init__(
        self,
        datastore: Any,
        data_reference_name: str | None = None,
        sql_table: str | None = None,
        sql_query: str | None = None,
        sql_stored_procedure: str | None = None,
        sql_stored_procedure_params: Any = None,
    ) -> None:
        if sql_stored_procedure or sql_stored_procedure_params:
            raise NotSupportedError(
                f"SqlDataReference: stored procedure {sql_stored_procedure!r} cannot be called by a transfer; write "
                "what it gives as sql_query, or call it in a step's script."
            )
        if bool(sql_table) == bool(sql_query):
            raise PipelineError("SqlDataReference: give sql_table or sql_query, and not both.")
        if data_reference_name is None and sql_query:
            data_reference_name = f"{datastore.name}_query"
        super().__init__(datastore, data_reference_name, sql_table)
        self.sql_table = sql_table
        self.sql_query = sql_query
        self.sql_stored_procedure = None
        self.sql_stored_procedure_params = None

    def path(self, path: str | None = None, data_reference_name: str | None = None) -> NoReturn:
        """Not of a table.

        :raises NotSupportedError: always.
        """
        raise _no_files()

    def as_download(self, path_on_compute: str | None = None, overwrite: bool = False) -> NoReturn:
        """Not of a table.

        :raises NotSupportedError: always.
        """
        raise _no_files()

    def as_upload(self, path_on_compute: str | None = None, overwrite: bool = False) -> NoReturn:
        """Not of a table.

        :raises NotSupportedError: always.
        """
        raise _no_files()

    def as_mount(self) -> NoReturn:
        """Not of a table.

        :raises NotSupportedError: always.
        """
        raise _no_files()


def _no_files() -> NotSupportedError:
    return NotSupportedError(
        "A table has no files: have a DataTransferStep write it to some, or read it with "
        "Dataset.Tabular.from_sql_query."
    )
