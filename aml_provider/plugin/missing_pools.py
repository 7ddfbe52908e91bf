"""Says on the run's page that a pool is missing.

Airflow's scheduler only logs it and leaves the tasks waiting for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

STEP_OPERATORS = ("LocalStepOperator", "DockerStepOperator", "KubernetesStepOperator")


@hookimpl
def on_dag_run_running(dag_run: DagRun, msg: str) -> None:
    """When a pipeline's run starts, put a note on it if a step's pool does not exist."""
    from airflow.models.pool import Pool
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    # The scheduler's own session: another one would wait for the lock that this one holds on SQLite.
    session = object_session(dag_run)
    if session is None:
        return
    wanted = select(TaskInstance.pool).where(
        TaskInstance.dag_id == dag_run.dag_id,
        TaskInstance.run_id == dag_run.run_id,
        TaskInstance.operator.in_(STEP_OPERATORS),
    )
    missing = sorted(set(session.scalars(wanted.distinct())) - set(session.scalars(select(Pool.pool))))
    if missing:
        names = ", ".join(repr(name) for name in missing)
        dag_run.note = (
            f"Pool {names} does not exist, so steps that need it will wait for ever. "
            "Create it with `aml pools FILE`, or under Admin > Pools; the run then goes on by itself."
        )
