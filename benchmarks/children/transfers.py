"""Child process: how long moving a folder takes. Arguments: ``ours`` or ``airflow``, then JSON: the two places."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import tell


def main(side: str, told: dict[str, Any]) -> None:
    """Open both stores, which takes imports and connections, then move, and tell the time of that alone."""
    move = {"ours": _ours, "airflow": _airflow}[side](told)
    start, cpu = time.perf_counter(), time.process_time()
    move()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM:"))
    tell(seconds=seconds, cpu=cpu, peak=peak)


def _ours(told: dict[str, Any]) -> Any:
    from aml_provider.storage.datastores import store_for
    from aml_provider.storage.transfer import Place, transfer
    from aml_provider.workspace.model import DatastoreConfig

    ends = []
    for name in ("source", "destination"):
        store = store_for(DatastoreConfig(url=told[name]["url"], conn_id=told[name]["conn_id"]), name)
        if store.local_root is None:
            store.check()
        ends.append(Place(store, told[name]["path"]))

    def move() -> None:
        summary = transfer(*ends, state=Path(told["state"]), say=lambda _: None)
        if summary.files != told["files"]:
            raise SystemExit(f"{summary.files} files were moved, not {told['files']}: {summary}")

    return move


def _airflow(told: dict[str, Any]) -> Any:
    from airflow.sdk import ObjectStoragePath
    from airflow.sdk.io import fs

    # As Amazon's and Microsoft's providers do it, which need not be installed here.
    fs._BUILTIN_SCHEME_TO_FS.setdefault("s3", _s3)
    fs._BUILTIN_SCHEME_TO_FS.setdefault("abfs", _azure)
    ends = []
    for name in ("source", "destination"):
        url, conn_id = f"{told[name]['url']}/{told[name]['path']}", told[name]["conn_id"]
        place = ObjectStoragePath(url if "://" in url else f"file://{url}", conn_id=conn_id)
        place.fs  # noqa: B018 - opens it
        ends.append(place)
    # Between two stores, only what ends so is a folder to it.
    end = (
        ends[1] if "file" in (ends[0].protocol, ends[1].protocol) else ObjectStoragePath(f"{ends[1]}/", conn_id=conn_id)
    )
    return lambda: ends[0].copy(end, recursive=True)


def _s3(conn_id: str | None, options: dict[str, Any]) -> Any:
    from s3fs import S3FileSystem

    return S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def _azure(conn_id: str | None, options: dict[str, Any]) -> Any:
    from adlfs import AzureBlobFileSystem

    return AzureBlobFileSystem(connection_string=os.environ["AZURE_STORAGE_CONNECTION_STRING"])


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
