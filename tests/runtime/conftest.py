"""Steps as a worker starts them: the copied runtime, an attempt's folder with a job in it, a real process."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import aml_provider

SOURCE = Path(aml_provider.__file__).parent / "runtime"


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime as it lies in a run store: launch.sh, aml_runtime/, shim/."""
    target = tmp_path_factory.mktemp("runtime")
    target.chmod(0o755)
    ignore = shutil.ignore_patterns("__pycache__", "shim", "launch.sh")
    shutil.copytree(SOURCE, target / "aml_runtime", ignore=ignore)
    shutil.copytree(SOURCE / "shim", target / "shim", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(SOURCE / "launch.sh", target)
    return target


class Step:
    """One attempt of a step. Construct, change ``job`` as needed, then ``run``, ``start`` or ``run_in``."""

    def __init__(self, folder: Path, runtime: Path, script: str | None, line: str | None) -> None:
        self.folder = folder
        self.runtime = runtime
        self.code = folder / "code"
        self.code.mkdir(parents=True)
        self.environment: dict[str, str] = {}
        if script is not None:
            (self.code / "train.py").write_text(textwrap.dedent(script))
        command = {"kind": "shell", "line": line} if line is not None else None
        self.job: dict[str, Any] = {
            "job_version": 1,
            "command": command
            or {"kind": "python", "interpreter": sys.executable, "script": "train.py", "arguments": []},
            "working_directory": str(self.code),
            "environment": {},
            "attempt": 1,
            "timeout_seconds": None,
            "run": {
                "id": "step-run-7",
                "name": "Train it",
                "pipeline_run_id": "pipeline-run-3",
                "experiment": "digits",
                "parameters": {},
                "tags": {"team": "vision"},
                "workspace": {
                    "name": "ws",
                    "subscription_id": "sub",
                    "resource_group": "group",
                    "location": "here",
                },
                "dag_id": "digits",
                "run_id": "manual",
                "task_id": "train_it",
            },
            "inputs": {},
            "outputs": {},
        }

    def write(self) -> None:
        """Write job.json, and job.sh as the worker does for shell commands."""
        (self.folder / "job.json").write_text(json.dumps(self.job))
        shell = self.job["command"]["kind"] == "shell"
        outputs = "".join(
            f"{'directory' if port['directory'] else 'file'} {name} {port['path']}\n"
            for name, port in self.job["outputs"].items()
        )
        settings = {
            "AML_SHELL_LINE": self.job["command"]["line"] if shell else "",
            "AML_WORKING_DIRECTORY": self.job["working_directory"],
            "AML_ATTEMPT": str(self.job["attempt"]),
            "AML_TIMEOUT_SECONDS": str(self.job["timeout_seconds"] or ""),
            "AML_OUTPUTS": outputs,
        }
        lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in self.job["environment"].items()]
        (self.folder / "job.sh").write_text("\n".join(lines) + "\n")

    def start(self, stdout: Any = subprocess.PIPE, **options: Any) -> subprocess.Popen[bytes]:
        """Start it as the local worker does."""
        self.write()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AML_")},
            "AML_JOB_DIR": str(self.folder),
            "AML_PYTHON": sys.executable,
            **self.environment,
        }
        return subprocess.Popen(
            ["/bin/sh", str(self.runtime / "launch.sh")],
            env=environment,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            **options,
        )

    def run(self, timeout: float = 60) -> Step:
        """Run it to its end; ``exit_code`` and ``output`` are set afterwards."""
        process = self.start()
        self.output, _ = process.communicate(timeout=timeout)
        self.exit_code = process.returncode
        return self

    def docker(self, image: str, *options: str) -> list[str]:
        """The command line that runs it as a container's process 1."""
        self.write()
        root = self.folder.parents[1]
        return [
            *("docker", "run", "--rm", "--network", "none"),
            *("-v", f"{root}:{root}", "-v", f"{self.runtime}:{self.runtime}:ro"),
            *("-e", f"AML_JOB_DIR={self.folder}", *options),
            *(image, "/bin/sh", str(self.runtime / "launch.sh")),
        ]

    def run_in(self, image: str, *options: str, timeout: float = 60) -> Step:
        """Run it in a container to its end."""
        done = subprocess.run(
            self.docker(image, *options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout
        )
        self.output, self.exit_code = done.stdout, done.returncode
        return self

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "report.json").read_text()))

    @property
    def log(self) -> bytes:
        return (self.folder / "logs" / "std_log.txt").read_bytes()

    @property
    def events(self) -> list[dict[str, Any]]:
        path = self.folder / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for(self, name: str, seconds: float = 20) -> str:
        """Wait until the script has written a file in its working directory; its content."""
        until = time.monotonic() + seconds
        path = self.code / name
        while time.monotonic() < until:
            if path.exists() and path.read_text().endswith("\n"):
                return path.read_text().strip()
            time.sleep(0.02)
        raise AssertionError(f"{name} did not appear within {seconds} s; log: {self.log!r}")


@pytest.fixture
def step(tmp_path: Path, runtime: Path) -> Callable[..., Step]:
    """Makes steps: ``step(script="...")`` or ``step(line="...")``."""
    count = 0

    def make(script: str | None = None, line: str | None = None) -> Step:
        nonlocal count
        count += 1
        return Step(tmp_path / "attempts" / str(count), runtime, script, line)

    return make


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether a process is gone within some seconds."""
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)
