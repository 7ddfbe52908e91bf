"""``Datastore.register_...`` of databases: the description goes to the workspace, the password to a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aml_provider.sdk.datastore_endpoints import is_plain_name
from aml_provider.sdk.datastore_registering import register
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.spec.errors import NotSupportedError

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace


class SqlRegistrations:
    """The part of ``Datastore`` that registers databases. As in v1 nothing is asked of them yet."""

    @staticmethod
    def register_azure_sql_database(
        workspace: Workspace,
        datastore_name: str,
        server_name: str,
        database_name: str,
        tenant_id: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        resource_url: str | None = None,
        authority_url: str | None = None,
        endpoint: str | None = None,
        overwrite: bool = False,
        username: str | None = None,
        password: str | None = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        grant_workspace_access: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Register an Azure SQL Database or another SQL Server. ``grant_workspace_access`` means nothing here.

        :param server_name: as in Azure, or a host's whole name.
        :param endpoint: Azure's domain for it; default: ``database.windows.net``.
        :param overwrite: replace a registered datastore of this name.
        :raises NotSupportedError: a service principal was given: only users of the database can sign in.
        :raises UserErrorException: the name is another datastore's.
        """
        if tenant_id or client_id or client_secret:
            raise NotSupportedError(
                f"datastore {datastore_name!r}: a service principal cannot sign in to SQL Server from here; give "
                "username and password of a user of the database."
            )
        return _registered(
            workspace,
            datastore_name,
            "AzureSqlDatabase",
            "mssql",
            _host(server_name, endpoint or "database.windows.net"),
            database_name,
            login=username,
            password=password,
            details={"username": username},
            overwrite=overwrite,
        )

    @staticmethod
    def register_azure_postgre_sql(
        workspace: Workspace,
        datastore_name: str,
        server_name: str,
        database_name: str,
        user_id: str,
        user_password: str,
        port_number: int | str | None = None,
        endpoint: str | None = None,
        overwrite: bool = False,
        enforce_ssl: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Register a PostgreSQL database.

        :param server_name: as in Azure, or a host's whole name.
        :param endpoint: Azure's domain for it; default: ``postgres.database.azure.com``.
        :param overwrite: replace a registered datastore of this name.
        :param enforce_ssl: connect over TLS only.
        :raises UserErrorException: the name is another datastore's.
        """
        return _registered(
            workspace,
            datastore_name,
            "AzurePostgreSql",
            "postgres",
            _host(server_name, endpoint or "postgres.database.azure.com"),
            database_name,
            login=user_id,
            password=user_password,
            port=port_number,
            details={"user_id": user_id, "user_password": None, "enforce_ssl": bool(enforce_ssl)},
            extra={"sslmode": "require"} if enforce_ssl else {},
            overwrite=overwrite,
        )

    @staticmethod
    def register_azure_my_sql(
        workspace: Workspace,
        datastore_name: str,
        server_name: str,
        database_name: str,
        user_id: str,
        user_password: str,
        port_number: int | str | None = None,
        endpoint: str | None = None,
        overwrite: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Register a MySQL database.

        :param server_name: as in Azure, or a host's whole name.
        :param endpoint: Azure's domain for it; default: ``mysql.database.azure.com``.
        :param overwrite: replace a registered datastore of this name.
        :raises UserErrorException: the name is another datastore's.
        """
        return _registered(
            workspace,
            datastore_name,
            "AzureMySql",
            "mysql",
            _host(server_name, endpoint or "mysql.database.azure.com"),
            database_name,
            login=user_id,
            password=user_password,
            port=port_number,
            details={"user_id": user_id, "user_password": None},
            overwrite=overwrite,
        )


def _registered(
    workspace: Workspace,
    name: str,
    kind: str,
    conn_type: str,
    host: str,
    database: str,
    *,
    login: str | None,
    password: str | None,
    details: dict[str, Any],
    overwrite: bool,
    port: int | str | None = None,
    extra: dict[str, Any] | None = None,
) -> Any:
    if not isinstance(database, str) or not database.strip():
        raise UserErrorException(f"datastore {name!r}: database_name is {database!r}; give the database's name.")
    if port is not None and not str(port).isdigit():
        raise UserErrorException(f"datastore {name!r}: port_number is {port!r}; give a number.")
    scheme = {"postgres": "postgresql"}.get(conn_type, conn_type)
    address = f"{host}:{port}" if port is not None else host
    connection = {"conn_type": conn_type, "login": login, "password": password, "extra": extra or {}}
    shown = {"server_name": host, "database_name": database, **details}
    if port is not None:
        shown["port_number"] = int(port)
    return register(
        workspace,
        name,
        kind,
        f"{scheme}://{address}/{quote(database, safe='')}",
        details=shown,
        connection=connection if login or password else None,
        overwrite=overwrite,
    )


def _host(server: str, domain: str) -> str:
    if not is_plain_name(server):
        raise UserErrorException(f"server_name is {server!r}, which names no server; give its plain name.")
    return server if "." in server or server == "localhost" else f"{server}.{domain}"
