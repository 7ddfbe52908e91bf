"""v1's datastores of data lakes and of Hadoop's and Databricks' file systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from aml_provider.sdk.datastore_base import AbstractDatastore

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace


class AbstractADLSDatastore(AbstractDatastore):
    """A data lake. As in v1 it has no ``upload`` and ``path``: datasets, ``DataPath`` and transfers reach its data."""

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "upload": "as in Azure ML; use `aml data upload`, or a DataTransferStep",
        "upload_files": "as in Azure ML; use `aml data upload`, or a DataTransferStep",
        "download": "as in Azure ML; use Dataset.File.from_files((datastore, path)).download()",
        "path": "as in Azure ML; use DataPath(datastore, path)",
    }

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        datastore_type: str,
        tenant_id: str | None,
        client_id: str | None,
        client_secret: str | None,
        resource_url: str | None,
        authority_url: str | None,
        service_data_access_auth_identity: Any,
    ) -> None:
        super().__init__(workspace, name, datastore_type)
        self.tenant_id = tenant_id
        self.client_id = client_id
        self.client_secret = None
        self.resource_url = resource_url
        self.authority_url = authority_url


class AzureDataLakeDatastore(AbstractADLSDatastore):
    """v1's Data Lake Storage Gen1, which Azure has shut down. Kept for ``isinstance``."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        store_name: str,
        tenant_id: str | None,
        client_id: str | None,
        client_secret: str | None,
        resource_url: str | None = None,
        authority_url: str | None = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        service_data_access_auth_identity: Any = None,
    ) -> None:
        super().__init__(
            workspace,
            name,
            "AzureDataLake",
            tenant_id,
            client_id,
            client_secret,
            resource_url,
            authority_url,
            service_data_access_auth_identity,
        )
        self.store_name = store_name
        self.subscription_id = subscription_id
        self.resource_group = resource_group


class AzureDataLakeGen2Datastore(AbstractADLSDatastore):
    """Data Lake Storage Gen2."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        container_name: str,
        account_name: str,
        tenant_id: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        resource_url: str | None = None,
        authority_url: str | None = None,
        protocol: str | None = None,
        endpoint: str | None = None,
        service_data_access_auth_identity: Any = None,
    ) -> None:
        super().__init__(
            workspace,
            name,
            "AzureDataLakeGen2",
            tenant_id,
            client_id,
            client_secret,
            resource_url,
            authority_url,
            service_data_access_auth_identity,
        )
        self.container_name = container_name
        self.account_name = account_name
        self.protocol = protocol
        self.endpoint = endpoint


class DBFSDatastore(AbstractDatastore):
    """Databricks' file system. Kept for ``isinstance``."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        super().__init__(workspace, name, "DBFS")


class HDFSDatastore(AbstractDatastore):
    """Hadoop's file system. Kept for ``isinstance``."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        protocol: str,
        namenode_address: str,
        hdfs_server_certificate_data: str | None,
        kerberos_realm: str,
        kerberos_kdc_address: str,
        kerberos_principal: str,
        credential_value: str | None,
        credential_type: str | None,
    ) -> None:
        super().__init__(workspace, name, "Hdfs")
        self.protocol = protocol
        self.namenode_address = namenode_address
        self.kerberos_realm = kerberos_realm
        self.kerberos_kdc_address = kerberos_kdc_address
        self.kerberos_principal = kerberos_principal
