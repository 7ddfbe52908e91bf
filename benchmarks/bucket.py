"""A bucket of its own for a measurement, in the S3 that the environment names."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_NAMES = ("S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
CONNECTION = "bench_s3"


def missing() -> str | None:
    """Why there is none; ``None``: there is."""
    absent = [name for name in _NAMES if not os.environ.get(name)]
    return f"no S3: set {', '.join(_NAMES)}" if absent else None


def connection() -> dict[str, str]:
    """Variables that tell a child process how to reach it; none where there is no S3."""
    if missing():
        return {}
    known = {
        "conn_type": "aws",
        "login": os.environ["AWS_ACCESS_KEY_ID"],
        "password": os.environ["AWS_SECRET_ACCESS_KEY"],
        "extra": {"endpoint_url": os.environ["S3_ENDPOINT_URL"], "region_name": os.environ["AWS_DEFAULT_REGION"]},
    }
    # Without the Amazon provider Airflow's own way asks no connection, but botocore, which reads variables.
    return {
        f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(known),
        "AWS_ENDPOINT_URL": os.environ["S3_ENDPOINT_URL"],
    }


@contextmanager
def bucket() -> Iterator[str]:
    """The name of an empty one, which is gone afterwards."""
    name = f"aml-bench-{uuid.uuid4().hex[:12]}"
    _client().create_bucket(Bucket=name)
    try:
        yield name
    finally:
        clear(name)
        _client().delete_bucket(Bucket=name)


def clear(name: str, prefix: str = "") -> None:
    """Remove what is below ``prefix``."""
    client = _client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=prefix):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", ())]
        if keys:
            client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})


def _client() -> Any:
    from botocore.session import Session

    return Session().create_client("s3", endpoint_url=os.environ["S3_ENDPOINT_URL"])
