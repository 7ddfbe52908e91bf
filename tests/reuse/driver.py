"""A project folder whose pipelines are built by the SDK and run, step after step, as Airflow's tasks would run them.

Neither Airflow nor MLflow takes part: the head task's decision, the check before a step starts, the layout of its
attempt, its judgement and its commit are the provider's own functions. Only how a script is started differs, unless
``real`` is asked for: it runs in this process, which does for it what the runtime does. So a step costs a few
milliseconds. Each file of tests runs some steps by their real command, so that the two ways cannot drift apart.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aml_provider.execution.lifecycle import Begun, begin_run
from aml_provider.execution.outcome import conclude
from aml_provider.execution.prepare import PreparedAttempt, prepare_attempt
from aml_provider.execution.reusing import Go, Reused, settle
from aml_provider.operators.base import StepTask
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.plan import Options, Plan, Planner
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.runs.errors import StepFailedError
from aml_provider.runs.layout import read_json
from aml_provider.runtime.report import Report
from aml_provider.sdk.experiment import Experiment
from aml_provider.sdk.life import collecting
from aml_provider.sdk.pipeline import Pipeline
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.models import PipelineSpec, StoredOutput
from aml_provider.storage.digest_cache import DigestCache

STORE = "workspaceblobstore"
NOTHING_ASKED = Options()
# Every write of a record waits for the disk: where there is a file system in memory, a step costs a tenth.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@contextlib.contextmanager
def new_folder() -> Iterator[Path]:
    """A folder on a fast file system, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="aml-reuse-", dir=MEMORY) as folder:
        yield Path(folder)


@contextlib.contextmanager
def inside(folder: Path | str) -> Iterator[None]:
    """Have a folder be the current one."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def change(file: Path, content: bytes | str) -> None:
    """Write a file, in the place of whatever is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        content = content.encode()
    file.write_bytes(content)


@dataclass
class Ran:
    """What became of a run's steps, by their names.

    :param computed: those that ran, in that order.
    :param reused: those for which an earlier result stands, and since when that was known: ``head`` or ``start``.
    :param failed: those that failed, and what was said about it. :param waiting: those that did not start for that.
    :param why: why those ran that did.
    :param outputs: where the outputs are.
    """

    run_id: str
    begun: Begun
    computed: list[str] = field(default_factory=list)
    reused: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    why: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, Path]] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        """What the head task decided."""
        return self.begun.plan

    def text(self, step: str, output: str, file: str = "") -> str:
        """What a step has written."""
        return (self.outputs[step][output] / file).read_text()


# How a test does something at a moment of a step's life.
Moment = Callable[[StepRun], None]


def _nothing(run: StepRun) -> None:
    pass


@dataclass
class Moments:
    """What else happens while a step is looked at and runs: others write to its code and data.

    :param settled: it has been decided that it runs. :param running: its script has read its inputs.
    """

    settled: Moment = _nothing
    running: Moment = _nothing


class _Task(StepTask):
    """As much of an operator as decides whether a person has cleared the step."""

    retries = 0


class Project:
    """A folder with a workspace file, code and data.

    :param workspace: what is in the workspace file besides the name.
    """

    def __init__(self, folder: Path, workspace: str = "") -> None:
        self.folder = folder
        self.runs = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(workspace)

    def configure(self, workspace: str) -> None:
        """Write the workspace file."""
        file = self.folder / "workspace.yaml"
        change(file, f"name: lab\n{workspace}")
        # Read again also when it was rewritten within one tick of the clock.
        os.utime(file, ns=(time.time_ns(), time.time_ns() + self.runs))
        self.runs += 1

    def write(self, path: str, content: bytes | str) -> Path:
        """Write a file of the project."""
        change(self.folder / path, content)
        return self.folder / path

    @property
    def store(self) -> Path:
        """The root of the default datastore."""
        return self.folder / ".aml/datastores" / STORE

    def data(self, path: str, content: bytes | str) -> Path:
        """Write a file of the default datastore."""
        change(self.store / path, content)
        return self.store / path

    def move(self, folder: Path) -> None:
        """Move everything to another folder."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(self.folder, folder)
        self.folder = folder

    # --- pipelines ------------------------------------------------------------------------------------------

    def build(self, author: Callable[[Workspace], Any], experiment: str = "exp", **submit: Any) -> PipelineBinding:
        """The pipeline that a file of the project would submit.

        :param author: gives the steps, as an author's file makes them.
        :param submit: arguments of ``Experiment.submit``.
        """
        with inside(self.folder), collecting(self.folder / "pipeline.py") as found:
            ws = Workspace.from_config(str(self.folder))
            Experiment(ws, experiment).submit(Pipeline(ws, author(ws)), **submit)
        ((spec, source, workspace),) = found
        return PipelineBinding(spec, source.folder, workspace)

    def bind(self, spec: PipelineSpec) -> PipelineBinding:
        """A pipeline that comes as data."""
        from aml_provider.workspace.discovery import load_workspace

        return PipelineBinding(spec, self.folder, load_workspace(self.folder))

    def index(self, binding: PipelineBinding) -> ReuseIndex:
        """What has been computed."""
        return ReuseIndex.of(binding.store)

    # --- running --------------------------------------------------------------------------------------------

    def plan(self, binding: PipelineBinding, options: Options = NOTHING_ASKED, **parameters: Any) -> Plan:
        """What a run would do, without a trace of it."""
        with DigestCache(binding.digest_cache) as cache:
            return Planner(binding, values(binding, parameters), options, cache=cache).plan()

    def run(
        self,
        binding: PipelineBinding,
        *,
        dag_id: str = "lab",
        run_id: str | None = None,
        options: Options | None = None,
        real: bool = False,
        moments: Mapping[str, Moments] | None = None,
        learn: Callable[[StepRun], bool] = lambda _: False,
        **parameters: Any,
    ) -> Ran:
        """Run a pipeline.

        :param real: start the steps' commands.
        :param moments: what happens meanwhile, by a step's name.
        :param learn: what an operator does about an environment that is not known.
        :param parameters: values of pipeline parameters.
        """
        self.runs += 1
        run_id = run_id or f"run {self.runs}"
        options = options or Options(binding.spec.submit.regenerate_outputs, binding.spec.submit.assume_unchanged)
        given = values(binding, parameters)
        ran = Ran(run_id, begin_run(binding, dag_id, run_id, given, options))
        pushed: dict[str, Mapping[str, StoredOutput]] = {}
        lost: set[str] = set()
        for step in binding.spec.steps:
            run = StepRun(binding, step, dag_id, run_id, given, lambda key: pushed.get(key, {}))
            if step.key in ran.begun.skipped:
                places = ran.begun.skipped[step.key]
                pushed[step.key] = {name: StoredOutput.model_validate(place) for name, place in places.items()}
                ran.reused[step.name] = "head"
            elif lost.intersection(step.upstream):
                lost.add(step.key)
                ran.waiting.append(step.name)
                continue
            else:
                moment = (moments or {}).get(step.name, Moments())
                try:
                    pushed[step.key] = self._start(ran, run, 1, moment, real, learn)
                except StepFailedError as e:
                    lost.add(step.key)
                    ran.failed[step.name] = e.sentence
                    continue
            ran.outputs[step.name] = {name: self._path(binding, p) for name, p in pushed[step.key].items()}
        return ran

    def clear(self, binding: PipelineBinding, before: Ran, name: str, number: int = 2, **parameters: Any) -> Ran:
        """Have one step of a run start again, as when a person clears its task in Airflow.

        :param number: Airflow's next try.
        """
        step = next(s for s in binding.spec.steps if s.name == name)
        folder = binding.store.run("lab", before.run_id)

        def outputs_of(key: str) -> dict[str, StoredOutput]:
            places = (folder.result(key) or {})["outputs"]
            return {n: StoredOutput.model_validate(place) for n, place in places.items()}

        run = StepRun(binding, step, "lab", before.run_id, values(binding, parameters), outputs_of)
        again = Ran(before.run_id, before.begun)
        pushed = self._start(again, run, number, Moments(), False, lambda _: False)
        again.outputs[name] = {n: self._path(binding, place) for n, place in pushed.items()}
        return again

    def _start(
        self, ran: Ran, run: StepRun, number: int, moment: Moments, real: bool, learn: Callable[[StepRun], bool]
    ) -> Mapping[str, StoredOutput]:
        """What an operator does when its task starts."""
        # Airflow gives a task that a person clears as many new tries as it has had.
        context: Any = {"ti": SimpleNamespace(try_number=number, max_tries=number - 1)}
        forced = _Task()._forced(run, context)
        outcome = settle(run, number, forced, None, lambda: learn(run))
        if isinstance(outcome, Reused):
            ran.reused[run.step.name] = "start"
            return outcome.decision.outputs
        assert isinstance(outcome, Go), "nobody else is computing"
        ran.computed.append(run.step.name)
        ran.why[run.step.name] = outcome.reason
        with contextlib.nullcontext() if outcome.lease is None else outcome.lease:
            moment.settled(run)
            prepared = prepare_attempt(run, number, outcome, in_place=True, interpreter=sys.executable, variables={})
            ended = _by_its_command(prepared) if real else _here(prepared)
            moment.running(run)
            return conclude(run, prepared.folder, f"its process ended with exit code {ended}")

    def _path(self, binding: PipelineBinding, place: StoredOutput) -> Path:
        root = binding.workspace.datastore(place.datastore).local_root
        assert root is not None
        return root / place.path


def values(binding: PipelineBinding, given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of all pipeline parameters in a run."""
    submitted = binding.spec.submit.parameters
    return {p.name: given.get(p.name, submitted.get(p.name, p.default)) for p in binding.spec.parameters}


def _by_its_command(prepared: PreparedAttempt) -> int:
    environment = {**os.environ, **prepared.environment, "AML_DIE_WITH_PARENT": "1"}
    done = subprocess.run(prepared.command, env=environment, cwd=prepared.folder.code, stdin=subprocess.DEVNULL)
    return done.returncode


def _here(prepared: PreparedAttempt) -> int:
    """What the runtime does: run the command, look at its outputs, report."""
    job = read_json(prepared.folder.job)
    assert job is not None
    report = Report(prepared.folder.number, time.time())
    command, variables = job["command"], {name: str(value) for name, value in job["environment"].items()}
    ports = [*job["inputs"].values(), *job["outputs"].values()]
    variables |= {p["environment_variable"]: p["path"] for p in ports if p["environment_variable"]}
    before, argv = dict(os.environ), sys.argv
    os.environ.update(variables)
    try:
        with inside(job["working_directory"]):
            if command["kind"] == "shell":
                report.exit_code = subprocess.run(["/bin/sh", "-c", command["line"]]).returncode
            else:
                sys.argv = [command["script"], *command["arguments"]]
                exec(compile(Path(sys.argv[0]).read_bytes(), sys.argv[0], "exec"), {"__name__": "__main__"})
    except SystemExit as e:
        report.exit_code = e.code if isinstance(e.code, int) else int(e.code is not None)
    finally:
        sys.argv = argv
        os.environ.clear()
        os.environ.update(before)
    report.ended = time.time()
    report.outputs = {name: {"exists": os.path.exists(port["path"])} for name, port in job["outputs"].items()}
    report.write(str(prepared.folder.path))
    return report.exit_code
