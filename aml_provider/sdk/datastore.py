"""v1 ``Datastore``: the way to the workspace's datastores, and to new ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aml_provider.sdk.datastore_azure import AbstractAzureStorageDatastore, AzureBlobDatastore, AzureFileDatastore
from aml_provider.sdk.datastore_base import AbstractDatastore
from aml_provider.sdk.datastore_endpoints import azure_location
from aml_provider.sdk.datastore_lake import (
    AzureDataLakeDatastore,
    AzureDataLakeGen2Datastore,
    DBFSDatastore,
    HDFSDatastore,
)
from aml_provider.sdk.datastore_registering import register
from aml_provider.sdk.datastore_registering_sql import SqlRegistrations
from aml_provider.sdk.datastore_sql import (
    AzureMySqlDatastore,
    AzurePostgreSqlDatastore,
    AzureSqlDatabaseDatastore,
    declared_database,
)
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.http_errors import not_found
from aml_provider.spec.errors import NotSupportedError, PipelineError
from aml_provider.workspace.model import FILE_DATASTORE, DatastoreConfig
from aml_provider.workspace.registered import RegisteredDatastore

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace

__all__ = [
    "AbstractAzureStorageDatastore",
    "AbstractDatastore",
    "AzureBlobDatastore",
    "AzureDataLakeDatastore",
    "AzureDataLakeGen2Datastore",
    "AzureFileDatastore",
    "DBFSDatastore",
    "Datastore",
    "HDFSDatastore",
    "datastore_object",
]

# What v1's object of a registered datastore's type is; it takes the registration's details by name.
CLASSES: dict[str, Callable[..., AbstractDatastore]] = {
    "AzureBlob": AzureBlobDatastore,
    "AzureDataLakeGen2": AzureDataLakeGen2Datastore,
    "AzureSqlDatabase": AzureSqlDatabaseDatastore,
    "AzurePostgreSql": AzurePostgreSqlDatastore,
    "AzureMySql": AzureMySqlDatastore,
}


class UnknownDatastoreError(UserErrorException, PipelineError):
    """A datastore that the workspace does not have.

    Authors catch it and register the datastore then: as v1's ``UserErrorException``, or, as v1's own documentation has
    it, as the ``HttpOperationError`` of ``msrest``, which what is raised is as well.
    """


def datastore_object(workspace: Workspace, name: str) -> Any:
    """The datastore with this name.

    :raises UnknownDatastoreError: the workspace has none; lists the known names.
    """
    try:
        config = workspace.loaded.datastore(name)
    except PipelineError as error:
        raise not_found(UnknownDatastoreError, str(error)) from None
    if isinstance(config, RegisteredDatastore):
        return CLASSES[config.kind](workspace, name, **config.details)
    database = declared_database(workspace, name, config)
    if database is not None:
        return database
    kind = AzureFileDatastore if name == FILE_DATASTORE else AzureBlobDatastore
    return kind(workspace, name, container_name=name, account_name=workspace.name)


class Datastore(SqlRegistrations):
    """The way to a datastore: ``Datastore(ws, name)`` *is* the datastore, as in v1.

    Registering keeps the description in the workspace's state folder and the credentials in a connection. Where the
    workspace file declares the name, that counts: a registration then answers with the declared datastore.
    """

    def __new__(cls, workspace: Workspace, name: str | None = None) -> Any:
        """The datastore with this name, the default one without a name."""
        return workspace.get_default_datastore() if name is None else datastore_object(workspace, name)

    @staticmethod
    def get(workspace: Workspace, datastore_name: str) -> Any:
        """The datastore with this name.

        :raises UserErrorException: there is none; lists the known names.
        """
        return datastore_object(workspace, datastore_name)

    @staticmethod
    def get_default(workspace: Workspace) -> Any:
        """The workspace's default datastore."""
        return workspace.get_default_datastore()

    @staticmethod
    def register_azure_blob_container(
        workspace: Workspace,
        datastore_name: str,
        container_name: str,
        account_name: str,
        sas_token: str | None = None,
        account_key: str | None = None,
        protocol: str | None = None,
        endpoint: str | None = None,
        overwrite: bool = False,
        create_if_not_exists: bool = False,
        skip_validation: bool = False,
        blob_cache_timeout: int | None = None,
        grant_workspace_access: bool = False,
        subscription_id: str | None = None,
        resource_group: str | None = None,
    ) -> Any:
        """Register a blob container.

        Without ``sas_token`` and ``account_key`` the machine's own identity, or ``AZURE_STORAGE_...`` variables, have
        to be enough. ``blob_cache_timeout`` and ``grant_workspace_access`` mean nothing here.

        :param endpoint: Azure's domain for the storage (``core.windows.net``), or a URL of a service of one's own.
        :param overwrite: replace a registered datastore of this name.
        :param create_if_not_exists: make the container where there is none.
        :param skip_validation: do not look whether the container can be listed.
        :raises UserErrorException: the name is another datastore's.
        :raises UserErrorException: the container cannot be listed or made.
        """
        where = azure_location("container_name", container_name, account_name, protocol, endpoint)
        secret: dict[str, Any] = {"extra": {"sas_token": sas_token}} if sas_token else {"password": account_key}
        details = {
            "container_name": container_name,
            "account_name": account_name,
            "protocol": protocol or "https",
            "endpoint": endpoint or "core.windows.net",
            "subscription_id": subscription_id,
            "resource_group": resource_group,
        }

        def check(config: DatastoreConfig) -> None:
            from aml_provider.storage.datastores import store_for

            store = store_for(config, datastore_name)
            if create_if_not_exists:
                store.make_root()
            if not skip_validation:
                store.check()

        return register(
            workspace,
            datastore_name,
            "AzureBlob",
            where.url,
            details={name: value for name, value in details.items() if value is not None},
            connection=where.connection("wasb", **secret) if sas_token or account_key or where.endpoint else None,
            overwrite=overwrite,
            check=check if create_if_not_exists or not skip_validation else None,
        )

    @staticmethod
    def register_azure_file_share(
        workspace: Workspace,
        datastore_name: str,
        file_share_name: str,
        account_name: str,
        sas_token: str | None = None,
        account_key: str | None = None,
        protocol: str | None = None,
        endpoint: str | None = None,
        overwrite: bool = False,
        create_if_not_exists: bool = False,
        skip_validation: bool = False,
    ) -> Any:
        """The declared datastore of this name: a file share is a folder that the machines have mounted.

        :raises NotSupportedError: workspace.yaml declares none.
        """
        return _declared(
            workspace,
            datastore_name,
            f"mount the file share {file_share_name!r} of {account_name!r} on every machine that runs steps (SMB or "
            "NFS), and declare the folder",
            "/mnt/share",
        )

    @staticmethod
    def register_azure_data_lake(
        workspace: Workspace,
        datastore_name: str,
        store_name: str,
        tenant_id: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        resource_url: str | None = None,
        authority_url: str | None = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        overwrite: bool = False,
        grant_workspace_access: bool = False,
    ) -> Any:
        """The declared datastore of this name: Azure has shut Data Lake Storage Gen1 down.

        :raises NotSupportedError: workspace.yaml declares none.
        """
        return _declared(
            workspace,
            datastore_name,
            f"Azure has shut Data Lake Storage Gen1 down; register where the data of {store_name!r} went with "
            "register_azure_data_lake_gen2, or declare it",
            "abfs://container@account.dfs.core.windows.net",
        )

    @staticmethod
    def register_azure_data_lake_gen2(
        workspace: Workspace,
        datastore_name: str,
        filesystem: str,
        account_name: str,
        tenant_id: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        resource_url: str | None = None,
        authority_url: str | None = None,
        protocol: str | None = None,
        endpoint: str | None = None,
        overwrite: bool = False,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        grant_workspace_access: bool = False,
    ) -> Any:
        """Register a file system of Data Lake Storage Gen2. As in v1 nothing is asked of it yet.

        Without a service principal the machine's own identity, or ``AZURE_STORAGE_...`` variables, have to be enough.
        ``resource_url`` and ``grant_workspace_access`` mean nothing here.

        :param tenant_id: of the service principal, with ``client_id`` and ``client_secret``.
        :param authority_url: of the cloud that the tenant is in; default: ``https://login.microsoftonline.com``.
        :param endpoint: Azure's domain for the storage (``core.windows.net``), or a URL of a service of one's own.
        :param overwrite: replace a registered datastore of this name.
        :raises UserErrorException: the name is another datastore's, or a part of the service principal is missing.
        """
        where = azure_location("filesystem", filesystem, account_name, protocol, endpoint)
        principal = {"tenant_id": tenant_id, "client_id": client_id, "client_secret": client_secret}
        missing = [name for name, value in principal.items() if not value]
        if 0 < len(missing) < len(principal):
            raise UserErrorException(
                f"datastore {datastore_name!r}: {' and '.join(missing)} of the service principal "
                f"{'is' if len(missing) == 1 else 'are'} missing; give tenant_id, client_id and client_secret, or none."
            )
        details = {
            "container_name": filesystem,
            "account_name": account_name,
            "tenant_id": tenant_id,
            "client_id": client_id,
            "resource_url": resource_url,
            "authority_url": authority_url,
            "protocol": protocol or "https",
            "endpoint": endpoint or "core.windows.net",
        }
        extra = {"tenant_id": tenant_id, "client_id": client_id, "authority": authority_url}
        connection = where.connection("wasb", login=client_id, password=client_secret, extra=extra)
        return register(
            workspace,
            datastore_name,
            "AzureDataLakeGen2",
            where.url,
            details={name: value for name, value in details.items() if value is not None},
            connection=connection if tenant_id or where.endpoint else None,
            overwrite=overwrite,
        )

    @staticmethod
    def register_dbfs(workspace: Workspace, datastore_name: str) -> Any:
        """The declared datastore of this name: Databricks' own file system is reached from Databricks only.

        :raises NotSupportedError: workspace.yaml declares none.
        """
        return _declared(
            workspace,
            datastore_name,
            "Databricks' own file system is reached from Databricks only; declare the bucket or container that is "
            "mounted there",
            "s3://bucket/folder",
        )

    @staticmethod
    def register_hdfs(
        workspace: Workspace,
        datastore_name: str,
        protocol: str,
        namenode_address: str,
        hdfs_server_certificate: str | None,
        kerberos_realm: str,
        kerberos_kdc_address: str,
        kerberos_principal: str,
        kerberos_keytab: str | None = None,
        kerberos_password: str | None = None,
        overwrite: bool = False,
    ) -> Any:
        """The declared datastore of this name: HDFS is a folder that the machines have mounted.

        :raises NotSupportedError: workspace.yaml declares none.
        """
        return _declared(
            workspace,
            datastore_name,
            f"HDFS at {namenode_address!r} cannot be reached directly; mount it on every machine that runs steps (the "
            "NFS gateway, or hdfs-fuse), and declare the folder",
            "/mnt/hdfs",
        )


def _declared(workspace: Workspace, name: str, instead: str, url: str) -> Any:
    try:
        return datastore_object(workspace, name)
    except PipelineError:
        raise NotSupportedError(
            f"Datastore {name!r} cannot be registered from code: {instead} in workspace.yaml under "
            f"`datastores: {{{name}: {{url: {url}}}}}`."
        ) from None
