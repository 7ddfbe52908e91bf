"""Connections that programs make when they register datastores, in a file that only its owner can read.

The file has the format of Airflow's own local filesystem secrets backend, which can be pointed at it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aml_provider.workspace.registered import CONNECTIONS_NAME, change_file

from .faults import DatastoreError, Reason

_OWNER_ONLY = 0o600
_FIELDS = ("conn_type", "host", "login", "password", "port", "schema", "extra")


def keep_connection(state: Path, conn_id: str, fields: Mapping[str, Any] | None) -> None:
    """Keep a connection, or with ``None`` forget it.

    :param fields: as of :class:`airflow.sdk.Connection`; ``extra`` as a mapping.
    :raises WorkspaceFileError: the state folder cannot be written.
    """
    if fields is None and kept_connection(state / CONNECTIONS_NAME, conn_id) is None:
        return

    def change(content: dict[str, Any]) -> None:
        content.pop(conn_id, None)
        if fields is not None:
            content[conn_id] = as_airflow(fields)

    change_file(state / CONNECTIONS_NAME, change, mode=_OWNER_ONLY)


def kept_connection(file: Path, conn_id: str) -> dict[str, Any] | None:
    """A connection's fields; ``None``: the file has none of this name.

    :raises DatastoreError: the file cannot be read.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8")).get(conn_id)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise DatastoreError(
            f"the connection {conn_id!r} is in {file}, which only its owner may read; run as that user, or create the "
            "connection in Airflow and name it as conn_id in workspace.yaml.",
            Reason.CONNECTION,
        ) from error
    except (ValueError, AttributeError) as error:
        raise DatastoreError(
            f"{file}: is damaged; remove it, and register its datastores again.", Reason.CONNECTION
        ) from error
    return {key: found.get(key) for key in _FIELDS} if isinstance(found, dict) else None


def as_airflow(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are set, with ``extra`` as the text that Airflow wants."""
    found = {key: value for key, value in fields.items() if value not in (None, "", {})}
    if isinstance(found.get("extra"), Mapping):
        extra = {key: value for key, value in found["extra"].items() if value not in (None, "")}
        found["extra"] = json.dumps(extra, sort_keys=True)
    return found


@contextmanager
def tried_connection(conn_id: str, fields: Mapping[str, Any]) -> Iterator[Path]:
    """A file with this one connection, for as long as it takes to try it."""
    with tempfile.TemporaryDirectory(prefix="aml-") as folder:
        keep_connection(Path(folder), conn_id, fields)
        yield Path(folder) / CONNECTIONS_NAME
