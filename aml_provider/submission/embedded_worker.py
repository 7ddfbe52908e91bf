"""The process of an embedded run: Airflow's own in-process run of one DAG on a database of its own."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from filelock import FileLock

from aml_provider.runs.embedded import CANCEL_FILE, STATE_FILE
from aml_provider.runs.layout import write_json
from aml_provider.sdk.backend import RunState
from aml_provider.submission.request import Request
from aml_provider.submission.state import run_state
from aml_provider.tracking.recorder import close_run

WATCH_SECONDS = 0.2
# Airflow and MLflow make half a million objects that stay: to look through them after every 700 more, as Python does by
# default, and once more at the end, takes nearly half of the time of a short run.
_GARBAGE_AFTER = 50_000


def main(folder: Path) -> int:
    """Run the request in ``folder``; the exit code says whether the run finished."""
    request = Request.read(folder)
    _database(folder, request.workspace.state)

    from airflow.models.dagrun import DagRun
    from airflow.models.pool import Pool
    from airflow.sdk import timezone
    from airflow.utils.types import DagRunType

    from aml_provider.submission.loader import load
    from aml_provider.submission.task_api import newest_version_only

    newest_version_only()
    for name, slots in request.workspace.pools({c.name: c for c in request.spec.compute}).items():
        Pool.create_or_update_pool(name, slots=slots, description="made by aml", include_deferred=True)
    dag = load(folder)
    now = timezone.utcnow()
    run_id = DagRun.generate_run_id(run_type=DagRunType.MANUAL, logical_date=now, run_after=now)
    watch = Watch(folder, request.dag_id, run_id)
    watch.start()
    try:
        dag.test(logical_date=now, run_after=now)
    finally:
        state = watch.finish()
    if watch.canceled or not state.is_final:
        store_folder = _run_folder(request, run_id)
        if store_folder.is_dir():
            ended = "Canceled" if watch.canceled else "Failed"
            write_json(store_folder / "end.json", {"state": ended, "ended": time.time(), "steps": watch.states()})
            close_run(store_folder, ended, watch.states())
    return 0 if state is RunState.FINISHED else 1


def _run_folder(request: Request, run_id: str) -> Path:
    from aml_provider.runs.layout import RunStore

    return RunStore.of(request.workspace, request.spec.default_datastore).run(request.dag_id, run_id).path


def _database(folder: Path, state: Path) -> None:
    """Give the run an Airflow database: a copy of an empty one that is migrated once per Airflow version."""
    from importlib.metadata import version

    home = folder / "airflow"
    home.mkdir(exist_ok=True)
    template = state / "airflow" / f"empty-{version('apache-airflow-core')}.db"
    template.parent.mkdir(parents=True, exist_ok=True)
    if not template.exists():
        with FileLock(f"{template}.lock"):
            if not template.exists():
                from airflow.utils.db import upgradedb

                upgradedb()
                part = template.with_suffix(".part")
                # A plain copy would miss what SQLite still holds in its write-ahead log.
                with closing(sqlite3.connect(home / "airflow.db")) as made, closing(sqlite3.connect(part)) as copy:
                    made.backup(copy)
                os.replace(part, template)
                return
    shutil.copy(template, home / "airflow.db")


class Watch:
    """Writes the run's and the steps' states to ``state.json`` as they change, and carries out a cancel."""

    def __init__(self, folder: Path, dag_id: str, run_id: str) -> None:
        self._folder, self._dag_id, self._run_id = folder, dag_id, run_id
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="aml-watch")
        self._last: dict[str, Any] | None = None
        self.canceled = False

    def start(self) -> None:
        """Tell the run id at once, then follow."""
        self._write({"state": RunState.NOT_STARTED.value, "steps": {}})
        self._thread.start()

    def finish(self) -> RunState:
        """Stop following; the last state is on disk then."""
        self._stop.set()
        self._thread.join()
        return self._look()

    def states(self) -> dict[str, str]:
        """Airflow's states of the steps, as last seen."""
        steps = (self._last or {}).get("steps", {})
        return {key: step["state"] or "removed" for key, step in steps.items()}

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_SECONDS):
            self._look()
            if not self.canceled and (self._folder / CANCEL_FILE).exists():
                self._cancel()

    def _look(self) -> RunState:
        from airflow.models.dagrun import DagRun
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            run = session.scalar(select(DagRun).where(DagRun.dag_id == self._dag_id, DagRun.run_id == self._run_id))
            rows = session.execute(
                select(TaskInstance.task_id, TaskInstance.state, TaskInstance.start_date, TaskInstance.end_date).where(
                    TaskInstance.dag_id == self._dag_id, TaskInstance.run_id == self._run_id
                )
            ).all()
            state = run_state(run.state if run is not None else None)
        steps = {
            task_id: {
                "state": str(task_state) if task_state else None,
                "started": start.timestamp() if start else None,
                "ended": end.timestamp() if end else None,
            }
            for task_id, task_state, start, end in rows
        }
        if self.canceled and state.is_final:
            state = RunState.CANCELED
        self._write({"state": state.value, "steps": steps})
        return state

    def _write(self, state: dict[str, Any]) -> None:
        if state != self._last:
            mine = {"run_id": self._run_id, "pid": os.getpid(), "host": socket.gethostname()}
            write_json(self._folder / STATE_FILE, mine | state)
            self._last = state

    def _cancel(self) -> None:
        """Nothing more is started, and the step that runs is told to stop (Airflow's own SIGTERM handling)."""
        from airflow.models.dagrun import DagRun
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session
        from sqlalchemy import update

        self.canceled = True
        waiting = ("scheduled", "queued", "up_for_retry", "up_for_reschedule")
        with create_session() as session:
            session.execute(
                update(TaskInstance)
                .where(TaskInstance.dag_id == self._dag_id, TaskInstance.run_id == self._run_id)
                .where(TaskInstance.state.is_(None) | TaskInstance.state.in_(waiting))
                .values(state="skipped")
                .execution_options(synchronize_session=False)
            )
            session.execute(
                update(DagRun)
                .where(DagRun.dag_id == self._dag_id, DagRun.run_id == self._run_id)
                .values(state="failed")
                .execution_options(synchronize_session=False)
            )


def _on_term(_signal: int, _frame: object) -> None:
    """Between two tasks there is nothing to stop: the watcher sees the cancel file."""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _on_term)
    gc.set_threshold(_GARBAGE_AFTER)
    code = main(Path(sys.argv[1]))
    gc.freeze()
    sys.exit(code)
