"""Registering a datastore: its description goes to the workspace, its credentials to a connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import is_program
from aml_provider.sdk.submission import ask
from aml_provider.spec.errors import NotSupportedError
from aml_provider.workspace.model import DatastoreConfig
from aml_provider.workspace.registered import RegisteredDatastore, read_registered, write_registered

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace

# Azure ML's rule for a datastore's name.
_NAME = re.compile(r"[A-Za-z0-9_]{1,255}")


def register(
    workspace: Workspace,
    name: str,
    kind: str,
    url: str,
    *,
    details: Mapping[str, Any] | None = None,
    connection: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    check: Callable[[DatastoreConfig], None] | None = None,
) -> Any:
    """Make a datastore known to later programs, to Airflow and to its workers, and return v1's object for it.

    Nothing is written when anything is wrong. Where the workspace file declares the name, that counts, and nothing is
    registered. Airflow and collectors register nothing.

    :param kind: v1's ``datastore_type``.
    :param url: as in the workspace file, without credentials.
    :param details: what v1's object shows beside that; nothing secret.
    :param connection: the fields of an Airflow connection (``conn_type``, ``login``, ``password``, ``extra``, ...);
        ``None``: no credentials are needed.
    :param overwrite: replace what another program has registered under this name.
    :param check: raises what is wrong with the datastore; called before anything is written.
    :raises UserErrorException: the name cannot be one, or is another datastore's.
    :raises NotSupportedError: the file is only read, and nobody has registered the datastore yet.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserErrorException(
            f"datastore name {name!r} cannot be used; use letters, digits and underscores, at most 255."
        )
    if name in workspace.loaded.file.datastores:
        return _object(workspace, name)
    state = workspace.loaded.state
    there = read_registered(state)
    if not is_program():
        if name in there:
            return _object(workspace, name)
        raise NotSupportedError(
            f"datastore {name!r} is not registered yet, and is not while this file is only read: run the file as a "
            "program once, or declare it in workspace.yaml under "
            f"`datastores: {{{name}: {{url: {url}, conn_id: ...}}}}`."
        )
    conn_id = None if connection is None else _conn_id(workspace, name)
    try:
        config = RegisteredDatastore(url=url, conn_id=conn_id, kind=kind, details=dict(details or {}))
    except ValidationError as error:
        why = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        raise UserErrorException(f"datastore {name!r} cannot be registered: its url {why}.") from None
    _check_name(workspace, name, there, config, connection, overwrite)
    _try(name, config, connection, check)
    _keep(workspace, name, config, connection)
    return _object(workspace, name)


def unregister(workspace: Workspace, name: str) -> None:
    """Forget a registered datastore and its connection.

    :raises NotSupportedError: it was not registered by a program.
    """
    state = workspace.loaded.state
    config = read_registered(state).get(name)
    if name in workspace.loaded.file.datastores:
        raise NotSupportedError(f"Datastore {name!r} is declared in {workspace.loaded.path}; remove it there.")
    if config is None:
        workspace.loaded.datastore(name)
        raise NotSupportedError(f"Datastore {name!r} is one of those that every workspace has; it cannot be removed.")
    if workspace.default_datastore_name == name:
        raise UserErrorException(
            f"datastore {name!r} is the default datastore; make another one the default before you unregister it."
        )
    write_registered(state, name, None)
    if config.conn_id is not None:
        _keep_connection(workspace, config.conn_id, None)


def _object(workspace: Workspace, name: str) -> Any:
    from aml_provider.sdk.datastore import datastore_object

    return datastore_object(workspace, name)


def _conn_id(workspace: Workspace, name: str) -> str:
    # The workspace's name too: several may share one Airflow.
    return re.sub(r"[^\w.\-]", "_", f"aml_{workspace.loaded.file.name}_{name}", flags=re.ASCII)[:250]


def _check_name(
    workspace: Workspace,
    name: str,
    there: Mapping[str, RegisteredDatastore],
    config: RegisteredDatastore,
    connection: Mapping[str, Any] | None,
    overwrite: bool,
) -> None:
    # Azure ML does not tell upper from lower case in these names; a second spelling would be a second datastore.
    close = [other for other in workspace.loaded.datastores if other.lower() == name.lower() and other != name]
    if close:
        raise UserErrorException(
            f"datastore name {name!r} differs from that of {close[0]!r} only in letter case; use that, or another name."
        )
    if name in there and not overwrite and not _is_same(there[name], config, connection):
        raise UserErrorException(
            f"there is another datastore named {name!r} ({there[name].url}), or it has other credentials; give "
            "overwrite=True to replace it, or use another name."
        )
    if name in workspace.loaded.datastores and name not in there:
        raise UserErrorException(
            f"datastore {name!r} is one of those that every workspace has; use another name, or say in workspace.yaml "
            f"where its data is, under `datastores: {{{name}: {{url: ...}}}}`."
        )


def _is_same(there: RegisteredDatastore, config: RegisteredDatastore, connection: Mapping[str, Any] | None) -> bool:
    from aml_provider.storage.kept_connections import as_airflow, kept_connection

    if there.kept_in(None) != config:
        return False
    if connection is None or config.conn_id is None or there.connections_file is None:
        return connection is None
    kept = kept_connection(there.connections_file, config.conn_id)
    return as_airflow(kept or {}) == as_airflow(connection)


def _try(
    name: str,
    config: RegisteredDatastore,
    connection: Mapping[str, Any] | None,
    check: Callable[[DatastoreConfig], None] | None,
) -> None:
    from aml_provider.storage.faults import DatastoreError
    from aml_provider.storage.kept_connections import tried_connection

    if check is None:
        return
    try:
        if connection is None or config.conn_id is None:
            check(config)
            return
        with tried_connection(config.conn_id, connection) as file:
            check(config.kept_in(file))
    except DatastoreError as error:
        # There is no connection yet that its author could look at.
        why = str(error).replace(f"Airflow connection {config.conn_id!r}", "this registration")
        raise UserErrorException(f"datastore {name!r} is not registered: {why}") from None


def _keep(workspace: Workspace, name: str, config: RegisteredDatastore, connection: Mapping[str, Any] | None) -> None:
    # The connection first: no other program meets a datastore whose credentials are not there yet.
    if connection is not None and config.conn_id is not None:
        _keep_connection(workspace, config.conn_id, connection)
    write_registered(workspace.loaded.state, name, config)


def _keep_connection(workspace: Workspace, conn_id: str, fields: Mapping[str, Any] | None) -> None:
    from aml_provider.storage.kept_connections import keep_connection

    if workspace.loaded.file.airflow is not None:
        # Its workers may be on other machines, where this machine's files are not.
        ask("keep_connection", workspace.loaded, conn_id, fields)
    keep_connection(workspace.loaded.state, conn_id, fields)
