"""Sees to it that no MLflow run stays open, and no claim of a hand-written DAG, however a run has ended.

A run's closing task does that; but it may be killed, its run may take longer than it may, or a person may mark the
task as ended. These hooks are called by the scheduler, when it sees that a run is over, and by the API server, when a
person marks it. There they ask the database two questions and, only if nobody has closed the run, start a program that
does it and that nobody waits for.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from aml_provider.spec.names import CLAIM_XCOM, CLOSED_XCOM, END_KEY, FINAL_STATES, HEAD_KEY, RECORD_XCOM

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

_log = logging.getLogger(__name__)
# What releases the claim of a hand-written DAG's sensor.
_RECORDING = "StepRecordOperator"
# The states of a run that is over.
_OVER = ("success", "failed")


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """When a run has succeeded, or was marked so, close what has stayed open."""
    _look(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """When a run has failed, was marked so or took longer than it may, close what has stayed open."""
    _look(dag_run)


def _look(dag_run: DagRun) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        order = _order(dag_run)
        if order is not None:
            _start(order)
    except (SQLAlchemyError, OSError, ValueError, subprocess.SubprocessError) as error:
        _log.warning("MLflow was not told that run %s of %s has ended: %s", dag_run.run_id, dag_run.dag_id, error)


def _order(dag_run: DagRun) -> dict[str, Any] | None:
    """What the program needs to know; ``None``: nothing is left to do, or the closing task is going to do it."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    if str(dag_run.state) not in _OVER:
        # Somebody has marked it as failed, and Airflow lets it go on until its closing task has run.
        return None
    # The caller's own session: another one would wait for the lock that this one holds on SQLite.
    session = object_session(dag_run)
    if session is None:
        return None
    found = session.execute(
        select(XComModel.task_id, XComModel.key, XComModel.value).where(
            XComModel.dag_id == dag_run.dag_id,
            XComModel.run_id == dag_run.run_id,
            XComModel.key.in_((RECORD_XCOM, CLOSED_XCOM, CLAIM_XCOM)),
        )
    ).all()
    said = {str(key): value for task, key, value in found if task in (HEAD_KEY, END_KEY)}
    claims = [value for _, key, value in found if key == CLAIM_XCOM]
    if not claims and (RECORD_XCOM not in said or CLOSED_XCOM in said):
        return None
    rows = session.execute(
        select(TaskInstance.task_id, TaskInstance.state, TaskInstance.operator).where(
            TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id
        )
    ).all()
    if claims:
        # What records a result gives its claim back when it runs.
        recording = [str(state) for _, state, operator in rows if operator == _RECORDING]
        if len(recording) >= len(claims) and set(recording) <= {"success", "failed"}:
            return None
        known = [json.loads(value) if isinstance(value, str) else value for value in claims]
        return {"claims": known, "dag_id": dag_run.dag_id, "run_id": dag_run.run_id}
    states = {str(task): str(state) if state else "removed" for task, state, _ in rows}
    if states.get(END_KEY, "removed") not in FINAL_STATES:
        return None
    record = said[RECORD_XCOM]
    return {
        **(json.loads(record) if isinstance(record, str) else record),
        "dag_id": dag_run.dag_id,
        "run_id": dag_run.run_id,
        "state": str(dag_run.state),
        "states": states,
    }


def _start(order: dict[str, Any]) -> None:
    """Start the program in a process group of its own, which a shell leaves to init: nobody here waits for it."""
    # A file, because the states of many steps are too long for an argument. The program removes it.
    with tempfile.NamedTemporaryFile("w", prefix="aml-close-", suffix=".json", delete=False) as file:
        json.dump(order, file)
    try:
        command = ["/bin/sh", "-c", '"$@" </dev/null >/dev/null &', "sh"]
        program = [sys.executable, "-m", "aml_provider.execution.closing", file.name]
        subprocess.run([*command, *program], check=True, start_new_session=True)
    except (OSError, subprocess.SubprocessError):
        os.unlink(file.name)
        raise
