"""A container of its own for a measurement, in the Azure Blob that the environment names."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAME = "AZURE_STORAGE_CONNECTION_STRING"
CONNECTION = "bench_azure"


def missing() -> str | None:
    """Why there is none; ``None``: there is."""
    return None if os.environ.get(_NAME) else f"no Azure Blob: set {_NAME}"


def connection() -> dict[str, str]:
    """Variables that tell a child process how to reach it."""
    known = {"conn_type": "wasb", "extra": {"connection_string": os.environ[_NAME]}}
    return {f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(known)}


@contextmanager
def container() -> Iterator[str]:
    """The name of an empty one, which is gone afterwards."""
    name = f"aml-bench-{uuid.uuid4().hex[:12]}"
    _client().create_container(name)
    try:
        yield name
    finally:
        _client().delete_container(name)


def _client() -> Any:
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient.from_connection_string(os.environ[_NAME])
