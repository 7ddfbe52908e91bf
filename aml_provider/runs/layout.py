"""Folders of the run store: what a run leaves behind, and where the next attempt is written."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from aml_provider.spec.names import folder_name
from aml_provider.workspace.model import DatastoreConfig
from aml_provider.workspace.resolved import LoadedWorkspace

# Leading dot: not data, so no glob of an author's dataset picks it up.
STORE_FOLDER = ".aml"
OUTSIDE_FOLDER = "outside"
#: State of a result: somebody stopped the step, for which Airflow has no state but "failed".
CANCELED = "Canceled"
#: The kind of a run that is a submitted script: a pipeline of one step.
SCRIPT_RUN = "azureml.scriptrun"


@dataclass(frozen=True)
class AttemptFolder:
    """One attempt at a step; inside the step this folder is ``AML_JOB_DIR``."""

    path: Path
    number: int

    @property
    def job(self) -> Path:
        return self.path / "job.json"

    @property
    def fingerprint(self) -> Path:
        """What the attempt's result depends on, and why it was made."""
        return self.path / "fingerprint.json"

    @property
    def facts(self) -> Path:
        """What it is about to do, where and with what: see :mod:`aml_provider.execution.facts`."""
        return self.path / "facts.json"

    @property
    def heartbeat(self) -> Path:
        """Touched by the runtime every few seconds while the command runs."""
        return self.path / "alive"

    @property
    def stopped(self) -> Path:
        """Is there when a person has ended the attempt while no worker followed it: nobody else can tell."""
        return self.path / "stopped"

    @property
    def code(self) -> Path:
        return self.path / "code"

    @property
    def inputs(self) -> Path:
        """Private copies of inputs (download mode, globs)."""
        return self.path / "inputs"

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "logs" / "std_log.txt"

    def report(self) -> dict[str, Any] | None:
        """What the runtime reported as its last act; ``None`` while, and if, it has not."""
        return read_json(self.path / "report.json")

    def finished_report(self) -> dict[str, Any] | None:
        """The report of an attempt that came to its own end; ``None`` as well for one that was stopped from outside.

        How a stopped command ends says nothing about it: a node being drained looks like a failing script.
        """
        report = self.report()
        return None if report is None or report.get("stopped") else report

    def last_sign(self) -> float | None:
        """When it ended, or when it last showed that it was alive, in seconds since the epoch."""
        report = self.report()
        if report is not None:
            return float(report["ended"])
        signs = [path.stat().st_mtime for path in (self.heartbeat, self.events, self.job) if path.exists()]
        return max(signs, default=None)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of what the command printed."""
        try:
            with self.log.open("rb") as f:
                f.seek(0, os.SEEK_END)
                f.seek(max(0, f.tell() - 64_000))
                text = f.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


@dataclass(frozen=True)
class StepFolder:
    """All attempts of one step run, and its result."""

    path: Path

    @property
    def result_file(self) -> Path:
        return self.path / "result.json"

    @property
    def outside(self) -> Path:
        """What programs reported to the step run through its handle."""
        return self.path / OUTSIDE_FOLDER

    def result(self) -> dict[str, Any] | None:
        """The committed result, ``None`` before the step ended."""
        return read_json(self.result_file)

    @property
    def latest(self) -> int:
        """The number of the newest attempt, 0 when there is none."""
        attempts = self.attempts()
        return attempts[-1].number if attempts else 0

    def touched(self) -> float:
        """When the step was last started or ended in this run, in seconds since the epoch; 0.0: not yet."""
        attempts = self.attempts()
        places = [self.result_file, *(a.path for a in attempts[-1:])]
        return max((p.stat().st_mtime for p in places if p.exists()), default=0.0)

    def attempt(self, number: int) -> AttemptFolder:
        """The folder of attempt ``number`` (Airflow's try number when it was started)."""
        return AttemptFolder(self.path / "attempts" / str(number), number)

    def attempts(self) -> list[AttemptFolder]:
        """Existing attempts, oldest first."""
        folder = self.path / "attempts"
        numbers = sorted(int(p.name) for p in folder.glob("*") if p.name.isdigit()) if folder.is_dir() else []
        return [self.attempt(n) for n in numbers]


@dataclass(frozen=True)
class RunFolder:
    """One pipeline run."""

    path: Path

    @property
    def store_root(self) -> Path:
        """The root of the run store that it is in."""
        return self.path.parents[2]

    def step(self, key: str) -> StepFolder:
        return StepFolder(self.path / "steps" / key)

    @property
    def outside(self) -> Path:
        """What programs reported to the run through its handle."""
        return self.path / OUTSIDE_FOLDER

    @property
    def plan_file(self) -> Path:
        return self.path / "reuse.json"

    def plan(self) -> dict[str, Any]:
        """What the head task decided: ``options``, ``decided`` (seconds since the epoch), and ``steps`` by key.

        Empty before it has decided.
        """
        try:
            stat = self.plan_file.stat()
        except FileNotFoundError:
            return {}
        return _read_plan(self.plan_file, stat.st_mtime_ns, stat.st_ino)

    def result(self, key: str) -> dict[str, Any] | None:
        """How a step ended: its own result, or the earlier one that the head task took for it."""
        return self._result(key, self.plan(), self.step(key).latest)

    def _result(self, key: str, plan: dict[str, Any], latest: int) -> dict[str, Any] | None:
        planned: dict[str, Any] | None = plan.get("steps", {}).get(key, {}).get("result")
        # An attempt that came later was made because somebody cleared the step.
        return planned if planned is not None and planned["attempt"] >= latest else self.step(key).result()

    def latest_attempts(self) -> dict[str, int]:
        """The number of the newest attempt of each step that has a folder, in one look at those of all."""
        try:
            keys = os.listdir(self.path / "steps")
        except FileNotFoundError:
            return {}
        return {key: self.step(key).latest for key in keys}

    def reused(self, keys: Iterable[str]) -> set[str]:
        """Those of the steps for which an earlier result stands."""
        plan, latest = self.plan(), self.latest_attempts()
        return {key for key in keys if (self._result(key, plan, latest.get(key, 0)) or {}).get("reused")}


@dataclass(frozen=True)
class RunStore:
    """The root of everything kept about runs: a folder in the pipeline's default datastore, or beside it.

    It is in a datastore, not on the worker, because steps on other machines see datastores and nothing else.

    :param remote: the datastore, where it is on another machine.
    """

    root: Path
    datastore: str
    remote: DatastoreConfig | None = None

    @classmethod
    def of(cls, workspace: LoadedWorkspace, datastore: str) -> RunStore:
        """The run store of pipelines whose default datastore this is.

        Where that is no folder, runs keep their records in a folder of the workspace's state, which all workers share.

        :raises PipelineError: there is no such datastore.
        """
        config = workspace.datastore(datastore)
        remote = config if config.local_root is None else None
        return cls(workspace.folder_of(datastore) / STORE_FOLDER, datastore, remote)

    def run(self, dag_id: str, run_id: str) -> RunFolder:
        return RunFolder(self.root / "runs" / folder_name(dag_id) / folder_name(run_id))

    @property
    def runtimes(self) -> Path:
        return self.root / "runtime"

    @property
    def reuse(self) -> Path:
        """What has been computed, and what is being computed now; of a bucket, that is in the bucket itself."""
        return self.root / "reuse"

    @property
    def copies(self) -> Path:
        """What this machine has read of a bucket's records."""
        return self.root / "copies"

    @property
    def environment_locks(self) -> Path:
        """The versions that loosely written package lists were resolved to."""
        return self.reuse / "environments"


@lru_cache(maxsize=4)
def _read_plan(path: Path, mtime_ns: int, inode: int) -> dict[str, Any]:
    # A plan of a thousand steps is asked about a thousand times.
    return read_json(path) or {}


def run_kind(record: dict[str, Any]) -> str:
    """What kind of run a ``run.json`` is of, in the words of v1's ``Run.type``; ``interactive`` has none there."""
    return str(record.get("kind") or (SCRIPT_RUN if record.get("script") else "azureml.PipelineRun"))


def read_json(path: Path) -> dict[str, Any] | None:
    """The mapping in ``path``; ``None`` when there is no such file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no mapping")
    return value


def write_json(path: Path, value: dict[str, Any], *, compact: bool = False) -> None:
    """Write ``path`` so that a reader sees the old content or all of the new one, even after a crash.

    :param compact: for what may be long: on one line, which Python writes several times as fast.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as f:
            f.write(json.dumps(value, indent=None if compact else 1, sort_keys=True))
            f.flush()
            os.fsync(f.fileno())
        # mkstemp gives 0600; steps under another user id read these files.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
