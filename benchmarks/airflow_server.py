"""A real ``airflow standalone`` with LocalExecutor, on SQLite."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aml_provider.submission.api import AirflowApi, AirflowApiError
from aml_provider.workspace.model import AirflowConfig
from benchmarks.measure import BIN, Failed, airflow_environment, clean_environment

STARTING_SECONDS = 300.0
RUN_SECONDS = 300.0
FINAL = ("success", "failed")
_LOG_CHARACTERS = 4000


class AirflowServer:
    """One Airflow with its database, logs and dags folder below ``home``; a context manager that ends it.

    Its tasks talk to the API server of standalone, all others to a second one: on SQLite they disturb each other.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home / "standalone.log"
        port = _free_port()
        self.api = AirflowApi(AirflowConfig(url=f"http://127.0.0.1:{port}"))
        self._port = port
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> AirflowServer:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def ready(self, dag_ids: set[str]) -> None:
        """Wait until the scheduler knows every DAG.

        :raises Failed: one of the files cannot be imported.
        """

        def known() -> bool:
            try:
                errors = self.api.get("importErrors")["import_errors"]
                if errors:
                    raise Failed(f"{errors[0]['filename']}: {errors[0]['stack_trace']}")
                return dag_ids <= {dag["dag_id"] for dag in self.api.get("dags", limit=100)["dags"]}
            except AirflowApiError:
                return False

        self._wait("Airflow knows the DAGs", known, STARTING_SECONDS)

    def run(self, dag_id: str) -> dict[str, Any]:
        """Trigger a DAG and wait for its end; the run as Airflow's REST API tells it.

        :raises Failed: it did not succeed.
        """
        triggered = self.api.post(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": {}})
        path = f"dags/{dag_id}/dagRuns/{triggered['dag_run_id']}"

        def over() -> bool:
            try:
                return self.api.get(path)["state"] in FINAL
            except AirflowApiError:
                return False

        self._wait(f"{dag_id} ends", over, RUN_SECONDS, every=0.5)
        run = self.api.get(path)
        if run["state"] != "success":
            raise Failed(f"the run of {dag_id} ended as {run['state']}; its logs:\n{self._last_words()}")
        return run

    def task(self, run: dict[str, Any], task_id: str) -> dict[str, Any]:
        """One task instance of a run."""
        return self.api.get(f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task_id}")

    def count(self, run: dict[str, Any], state: str) -> int:
        """How many task instances of a run are in a state."""
        path = f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances"
        return int(self.api.get(path, state=state, limit=1)["total_entries"])

    def ended(self, task: dict[str, Any]) -> None:
        """Wait until the process of a task instance is gone: it may have more to do after Airflow knows its state."""
        title = f"airflow worker -- {task['id']}"
        self._wait(f"the process of {task['task_id']} ends", lambda: not _running(title), RUN_SECONDS)

    # --- inside ---------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        own_port = _free_port()
        settings = {
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{own_port}/execution/",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(own_port),
            "API__WORKERS": "1",
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db?timeout=60",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
            # Both files have been read before the first run; reading them again meanwhile would disturb either side.
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
            "LOGGING__WORKER_LOG_SERVER_PORT": str(_free_port()),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(_free_port()),
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        environment = clean_environment(self.home) | airflow_environment(self.home)
        environment |= {f"AIRFLOW__{name}": value for name, value in settings.items()}
        self._started.append(self._process(environment, "standalone"))

        def listening() -> bool:
            with socket.socket() as tried:
                return tried.connect_ex(("127.0.0.1", own_port)) == 0

        self._wait("airflow standalone listens", listening, STARTING_SECONDS)
        self._started.append(self._process(environment, "api-server", "--apps", "core", "--port", str(self._port)))

    def _process(self, environment: dict[str, str], *command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [str(BIN / "airflow"), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def _wait(self, what: str, look: Callable[[], bool], seconds: float, every: float = 0.2) -> None:
        deadline = time.monotonic() + seconds
        while not look():
            if any(process.poll() is not None for process in self._started):
                raise Failed(f"Airflow has ended by itself:\n{self._last_words()}")
            if time.monotonic() > deadline:
                raise Failed(f"not within {seconds:g} s: {what}\n{self._last_words()}")
            time.sleep(every)

    def _last_words(self) -> str:
        return self.log.read_text(errors="replace")[-_LOG_CHARACTERS:]

    def _stop(self) -> None:
        """End everything that was started here; tasks have process groups of their own, but no other session."""
        for number, seconds in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)):
            deadline = time.monotonic() + seconds
            for pid in self._left():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            while self._left() and time.monotonic() < deadline:
                time.sleep(0.1)
        for process in self._started:
            process.wait()

    def _left(self) -> list[int]:
        sessions = {process.pid for process in self._started}
        return [pid for pid, session in _sessions() if session in sessions]


def _running(title: str) -> bool:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if entry.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip().endswith(title):
                return True
    return False


def _sessions() -> list[tuple[int, int]]:
    """Every process that lives, and its session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if state != "Z":
                    found.append((int(entry.name), int(session)))
    return found


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
