"""A DAG from a request on disk: what the loader file of an embedded run calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aml_provider.submission.request import Request
from aml_provider.translate.dag import build_dag

if TYPE_CHECKING:
    from airflow.sdk import DAG


def load(run_folder: str | Path) -> DAG:
    """The DAG of the request in ``run_folder``."""
    request = Request.read(Path(run_folder))
    return build_dag(request.spec, request.folder, request.workspace, request.dag_id)
