"""Connections of registered datastores on an Airflow server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aml_provider.storage.kept_connections import as_airflow
from aml_provider.submission.api import AirflowApi, NotFoundError
from aml_provider.workspace.resolved import LoadedWorkspace


def keep_connection(workspace: LoadedWorkspace, conn_id: str, fields: Mapping[str, Any] | None) -> None:
    """Create or replace a connection on the workspace's Airflow server, or with ``None`` delete it.

    :raises AirflowApiError: the server does not answer, or refuses.
    """
    assert workspace.file.airflow is not None
    api = AirflowApi(workspace.file.airflow)
    path = f"connections/{quote(conn_id)}"
    try:
        if fields is None:
            api.delete(path)
            return
        api.get(path)
    except NotFoundError:
        if fields is not None:
            api.post("connections", {"connection_id": conn_id, **as_airflow(fields)})
        return
    # All fields are given: one that the new registration does not have must not stay.
    absent = dict.fromkeys(("host", "login", "password", "port", "schema", "extra"))
    api.patch(path, {"connection_id": conn_id, **absent, **as_airflow(fields)})
