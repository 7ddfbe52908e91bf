"""Credentials of datastores: Airflow connections, read when data is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aml_provider.workspace.model import DatastoreConfig

from .airflow_import import logging_to_stderr
from .faults import DatastoreError, Reason
from .kept_connections import kept_connection

#: The connection type that this package adds to Airflow.
CONNECTION_TYPE = "aml_datastore"
# What a connection's extra may hold that is nobody's business.
_SECRET_WORDS = ("password", "secret", "token", "key", "passphrase", "connection_string", "credential", "authorization")
_MASKED_FROM = 5
# No secret, though its name sounds like one.
_PUBLIC = ("host_key", "no_host_key_check", "key_file", "key_path", "keyfile_path", "aws_access_key_id")


@dataclass(frozen=True)
class Credentials:
    """An Airflow connection, as far as a datastore needs it. Nothing of it is shown.

    :param conn_type: ``aws``, ``wasb``, ``sftp``, ``aml_datastore`` ...
    :param extra: what its extra holds.
    """

    conn_id: str
    conn_type: str
    host: str = field(default="", repr=False)
    login: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    port: int | None = field(default=None, repr=False)
    schema: str = field(default="", repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def get(self, *names: str) -> Any:
        """The first of these that the extra holds, ``None`` for nothing; also under the names of older Airflows."""
        for name in names:
            for key in (name, f"extra__{self.conn_type}__{name}"):
                value = self.extra.get(key)
                if value not in (None, ""):
                    return value
        return None

    def text(self, *names: str) -> str | None:
        """:meth:`get` for text."""
        value = self.get(*names)
        return None if value is None else str(value)

    def flag(self, *names: str, default: bool = False) -> bool:
        """:meth:`get` for a truth value, which forms and URIs keep as text."""
        value = self.get(*names)
        if value is None:
            return default
        return str(value).strip().lower() not in ("false", "0", "no", "off")

    def mapping(self, *names: str) -> dict[str, Any]:
        """:meth:`get` for a mapping, which URIs keep as JSON text.

        :raises DatastoreError: it is none.
        """
        value = self.get(*names)
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                value = value or None
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise DatastoreError(
                f"Airflow connection {self.conn_id!r}: {names[0]!r} in its extra must be a JSON object.",
                Reason.CONNECTION,
            )
        return dict(value)

    def address(self, *names: str) -> str | None:
        """:meth:`text` for a service's address.

        :raises DatastoreError: it does not say how the service is spoken to.
        """
        value = self.text(*names)
        if value and "://" not in value:
            raise DatastoreError(
                f"Airflow connection {self.conn_id!r}: {names[0]} is {value!r}; write it with http:// or https:// in "
                "front.",
                Reason.CONNECTION,
            )
        return value

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message and no log may show."""
        found = [self.password]
        for name, value in self.extra.items():
            if _is_secret(name) and isinstance(value, str):
                found.append(value)
            elif isinstance(value, Mapping):
                found += [v for k, v in value.items() if _is_secret(k) and isinstance(v, str)]
        return tuple(sorted({text for text in found if len(text) > 3}, key=len, reverse=True))


def credentials_of(config: DatastoreConfig, datastore: str) -> Credentials | None:
    """The credentials of a datastore; ``None``: it names no connection.

    :param datastore: the datastore's name, for messages.
    :raises DatastoreError: its connection does not exist, or cannot be read.
    """
    if config.conn_id is None:
        return None
    if config.connections_file is None:
        return credentials(config.conn_id, datastore)
    try:
        kept = kept_connection(config.connections_file, config.conn_id)
    except DatastoreError as unreadable:
        # A worker may be another user than the program that has registered it, and have it from Airflow.
        try:
            return credentials(config.conn_id, datastore)
        except DatastoreError:
            raise unreadable from None
    # What a program has registered last counts, whatever Airflow has under this name.
    return credentials(config.conn_id, datastore) if kept is None else _masked(config.conn_id, **kept)


def credentials(conn_id: str, datastore: str) -> Credentials:
    """The connection of this name: from the environment, a secrets backend, or Airflow's database through its API.

    In an asyncio program, call it in a thread.

    :param datastore: the datastore's name, for messages.
    :raises DatastoreError: there is none, or it cannot be read.
    """
    # Airflow costs half a second to import, and many programs need no connection.
    with logging_to_stderr():
        from airflow.sdk.bases.hook import BaseHook
        from airflow.sdk.exceptions import AirflowException

    try:
        found = BaseHook.get_connection(conn_id)
    except PermissionError as error:
        raise DatastoreError(
            f"datastore {datastore!r}: Airflow does not let this run see the connection {conn_id!r}; have it granted.",
            Reason.CONNECTION,
        ) from error
    except AirflowException as error:
        raise DatastoreError(_absent(conn_id, datastore), Reason.CONNECTION) from error
    read = _masked(
        conn_id, found.conn_type, found.host, found.login, found.password, found.port, found.schema, found.extra
    )
    if replace(read, schema="") == Credentials(conn_id, ""):
        # Of text that is no URI, Airflow makes a connection in which next to nothing is.
        raise DatastoreError(_absent(conn_id, datastore), Reason.CONNECTION)
    return read


def _masked(
    conn_id: str,
    conn_type: str | None = None,
    host: str | None = None,
    login: str | None = None,
    password: str | None = None,
    port: int | None = None,
    schema: str | None = None,
    extra: str | None = None,
) -> Credentials:
    read = Credentials(
        conn_id,
        (conn_type or "").lower().replace("-", "_"),
        host or "",
        login or "",
        password or "",
        port,
        schema or "",
        _extra(extra, conn_id),
    )
    _mask(read.secrets)
    return read


def _absent(conn_id: str, datastore: str) -> str:
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    if os.environ.get(variable):
        return (
            f"datastore {datastore!r}: the environment variable {variable} is no connection; write it as a URI or as a "
            'JSON object like {"conn_type": "aws", "login": ...}.'
        )
    return (
        f"datastore {datastore!r} uses the Airflow connection {conn_id!r}, which does not exist; create it in Airflow "
        f"(Admin, Connections), or set the environment variable {variable}."
    )


def _extra(text: str | None, conn_id: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DatastoreError(
            f"Airflow connection {conn_id!r}: its extra is no JSON object; correct it in Airflow.", Reason.CONNECTION
        )
    return found


def _is_secret(name: str) -> bool:
    short = name.rpartition("__")[2].lower()
    return short not in _PUBLIC and any(word in short for word in _SECRET_WORDS)


def _mask(secrets: tuple[str, ...]) -> None:
    """Have Airflow hide them in every log of this process."""
    with logging_to_stderr():
        from airflow.sdk.log import mask_secret

    for secret in secrets:
        # Airflow itself refuses to hide shorter ones, and says so each time.
        if len(secret) >= _MASKED_FROM:
            mask_secret(secret)
