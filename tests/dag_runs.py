"""Airflows in other processes, each with a database of its own, that run DAG files as they are told."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    :param states: Airflow's, by task.
    :param xcoms: the return values, by task.
    :param said: what was logged, the tasks' own words included.
    """

    run_id: str
    state: str
    states: dict[str, str | None]
    xcoms: dict[str, Any]
    said: str = field(repr=False)


class Airflow:
    """One such process; as long as it lives, what it is told is done one after the other.

    :param home: a folder for it alone.
    """

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        self.log = home / "log"
        own = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW") or k.startswith("AIRFLOW_CONN_")}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=home,
                env=own
                | {
                    "PYTHONPATH": str(ROOT),
                    "AIRFLOW_HOME": str(home),
                    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
                    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
                },
            )
        self._seen = 0

    def start(self, file: Path, **conf: Any) -> None:
        """Begin a run of the only DAG in a file."""
        self._tell("run", file, conf)

    def ended(self) -> Ended:
        """Wait for the end of what was begun."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"it has died:\n{self.log.read_text()[-4000:]}"
        return Ended(**json.loads(line), said=self.said())

    def run(self, file: Path, **conf: Any) -> Ended:
        self.start(file, **conf)
        return self.ended()

    def signal(self, number: int) -> None:
        """What a supervisor sends to the process of a task that is to end."""
        self._process.send_signal(number)

    def clear(self, file: Path, run_id: str, *tasks: str) -> Ended:
        """Clear tasks of a run that has ended, and let it go on."""
        self._tell("clear", file, run_id, list(tasks))
        return self.ended()

    def said(self) -> str:
        """What was logged since the last run had ended, or so far in this one."""
        text = self.log.read_text(errors="replace")
        now = text[self._seen :]
        if "\0ended\n" in now:
            self._seen = len(text)
            now = now.replace("\0ended\n", "")
        return now

    def close(self) -> None:
        # It has nothing to save, and takes seconds to end by itself.
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def _tell(self, *command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command, default=str) + "\n")
        self._process.stdin.flush()


# --- inside the other process ---------------------------------------------------------------------------------------


def _dag(file: str) -> Any:
    from airflow import settings
    from airflow.dag_processing.dagbag import BundleDagBag

    # A run looks for its DAG in the dags folder once more.
    settings.DAGS_FOLDER = str(Path(file).parent)
    bag = BundleDagBag(file, bundle_path=Path(file).parent, bundle_name="dags-folder")
    if bag.import_errors:
        raise SystemExit(str(bag.import_errors))
    (dag,) = bag.dags.values()
    return dag


def _run(file: str, conf: dict[str, Any]) -> Any:
    return _dag(file).test(run_conf=conf)


def _clear(file: str, run_id: str, tasks: list[str]) -> Any:
    """What a person does in Airflow's pages, and then its scheduler, as :meth:`DAG.test` does it."""
    from airflow import settings
    from airflow.models.dagrun import DagRun
    from airflow.sdk.definitions.dag import _run_task
    from airflow.serialization.serialized_objects import DagSerialization
    from sqlalchemy import select

    dag = _dag(file)
    scheduled = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    scheduled.clear(task_ids=tasks, run_id=run_id, dag_run_state="running")
    session = settings.Session()
    run = session.scalar(select(DagRun).where(DagRun.dag_id == dag.dag_id, DagRun.run_id == run_id))
    run.dag = scheduled
    while run.state == "running":
        session.expire_all()
        ready, _ = run.update_state(session=session)
        for task in ready:
            task.try_number += 1
            task.state = "scheduled"
        session.commit()
        for task in ready:
            _run_task(ti=task, task=dag.task_dict[task.task_id], run_triggerer=True)
    return run


def _result(run: Any) -> dict[str, Any]:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = select(XComModel.task_id, XComModel.value).where(
            XComModel.dag_id == run.dag_id, XComModel.run_id == run.run_id, XComModel.key == "return_value"
        )
        xcoms = {str(task): value for task, value in session.execute(found)}
        states = {ti.task_id: ti.state and str(ti.state) for ti in run.get_task_instances(session=session)}
    return {"run_id": run.run_id, "state": str(run.state), "states": states, "xcoms": xcoms}


def _main() -> None:
    # Whatever is printed is log; the answers have a way of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from airflow.utils.db import upgradedb

    from aml_provider.submission.task_api import newest_version_only

    # As the process of an embedded run does.
    gc.set_threshold(50_000)
    newest_version_only()
    upgradedb()
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        result = _result({"run": _run, "clear": _clear}[command](*arguments))
        sys.stdout.flush()
        os.write(2, b"\0ended\n")
        answers.write(json.dumps(result) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main()
