"""What moving many small files from one store to another takes, beside Airflow's ``ObjectStoragePath.copy``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import bucket, container
from benchmarks.measure import Options, alternate, child
from benchmarks.parts.transfer import GOAL_AIRFLOW, make_many, row
from benchmarks.table import Row

FILES = 500


def rows(folder: Path, options: Options) -> Iterator[Row]:
    """S3 to Azure Blob, and back."""
    if reason := bucket.missing() or container.missing():
        yield Row("transfer: from S3 to Azure Blob and back", None, "x", None, reason)
        return
    make_many(folder / "from", FILES)
    with bucket.bucket() as ours, container.container() as theirs:
        stores = {
            "S3": {"url": f"s3://{ours}", "conn_id": bucket.CONNECTION},
            "Azure Blob": {"url": f"abfs://{theirs}", "conn_id": container.CONNECTION},
        }
        near = {"url": str(folder), "path": "from", "conn_id": None}
        for source, end in (("S3", "Azure Blob"), ("Azure Blob", "S3")):
            kept = {**stores[source], "path": "kept"}
            _move(folder, "ours", near, kept)
            # What is at the destination already would be found, and not moved.
            ends = ({**stores[end], "path": f"to/{source}/{number}"} for number in count())
            results = alternate(
                options.runs, {side: partial(_move_next, folder, side, kept, ends) for side in ("airflow", "ours")}
            )
            title = f"transfer: ObjectStoragePath.copy over ours, {source} to {end}, {FILES} small files"
            yield row(title, results, "airflow", GOAL_AIRFLOW)


def _move_next(folder: Path, side: str, source: dict[str, Any], ends: Iterator[dict[str, Any]]) -> dict[str, Any]:
    return _move(folder, side, source, next(ends))


def _move(folder: Path, side: str, source: dict[str, Any], end: dict[str, Any]) -> dict[str, Any]:
    state = folder / "state"
    told = {"source": source, "destination": end, "files": FILES, "state": str(state)}
    environment = {**bucket.connection(), **container.connection()}
    try:
        return child("transfers", side, json.dumps(told), home=folder / "home", environment=environment)
    finally:
        shutil.rmtree(state, ignore_errors=True)
