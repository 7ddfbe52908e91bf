"""Which of the runs that never said how they ended are over."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from aml_provider.runs.embedded import STATE_FILE, EmbeddedFolder
from aml_provider.runs.layout import RunStore, read_json
from aml_provider.submission.api import AirflowApi, NotFoundError
from aml_provider.submission.request import NAME as REQUEST_FILE
from aml_provider.workspace.resolved import LoadedWorkspace

# An embedded run of another machine shows no process here, but it touches files: a step's heartbeat every few seconds.
SILENT_SECONDS = 3600.0
_ENDED = {"success", "failed"}


def is_over(workspace: LoadedWorkspace, store: RunStore) -> Callable[[str, str], bool]:
    """Says of a run, by DAG id and run id, whether it is known not to go on; what cannot be told counts as going on."""
    embedded = _embedded(workspace)
    api = AirflowApi(workspace.file.airflow) if workspace.file.airflow is not None else None

    def over(dag_id: str, run_id: str) -> bool:
        folder = embedded.get((dag_id, run_id))
        if folder is not None:
            signs = [folder / STATE_FILE, *store.run(dag_id, run_id).path.glob("steps/*/attempts/*/alive")]
            newest = max(sign.stat().st_mtime for sign in signs)
            return EmbeddedFolder(folder).process is None and time.time() - newest > SILENT_SECONDS
        if api is None:
            return False
        try:
            return api.get(f"dags/{quote(dag_id)}/dagRuns/{quote(run_id)}")["state"] in _ENDED
        except NotFoundError:
            # Another server may know it.
            return False

    return over


def _embedded(workspace: LoadedWorkspace) -> dict[tuple[str, str], Path]:
    """The folders of embedded runs, by DAG id and run id."""
    found = {}
    for file in (workspace.state / "runs").glob(f"*/{STATE_FILE}"):
        request, state = read_json(file.parent / REQUEST_FILE), read_json(file)
        if request is not None and state is not None:
            found[str(request["dag_id"]), str(state["run_id"])] = file.parent
    return found
