"""v1's datastores that are databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote, urlsplit

from aml_provider.sdk.datastore_base import AbstractDatastore
from aml_provider.workspace.model import DatastoreConfig

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace

_FILES = "a database has no files; use Dataset.Tabular.from_sql_query, or a DataTransferStep"


class _SqlDatastore(AbstractDatastore):
    NOT_BUILT: ClassVar[dict[str, str]] = dict.fromkeys(
        ("upload", "upload_files", "download", "path", "as_mount", "as_download", "as_upload"), _FILES
    )


class AzureSqlDatabaseDatastore(_SqlDatastore):
    """SQL Server, or Azure SQL Database; also an SQLite file that the workspace file declares."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        server_name: str,
        database_name: str,
        tenant_id: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        resource_url: str | None = None,
        authority_url: str | None = None,
        username: str | None = None,
        password: str | None = None,
        auth_type: Any = None,
        service_data_access_auth_identity: Any = None,
    ) -> None:
        super().__init__(workspace, name, "AzureSqlDatabase")
        self.server_name = server_name
        self.database_name = database_name
        self.tenant_id = tenant_id
        self.client_id = client_id
        self.client_secret = None
        self.username = username
        self.password = None


class AzurePostgreSqlDatastore(_SqlDatastore):
    """PostgreSQL."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        server_name: str,
        database_name: str,
        user_id: str,
        user_password: str | None,
        port_number: str | int | None = None,
        enforce_ssl: bool = True,
    ) -> None:
        super().__init__(workspace, name, "AzurePostgreSql")
        self.server_name = server_name
        self.database_name = database_name
        self.user_id = user_id
        self.user_password = None
        self.port_number = port_number
        self.enforce_ssl = enforce_ssl


class AzureMySqlDatastore(_SqlDatastore):
    """MySQL, or MariaDB."""

    def __init__(
        self,
        workspace: Workspace,
        name: str,
        server_name: str,
        database_name: str,
        user_id: str,
        user_password: str | None,
        port_number: str | int | None = None,
    ) -> None:
        super().__init__(workspace, name, "AzureMySql")
        self.server_name = server_name
        self.database_name = database_name
        self.user_id = user_id
        self.user_password = None
        self.port_number = port_number


def declared_database(workspace: Workspace, name: str, config: DatastoreConfig) -> AbstractDatastore | None:
    """v1's object of a database that the workspace file declares; ``None``: it is none."""
    from aml_provider.storage.sql import dialect_of

    dialect = dialect_of(config)
    if dialect is None:
        return None
    parts = urlsplit(config.url)
    server, database = parts.hostname or "", unquote(parts.path[1:])
    user = unquote(parts.username or "")
    if dialect.extra == "postgres":
        return AzurePostgreSqlDatastore(workspace, name, server, database, user, None, parts.port)
    if dialect.extra == "mysql":
        return AzureMySqlDatastore(workspace, name, server, database, user, None, parts.port)
    return AzureSqlDatabaseDatastore(workspace, name, server, database, username=user or None)
