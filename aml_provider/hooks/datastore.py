"""The connection type ``aml_datastore``: credentials of a datastore, with a form and a test button in Airflow's UI."""

from __future__ import annotations

from typing import Any

from airflow.sdk.bases.hook import BaseHook
from pydantic import ValidationError

from aml_provider.spec.errors import AmlError
from aml_provider.storage.connections import CONNECTION_TYPE, credentials
from aml_provider.storage.datastores import Store, store_for
from aml_provider.storage.faults import DatastoreError, Reason
from aml_provider.storage.sql import Database, database_for, dialect_of
from aml_provider.workspace.model import DatastoreConfig


class DatastoreHook(BaseHook):
    """A datastore by its connection alone, for hand-written DAGs and for the test button.

    The connection's form is described in :mod:`aml_provider.get_provider_info`, so that Airflow shows it without
    importing this.

    :param datastore_conn_id: the connection; its URL says where the data is.
    """

    conn_name_attr = "datastore_conn_id"
    default_conn_name = "aml_datastore_default"
    conn_type = CONNECTION_TYPE
    hook_name = "Azure ML datastore"

    def __init__(self, datastore_conn_id: str = default_conn_name, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.datastore_conn_id = datastore_conn_id

    def get_conn(self) -> Store | Database:
        """The datastore: its files, or its tables.

        :raises AmlError: the connection does not exist, or has no URL that can be used.
        """
        name = self.datastore_conn_id
        url = credentials(name, name).text("url")
        if url is None:
            raise DatastoreError(
                f"Airflow connection {name!r} has no datastore URL; fill it in, like s3://bucket/folder.",
                Reason.CONNECTION,
            )
        config = config_of(url, name)
        return store_for(config, name) if dialect_of(config) is None else database_for(config, name)

    def test_connection(self) -> tuple[bool, str]:
        """Whether the datastore's root can be listed, and else what is wrong, in a sentence."""
        try:
            store = self.get_conn()
            store.check()
        except (AmlError, OSError) as error:
            # Airflow gives a connection that is only tested a name by chance, which says nothing to its user.
            text = str(error).replace(f"datastore {self.datastore_conn_id!r}", "the datastore")
            text = text.replace(f"Airflow connection {self.datastore_conn_id!r}", "this connection")
            return False, text[:1].upper() + text[1:]
        return True, f"{store.url} answers" + (" and can be listed." if isinstance(store, Store) else ".")


def config_of(url: str, conn_id: str) -> DatastoreConfig:
    """A datastore as a workspace file would declare it.

    :raises DatastoreError: the URL cannot be used.
    """
    try:
        return DatastoreConfig(url=url, conn_id=conn_id)
    except ValidationError as error:
        why = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        raise DatastoreError(f"Airflow connection {conn_id!r}: its datastore URL {why}.", Reason.CONNECTION) from None
