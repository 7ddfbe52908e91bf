"""v1 datastores: named roots for data, declared in the workspace file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from aml_provider.sdk.data_reference import DataReference
from aml_provider.sdk.identity import clean_path
from aml_provider.sdk.life import is_program
from aml_provider.sdk.source import calling_source, find_file
from aml_provider.spec.errors import NotSupportedError, PipelineError
from aml_provider.workspace.model import FILE_DATASTORE

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace


class AbstractDatastore:
    """A named root for data."""

    def __init__(self, workspace: Workspace, name: str, datastore_type: str) -> None:
        self.workspace = workspace
        self.name = name
        self.datastore_type = datastore_type

    def set_as_default(self) -> None:
        """Make it the workspace's default datastore for the rest of this file."""
        self.workspace.set_default_datastore(self.name)

    def unregister(self) -> NoReturn:
        """Not possible: a datastore exists because the workspace file declares it.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(f"Datastore {self.name!r} is declared in workspace.yaml; remove it there.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, workspace={self.workspace.name!r})"


class AbstractAzureStorageDatastore(AbstractDatastore):
    """A datastore of files. Account names and keys have no meaning: the workspace file says where the data is."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        datastore_type: str,
        container_name: str,
        account_name: str,
        sas_token: str | None = None,
        account_key: str | None = None,
        protocol: str | None = None,
        endpoint: str | None = None,
    ) -> None:
        super().__init__(workspace, name, datastore_type)
        self.container_name = container_name
        self.account_name = account_name
        self.protocol = protocol
        self.endpoint = endpoint
        self.is_sas = False

    @property
    def store(self) -> Any:
        """The storage behind the name."""
        from aml_provider.storage.datastores import store_for

        return store_for(self.workspace.loaded.datastore(self.name), self.name)

    def path(self, path: str | None = None, data_reference_name: str | None = None) -> DataReference:
        """A reference to a place in the datastore."""
        return DataReference(self, data_reference_name, path)

    def as_download(self, path_on_compute: str | None = None) -> DataReference:
        """The whole datastore, copied to the compute before the step."""
        return DataReference(self, mode="download", path_on_compute=path_on_compute)

    def as_upload(self, path_on_compute: str | None = None) -> DataReference:
        """The whole datastore as a place to write to."""
        return DataReference(self, mode="upload", path_on_compute=path_on_compute)

    def as_mount(self) -> DataReference:
        """The whole datastore, mounted on the compute."""
        return DataReference(self)

    def download(
        self, target_path: str, prefix: str | None = None, overwrite: bool = False, show_progress: bool = True
    ) -> int:
        """Copy files to this machine; each keeps its whole path in the datastore below ``target_path``.

        :return: how many files were copied.
        """
        if not is_program():
            return 0
        return int(self.store.download(target_path, _prefix(prefix), overwrite, show_progress))

    def upload(
        self, src_dir: str, target_path: str | None = None, overwrite: bool = False, show_progress: bool = True
    ) -> DataReference:
        """Copy a folder's content to the datastore; done only when the file runs as a program.

        :return: a reference to ``target_path``.
        """
        if is_program():
            folder = find_file(src_dir) or Path(src_dir)
            self.store.upload(folder, clean_path(target_path), overwrite, show_progress)
        return DataReference(self, path_on_datastore=clean_path(target_path) or None)

    def upload_files(
        self,
        files: list[str],
        relative_root: str | None = None,
        target_path: str | None = None,
        overwrite: bool = False,
        show_progress: bool = True,
    ) -> DataReference:
        """Copy files to the datastore; done only when the file runs as a program.

        :param relative_root: the files' paths in the datastore are relative to this folder.
        :return: a reference to ``target_path``.
        """
        if is_program():
            source = calling_source()
            found = [find_file(file, source) or Path(file) for file in files]
            root = None if relative_root is None else find_file(relative_root, source) or Path(relative_root)
            self.store.upload_files(found, root, clean_path(target_path), overwrite, show_progress)
        return DataReference(self, path_on_datastore=clean_path(target_path) or None)


class AzureBlobDatastore(AbstractAzureStorageDatastore):
    """v1's datastore on blob storage; here any store that the workspace file declares."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        container_name: str,
        account_name: str,
        sas_token: str | None = None,
        account_key: str | None = None,
        protocol: str | None = None,
        endpoint: str | None = None,
        request_session: Any = None,
        workspace_msi_has_access: bool = False,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        service_data_access_auth_identity: Any = None,
    ) -> None:
        super().__init__(
            workspace, name, "AzureBlob", container_name, account_name, protocol=protocol, endpoint=endpoint
        )
        self.subscription_id = subscription_id
        self.resource_group = resource_group


class AzureFileDatastore(AbstractAzureStorageDatastore):
    """v1's datastore on a file share; here the workspace's ``workspacefilestore``."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        container_name: str,
        account_name: str,
        sas_token: str | None = None,
        account_key: str | None = None,
        protocol: str | None = None,
        endpoint: str = "core.windows.net",
        request_session: Any = None,
    ) -> None:
        super().__init__(
            workspace, name, "AzureFile", container_name, account_name, protocol=protocol, endpoint=endpoint
        )


def _prefix(prefix: str | None) -> str | None:
    return None if prefix is None else clean_path(prefix)


def datastore_object(workspace: Workspace, name: str) -> AbstractAzureStorageDatastore:
    """The datastore with this name.

    :raises PipelineError: the workspace has none; lists the known names.
    """
    workspace.loaded.datastore(name)
    kind = AzureFileDatastore if name == FILE_DATASTORE else AzureBlobDatastore
    return kind(workspace, name, container_name=name, account_name=workspace.name)


class Datastore:
    """The way to a datastore: ``Datastore(ws, name)`` *is* the datastore, as in v1.

    Changed: ``register_azure_...`` cannot create one. Where the workspace file already declares the name, the
    registration answers with that datastore, so files that register and then use it work.
    """

    def __new__(cls, workspace: Workspace, name: str | None = None) -> Any:
        """The datastore with this name, the default one without a name."""
        return workspace.get_default_datastore() if name is None else datastore_object(workspace, name)

    @staticmethod
    def get(workspace: Workspace, datastore_name: str) -> Any:
        """The datastore with this name.

        :raises PipelineError: there is none; lists the known names.
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
        """The declared datastore of this name.

        :raises NotSupportedError: workspace.yaml declares none.
        """
        return _declared(workspace, datastore_name)

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
        """The declared datastore of this name.

        :raises NotSupportedError: workspace.yaml declares none.
        """
        return _declared(workspace, datastore_name)

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
        """The declared datastore of this name.

        :raises NotSupportedError: workspace.yaml declares none.
        """
        return _declared(workspace, datastore_name)

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
        """The declared datastore of this name.

        :raises NotSupportedError: workspace.yaml declares none.
        """
        return _declared(workspace, datastore_name)


def _declared(workspace: Workspace, name: str) -> AbstractAzureStorageDatastore:
    try:
        return datastore_object(workspace, name)
    except PipelineError:
        raise NotSupportedError(
            f"Datastore {name!r} cannot be registered from code; declare it in workspace.yaml under "
            f"`datastores: {{{name}: {{url: ...}}}}`, with an Airflow connection for its credentials."
        ) from None
