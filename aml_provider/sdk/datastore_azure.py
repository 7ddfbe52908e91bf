"""v1's datastores of files: blob containers and file shares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aml_provider.sdk.data_reference import DataReference
from aml_provider.sdk.datastore_base import AbstractDatastore
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.identity import clean_path
from aml_provider.sdk.life import is_program
from aml_provider.sdk.source import calling_source, find_file

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace


class AbstractAzureStorageDatastore(AbstractDatastore):
    """A datastore of files, wherever its data is.

    Of one that the workspace file declares, ``container_name`` is its name, and ``account_name`` the workspace's.
    """

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
        #: Whether it was registered with a shared access signature.
        self.is_sas = bool(sas_token)
        # v1 has them here; scripts print and pickle these objects.
        self.sas_token = self.account_key = None

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
        :raises UserErrorException: ``files`` is one path and not a list.
        """
        if isinstance(files, (str, os.PathLike)):
            raise UserErrorException(
                f"Datastore.upload_files: files is {str(files)!r}; give a list of paths, like [{str(files)!r}]."
            )
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
            workspace, name, "AzureBlob", container_name, account_name, sas_token, account_key, protocol, endpoint
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
            workspace, name, "AzureFile", container_name, account_name, sas_token, account_key, protocol, endpoint
        )


def _prefix(prefix: str | None) -> str | None:
    return None if prefix is None else clean_path(prefix)
