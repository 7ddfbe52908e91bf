"""``aml pools``: Airflow pools for compute targets, on a server or in the Airflow of this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from aml_provider.cli.inspect import collect
from aml_provider.cli.local_airflow import create_local_pool, local_pools
from aml_provider.spec.errors import AmlError
from aml_provider.submission.api import AirflowApi, NotFoundError
from aml_provider.workspace.discovery import load_workspace
from aml_provider.workspace.resolved import LoadedWorkspace

DESCRIPTION = "made by aml for a compute target"


def ensure_pools(files: list[Path], *, check: bool) -> int:
    """Create the pools that do not exist; those that do keep their size, which an operator may have changed.

    :param files: pipeline files whose own compute targets need pools too.
    :param check: create nothing.
    :return: exit code.
    """
    wanted: dict[str, int] = {}
    workspace = load_workspace()
    for spec, _, found in (item for file in files for item in collect(file)):
        workspace = found
        for name, slots in found.pools({c.name: c for c in spec.compute}).items():
            wanted[name] = max(slots, wanted.get(name, 0))
    if not files:
        wanted = workspace.pools()
    existing = _existing(workspace)
    missing = {n: s for n, s in sorted(wanted.items()) if n not in existing}
    for name in sorted(set(wanted) - set(missing)):
        print(f"pool {name}: exists, {existing[name]} slots")
    for name, slots in missing.items():
        if check:
            print(
                f"aml: pool {name} is missing: its tasks would stay queued for ever; run `aml pools`", file=sys.stderr
            )
        else:
            _create(workspace, name, slots)
            print(f"pool {name}: created, {slots} slots")
    return 1 if check and missing else 0


def _existing(workspace: LoadedWorkspace) -> dict[str, int]:
    if workspace.file.airflow is not None:
        pools = AirflowApi(workspace.file.airflow).get("pools", limit=1000)["pools"]
        return {p["name"]: p["slots"] for p in pools}
    return local_pools()


def _create(workspace: LoadedWorkspace, name: str, slots: int) -> None:
    body = {"name": name, "slots": slots, "description": DESCRIPTION, "include_deferred": True}
    if workspace.file.airflow is not None:
        api = AirflowApi(workspace.file.airflow)
        try:
            api.post("pools", body)
        except NotFoundError as e:
            raise AmlError(f"pool {name!r} could not be created: {e}") from None
        return
    create_local_pool(name, slots, DESCRIPTION)
