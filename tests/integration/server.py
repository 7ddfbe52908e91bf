"""A real ``airflow standalone``: started, asked over REST, and stopped again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aml_provider.runs.binding import step_run_id
from aml_provider.runs.layout import RunFolder, RunStore, StepFolder, read_json
from aml_provider.submission.api import AirflowApi, AirflowApiError
from aml_provider.workspace.discovery import load_workspace
from aml_provider.workspace.model import AirflowConfig
from aml_provider.workspace.resolved import LoadedWorkspace

from .machine import alive, containers, eventually, in_session, parent_of, pods, processes

BIN = Path(sys.executable).parent
FINAL = ("success", "failed")
LOG_CHARACTERS = 4000


def clean_environment() -> dict[str, str]:
    """This process's environment without anything that says which Airflow or which workspace is meant."""
    own = ("AIRFLOW", "AML_", "MLFLOW_TRACKING_URI")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(own)}
    # The same effect as in an activated environment, whoever starts the tests.
    return environment | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def aml(*arguments: str | Path, workspace: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line as a program, in ``folder``."""
    return subprocess.run(
        [str(BIN / "aml"), *map(str, arguments)],
        cwd=folder,
        env=clean_environment() | {"AML_WORKSPACE": str(workspace)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Server:
    """One Airflow with its database, logs and dags folder below ``home``.

    Its tasks talk to the API server of standalone, all others to a second one. On SQLite they disturb each other: the
    server logs a changing call in its event loop, waiting for a lock whose holder, a task's heartbeat, waits for the
    event loop; after five seconds SQLite ends that with an error.
    """

    home: Path
    dags: Path
    workspace_file: Path
    port: int
    kubeconfig: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = AirflowApi(AirflowConfig(url=self.url))
        self.log = self.home / "standalone.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def workspace(self) -> LoadedWorkspace:
        return load_workspace(self.workspace_file)

    @property
    def store(self) -> Path:
        """The root of the default datastore."""
        return self.workspace.state / "datastores" / "workspaceblobstore"

    # --- its life -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        own_port = free_port()
        settings = {
            "CORE__DAGS_FOLDER": str(self.dags),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{own_port}/execution/",
            "CORE__PARALLELISM": "24",
            # The button that an operator has to switch on.
            "CORE__TEST_CONNECTION": "Enabled",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(own_port),
            "API__WORKERS": "1",
            "LOGGING__LOGGING_LEVEL": "INFO",
            "API__BASE_URL": self.url,
            # On a busy machine SQLite's usual five seconds are over quickly, and the scheduler ends with them.
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db?timeout=60",
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "WORKERS__MIN_HEARTBEAT_INTERVAL": "3",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            # Nobody reads the logs of these two over HTTP, and their default ports may be taken.
            "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        environment = clean_environment() | {f"AIRFLOW__{name}": value for name, value in settings.items()}
        environment |= {
            "AIRFLOW_HOME": str(self.home),
            "AML_WORKSPACE": str(self.workspace_file),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "NO_COLOR": "1",
        }
        self.home.mkdir(parents=True, exist_ok=True)
        self.started = [self._start(environment, "standalone")]

        def up() -> bool:
            assert self.started[0].poll() is None, f"it ended:\n{self.log.read_text()[-LOG_CHARACTERS:]}"
            with socket.socket() as tried:
                return tried.connect_ex(("127.0.0.1", own_port)) == 0

        eventually(f"airflow standalone is up; see {self.log}", up, seconds=300)
        self.started.append(self._start(environment, "api-server", "--apps", "core", "--port", str(self.port)))

    def _start(self, environment: dict[str, str], *command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [str(BIN / "airflow"), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def ready(self, dag_ids: set[str]) -> None:
        """Wait until the scheduler lives and every DAG is there, or the files have errors."""

        def up() -> bool:
            try:
                self.api.get("version")
                known = {d["dag_id"] for d in self.api.get("dags", limit=100)["dags"]}
                return dag_ids <= known or bool(self.import_errors())
            except AirflowApiError:
                return False

        eventually(f"Airflow is up and knows {sorted(dag_ids)}; see {self.log}", up, seconds=300, every=0.5)

    def import_errors(self) -> list[str]:
        return [f"{e['filename']}: {e['stack_trace']}" for e in self.api.get("importErrors")["import_errors"]]

    def stop(self) -> None:
        """End everything that was started here: the server and the tasks, which have process groups of their own."""

        def left() -> list[int]:
            return [pid for process in self.started for pid in in_session(process.pid)]

        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(AssertionError):
                for pid in left():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                eventually("all processes are gone", lambda: not left(), seconds=20)
                break
        for process in self.started:
            process.wait()

    # --- runs ---------------------------------------------------------------------------------------------------

    def aml(self, *arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """The command line with this server's workspace, on this server's machine."""
        return aml(*arguments, workspace=self.workspace_file, folder=folder or self.home)

    def trigger(self, dag_id: str, **conf: Any) -> Run:
        started = self.api.post(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return Run(self, dag_id, started["dag_run_id"])

    def hold(self, gate: str) -> Run:
        """A run of the hold pipeline whose steps wait for :meth:`Run.release`."""
        run = self.trigger("hold", gate=gate)
        run.gate = gate
        return run


@dataclass
class Run:
    """One DAG run."""

    server: Server
    dag_id: str
    run_id: str
    gate: str = ""

    @property
    def path(self) -> str:
        return f"dags/{self.dag_id}/dagRuns/{self.run_id}"

    def state(self) -> str:
        return str(self.server.api.get(self.path)["state"])

    def wait(self, seconds: float = 240) -> str:
        """Its final state."""
        eventually(f"{self.dag_id} {self.run_id} ends", lambda: self.state() in FINAL, seconds)
        return self.state()

    def tasks(self) -> dict[str, dict[str, Any]]:
        found = self.server.api.get(f"{self.path}/taskInstances", limit=100)["task_instances"]
        return {t["task_id"]: t for t in found}

    def states(self) -> dict[str, str | None]:
        return {name: task["state"] for name, task in self.tasks().items()}

    def task(self, task_id: str) -> dict[str, Any]:
        return self.server.api.get(f"{self.path}/taskInstances/{task_id}")

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        value = self.server.api.get(f"{self.path}/taskInstances/{task_id}/xcomEntries/{key}")["value"]
        return json.loads(value) if isinstance(value, str) else value

    def log(self, task_id: str, number: int = 1) -> str:
        """What Airflow shows as the log of one try."""
        path = f"{self.path}/taskInstances/{task_id}/logs/{number}"
        content = self.server.api.get(path, full_content=True)["content"]
        return content if isinstance(content, str) else "\n".join(_told(line) for line in content)

    def mark(self, task_id: str, state: str) -> None:
        self.server.api.patch(f"{self.path}/taskInstances/{task_id}", {"new_state": state})

    def cancel(self) -> None:
        self.server.api.patch(self.path, {"state": "failed"})

    def clear(self, *task_ids: str) -> None:
        body = {
            "dry_run": False,
            "dag_run_id": self.run_id,
            "task_ids": list(task_ids),
            "only_failed": False,
            "only_running": False,
        }
        self.server.api.post(f"dags/{self.dag_id}/clearTaskInstances", body)

    def release(self) -> None:
        """Let the held steps go on."""
        (self.server.store / "gates" / self.gate).touch()

    # --- what it has on disk and on the machine -------------------------------------------------------------------

    def step_run_id(self, task_id: str) -> str:
        return step_run_id(self.dag_id, self.run_id, task_id)

    @property
    def folder(self) -> RunFolder:
        return RunStore.of(self.server.workspace, "workspaceblobstore").run(self.dag_id, self.run_id)

    def end(self) -> dict[str, Any] | None:
        """What its record says of its end; ``None``: nothing yet."""
        return read_json(self.folder.path / "end.json")

    def step(self, task_id: str) -> StepFolder:
        return self.folder.step(task_id)

    def staged(self, task_id: str) -> list[Path]:
        """What attempts at a step have written and nobody has published."""
        return list((self.server.store / ".aml" / "staging").glob(f"{self.step_run_id(task_id)}-*"))

    def runner(self, task_id: str) -> int | None:
        """The process in which Airflow runs a task; its parent is the one that Airflow calls the supervisor."""
        title = f"airflow worker -- {self.task(task_id)['id']}"
        return next((pid for pid, command in processes().items() if command.endswith(title)), None)

    def held(self, task_id: str) -> list[str]:
        """Where a held step runs right now: ids of processes, containers or pods, whatever the kind has."""
        identity = self.step_run_id(task_id)
        if task_id == "docker":
            return [c["Id"] for c in containers(identity) if c["State"] == "running"]
        if task_id in ("kubernetes", "deferred"):
            found = pods(self.server.kubeconfig, identity)
            return [p.metadata.uid for p in found if p.status.phase == "Running"]
        return [str(pid) for pid, command in processes().items() if "hold.py" in command and identity in command]

    def ticking(self, task_id: str, attempt: int = 1) -> bool:
        """Whether a held step has begun to count."""
        log = self.step(task_id).attempt(attempt).log
        return log.is_file() and "tick 3\n" in log.read_text()

    def await_held(self, *task_ids: str) -> None:
        for task_id in task_ids:

            def holding(task_id: str = task_id) -> bool:
                assert self.state() not in FINAL, f"the run ended early: {self.states()}\n{self.log(task_id)}"
                # A cluster says that a pod runs a while after the pod has begun; a pod is followed by the triggerer
                # from the moment on that it says so.
                held = self.ticking(task_id) and self.held(task_id)
                return bool(held) and (task_id != "deferred" or "reached Running" in self.log(task_id))

            eventually(f"step {task_id} of {self.run_id} is under way", holding, seconds=240)


def _told(line: Any) -> str:
    if not isinstance(line, Mapping):
        return str(line)
    errors = [str(error.get("exc_value")) for error in line.get("error_detail") or ()]
    return "\n".join([str(line.get("event")), *errors])


def kill(pid: int) -> None:
    """End one process without giving it a chance, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    eventually(f"process {pid} is gone", lambda: not alive(pid), seconds=10, every=0.02)


def kill_runner(run: Run, task_id: str) -> None:
    """Kill the process that runs a task; its supervisor sees it and tells Airflow."""
    pid = run.runner(task_id)
    assert pid is not None, f"nothing runs {task_id}: {run.states()}"
    kill(pid)


def kill_worker(run: Run, task_id: str) -> None:
    """Kill the process that runs a task and the supervisor above it, as when a machine is lost."""
    pid = run.runner(task_id)
    assert pid is not None, f"nothing runs {task_id}: {run.states()}"
    # Else it would see that it has lost its supervisor, and put things in order.
    os.kill(pid, signal.SIGSTOP)
    kill(parent_of(pid))
    with contextlib.suppress(ProcessLookupError):
        kill(pid)
