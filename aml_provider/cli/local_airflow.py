"""The Airflow of this machine, asked through its database: for the commands that work without an API server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aml_provider.spec.errors import AmlError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@contextmanager
def _session() -> Iterator[Session]:
    from airflow.utils.session import create_session
    from sqlalchemy.exc import OperationalError

    try:
        with create_session() as session:
            yield session
    except OperationalError as e:
        raise AmlError(
            f"the Airflow of this machine has no usable database ({e.orig}). Run `airflow db migrate` first, or name "
            "a server under airflow: url in the workspace file."
        ) from None


def local_pools() -> dict[str, int]:
    """Pool name -> slots."""
    from airflow.models.pool import Pool
    from sqlalchemy import select

    with _session() as session:
        return {str(name): slots for name, slots in session.execute(select(Pool.pool, Pool.slots))}


def create_local_pool(name: str, slots: int, description: str) -> None:
    """Create a pool; a deferred task keeps its slot, because its pod is running."""
    from airflow.models.pool import Pool

    with _session() as session:
        Pool.create_or_update_pool(name, slots=slots, description=description, include_deferred=True, session=session)


def local_task_state(dag_id: str, run_id: str, task_id: str) -> tuple[bool, str | None]:
    """Whether the task instance exists, and its state."""
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    with _session() as session:
        row = session.execute(
            select(TaskInstance.state).where(
                TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.task_id == task_id
            )
        ).first()
    return (False, None) if row is None else (True, str(row[0]) if row[0] else None)
