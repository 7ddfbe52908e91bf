"""One step's life from the check before it starts to its end, as an operator leads it, but without Airflow.

The functions that take a folder as text are called in processes of their own; see :mod:`crashing`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aml_provider.execution.commit import record_problem
from aml_provider.execution.lifecycle import end_run
from aml_provider.execution.outcome import conclude
from aml_provider.execution.prepare import PreparedAttempt, prepare_attempt
from aml_provider.execution.reusing import Go, Reused, Wait, settle
from aml_provider.reuse.claims import Claim, Claims, Observer
from aml_provider.reuse.contents import Contents
from aml_provider.reuse.index import ReuseIndex
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.runs.errors import StepError, StepFailedError, StepProblem
from aml_provider.runs.layout import read_json
from aml_provider.runtime.report import Report
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import (
    DataLocation,
    DataMode,
    DatastoreSource,
    InputRef,
    OutputRef,
    Parameter,
    ParameterRef,
    ParameterType,
    PipelineSpec,
    PythonScript,
    Registration,
    Step,
    StepInput,
    StepOutput,
    StepOutputSource,
    StoredOutput,
    SubmitOptions,
)
from aml_provider.workspace.discovery import load_workspace

DAG = "factory"
FORCED = "it was cleared, so it runs although there may be an earlier result"

# --- the pipeline ---------------------------------------------------------------------------------------------------

# What it writes depends on its input and parameter, and on TOKEN: with that, every try of it writes something else.
MAKE = """
import os, sys
from pathlib import Path

raw, few, salt, model, table, far, *shared = sys.argv[1:]
text = Path(raw).read_text() + "".join(p.read_text() for p in sorted(Path(few).iterdir())) + salt
token = os.environ.get("TOKEN", "")
Path(model).write_text(f"model of {text}{token}")
for name in ("a", "b", "deep/c"):
    file = Path(table, name)
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{name} of {text}{token}")
    if os.environ.get("GATE"):
        open(os.environ["GATE"], "w").close()  # a pipe: goes on when somebody has seen that it got this far
        open(os.environ["GATE"]).close()
Path(far).parent.mkdir(exist_ok=True)
Path(far).write_text(f"far of {text}{token}")
for folder in shared:
    for name in ("x", "y"):
        Path(folder, name).write_text(f"{name} of {text}{token}")
"""
USE = """
import sys
from pathlib import Path

*sources, out = sys.argv[1:]
found = [f for s in map(Path, sources) for f in (sorted(s.rglob("*")) if s.is_dir() else [s]) if f.is_file()]
Path(out).write_text("\\n".join(f.read_text() for f in found))
"""
OUTPUTS = ("model", "table", "far", "shared")


def new_project(folder: Path, far: Path, near: Path | None = None) -> Path:
    """A pipeline of step ``make`` and one that reads everything it writes, ``use-make``.

    Step ``plain`` is like ``make``, but writes nothing to a place where other runs write, too.

    :param far: a datastore in another file system.
    :param near: the default datastore, if not in the project's folder.
    """
    near = near or folder / "near"
    (folder / "src").mkdir(parents=True)
    (folder / "src/make.py").write_text(MAKE)
    (folder / "src/use.py").write_text(USE)
    (near / "raw/few").mkdir(parents=True)
    (near / "raw/numbers").write_text("1 2 3 ")
    (near / "raw/few/four").write_text("4 ")
    far.mkdir(parents=True, exist_ok=True)
    write_workspace(folder, far, near)
    return folder


def write_workspace(folder: Path, far: Path, near: Path, reuse: str = "lease_seconds: 1") -> None:
    (folder / "workspace.yaml").write_text(
        f"name: lab\nreuse: {{{reuse}}}\ncompute: {{here: {{kind: local, reuse_as: tests}}}}\n"
        f"datastores: {{near: {{url: '{near}'}}, far: {{url: '{far}'}}}}\n"
    )


def copy_project(folder: Path, target: Path, far: Path) -> Path:
    """The same project in another place, with everything that has happened in it."""
    shutil.copytree(folder, target, symlinks=True)
    shutil.copytree(root_of(binding_of(folder), "far"), far)
    write_workspace(target, far, target / "near")
    return target


def binding_of(folder: Path) -> PipelineBinding:
    own = "azureml/{run-id}/{output-name}"

    def stored(path: str) -> DatastoreSource:
        return DatastoreSource(location=DataLocation(datastore="near", path=path))

    outputs = (
        StepOutput(name="model", datastore="near", destination=own, registration=Registration(name="model")),
        StepOutput(name="table", datastore="near", destination=own, directory=True),
        # Written below the working directory, which is in another file system than its destination.
        StepOutput(name="far", datastore="far", destination=own, path_on_compute="out/far"),
        StepOutput(name="shared", datastore="near", destination="shared", directory=True, mode=DataMode.UPLOAD),
    )

    def make(name: str, *outputs: StepOutput) -> Step:
        words = (InputRef(name="raw"), InputRef(name="few"), ParameterRef(name="salt"))
        return Step(
            key=name,
            name=name,
            type="PythonScriptStep",
            source_directory="src",
            action=PythonScript(script="make.py", arguments=(*words, *(OutputRef(name=o.name) for o in outputs))),
            inputs=(
                StepInput(name="raw", source=stored("raw/numbers")),
                StepInput(name="few", source=stored("raw/few"), mode=DataMode.DOWNLOAD),
            ),
            outputs=outputs,
            compute_target="here",
        )

    def use(of: str, *outputs: StepOutput) -> Step:
        return Step(
            key=f"use-{of}",
            name=f"use-{of}",
            type="PythonScriptStep",
            source_directory="src",
            action=PythonScript(
                script="use.py", arguments=(*(InputRef(name=o.name) for o in outputs), OutputRef(name="all"))
            ),
            inputs=tuple(StepInput(name=o.name, source=StepOutputSource(step=of, output=o.name)) for o in outputs),
            outputs=(StepOutput(name="all", datastore="near", destination=own),),
            compute_target="here",
        )

    steps = [f(name, *some) for name, some in (("make", outputs), ("plain", outputs[:3])) for f in (make, use)]
    spec = PipelineSpec(
        workspace="lab",
        default_datastore="near",
        parameters=(Parameter(name="salt", type=ParameterType.STRING, default=""),),
        steps=tuple(steps),
        submit=SubmitOptions(experiment="factory"),
    )
    return PipelineBinding(spec, folder, load_workspace(folder / "workspace.yaml"))


def step_run(folder: Path | str, run_id: str, step: str = "make", salt: str = "") -> StepRun:
    binding = binding_of(Path(folder))

    def outputs_of(key: str) -> dict[str, StoredOutput]:
        result = binding.store.run(DAG, run_id).result(key) or {}
        return {name: StoredOutput.model_validate(place) for name, place in result.get("outputs", {}).items()}

    return StepRun(binding, binding.steps[step], DAG, run_id, {"salt": salt}, outputs_of)


def written(salt: str = "", token: str = "") -> dict[str, dict[str, str]]:
    """What the first step writes, file by file."""
    names = {"model": ["model"], "table": ["a", "b", "deep/c"], "far": ["far"], "shared": ["x", "y"]}
    return {
        output: {"" if file == output else file: f"{file} of 1 2 3 4 {salt}{token}" for file in files}
        for output, files in names.items()
    }


def warm_up() -> None:
    """Import what is imported on first use."""
    with tempfile.TemporaryDirectory() as folder:
        project = str(new_project(Path(folder, "project"), Path(folder, "far")))
        life(project, "run")
        clean_up(project, "run")


# --- its life -------------------------------------------------------------------------------------------------------


def life(
    folder: str,
    run_id: str,
    number: int = 1,
    step: str = "make",
    salt: str = "",
    forced: str | None = None,
    real: bool = False,
    clock: float = 0.0,
) -> dict[str, Any]:
    """How it went, and its outputs.

    :param number: the try.
    :param real: start the command that the runtime belongs to; else this process does what that would do.
    :param clock: by how many seconds the clock of its machine is wrong.
    """
    right, right_ns = time.time, time.time_ns
    time.time, time.time_ns = lambda: right() + clock, lambda: right_ns() + int(clock * 1e9)
    run = step_run(folder, run_id, step, salt)
    try:
        outcome = settled(run, number, forced)
        if isinstance(outcome, Reused):
            return {"how": "reused", "outputs": places(outcome.decision.outputs)}
        outputs = computed(run, number, outcome, real=real)
        return {"how": "computed", "why": outcome.reason, "outputs": places(outputs)}
    except AmlError as problem:
        return _failed(run, number, problem)


def _failed(run: StepRun, number: int, problem: AmlError) -> dict[str, Any]:
    """What an operator does about it."""
    sentence = problem.sentence if isinstance(problem, StepProblem) else str(problem)
    if not isinstance(problem, StepFailedError):
        record_problem(run, number, sentence, final=False)
    return {"how": type(problem).__name__, "sentence": sentence}


def contend(folder: str, run_id: str, gate: str, end: str) -> list[str]:
    """One of several runs that want the same step.

    What happens to it is written to a file of its own in the project, line by line: ``ready``, ``Wait``, ``Go``,
    ``Reused``, and at last what became of it.

    :param gate: a file that it waits for before it settles.
    :param end: a file that its script waits for before it ends; it fails when that says so.
    """
    run = step_run(folder, run_id)

    def say(word: str) -> None:
        with Path(folder, f"said-{run_id}").open("a") as file:
            file.write(f"{word}\n")

    def wait_for_the_end() -> None:
        if _appears(end) == "fail":
            raise StepError(f"step {run.step.name!r} was told to fail.")

    say("ready")
    _appears(gate)
    stale = None
    while True:
        outcome = settle(run, 1, None, stale, lambda: False)
        say(type(outcome).__name__)
        if not isinstance(outcome, Wait):
            break
        stale = observed(run, outcome.claim)
    if isinstance(outcome, Go):
        try:
            computed(run, 1, outcome, meanwhile=wait_for_the_end)
            say("computed")
        except AmlError as problem:
            say(_failed(run, 1, problem)["sentence"])
    return said(folder, run_id)


def said(folder: Path | str, run_id: str) -> list[str]:
    """What a contender has said so far."""
    file = Path(folder, f"said-{run_id}")
    return file.read_text().splitlines() if file.exists() else []


def _appears(file: str) -> str:
    while not os.path.exists(file):
        time.sleep(0.002)
    return Path(file).read_text()


def settled(run: StepRun, number: int, forced: str | None = None) -> Go | Reused:
    """Settle; while another run computes the same, wait as a trigger does."""
    outcome = settle(run, number, forced, None, lambda: False)
    while isinstance(outcome, Wait):
        outcome = settle(run, number, forced, observed(run, outcome.claim), lambda: False)
    return outcome


def observed(run: StepRun, claim: Claim) -> Claim | None:
    """Wait until a claim is given back or its owner shows no life; in that case, the claim to take over."""
    observer = Observer(claims_of(run), claim.key)
    while (state := observer.look()) == "held":
        time.sleep(0.05)
    return observer.claim if state == "stale" else None


def computed(
    run: StepRun, number: int, go: Go, *, real: bool = False, meanwhile: Callable[[], None] = lambda: None
) -> dict[str, StoredOutput]:
    """Compute a settled step.

    :param meanwhile: called when its script has ended, and nothing is published yet.
    """
    with contextlib.nullcontext() if go.lease is None else go.lease:
        prepared = prepare_attempt(run, number, go, in_place=True, interpreter=sys.executable, variables={})
        if go.lease is not None:
            # Its thread does it now and then; where the points are counted, it is done at a known one.
            go.lease.renew()
        ended = _run_command(prepared) if real else _run_here(prepared)
        meanwhile()
        return conclude(run, prepared.folder, f"its process ended with exit code {ended}")


def _run_command(prepared: PreparedAttempt) -> int:
    environment = {**os.environ, **prepared.environment, "AML_DIE_WITH_PARENT": "1"}
    return subprocess.run(
        prepared.command, env=environment, cwd=prepared.folder.code, stdin=subprocess.DEVNULL
    ).returncode


def _run_here(prepared: PreparedAttempt) -> int:
    """What the runtime does: run the script, look at its outputs, report."""
    attempt = prepared.folder
    job = read_json(attempt.job)
    assert job is not None
    report = Report(attempt.number, time.time())
    before, sys.argv = (sys.argv, os.getcwd()), [job["command"]["script"], *map(str, job["command"]["arguments"])]
    os.chdir(job["working_directory"])
    try:
        exec(compile(Path(sys.argv[0]).read_text(), sys.argv[0], "exec"), {})
    except OSError as problem:
        report.fail(f"The command ended with exit code 1 ({problem}).", 1)
    finally:
        sys.argv = before[0]
        os.chdir(before[1])
    report.ended = time.time()
    report.outputs = {name: {"exists": os.path.exists(port["path"])} for name, port in job["outputs"].items()}
    try:
        report.write(str(attempt.path))
    except OSError:
        return 125
    return report.exit_code


# --- looking at what is there ---------------------------------------------------------------------------------------


def places(outputs: Any) -> dict[str, Any]:
    return {name: place.model_dump() for name, place in outputs.items()}


def root_of(binding: PipelineBinding, datastore: str) -> Path:
    root = binding.workspace.datastore(datastore).local_root
    assert root is not None
    return root


def read(run: StepRun, outputs: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What is at outputs, file by file."""
    found: dict[str, dict[str, str]] = {}
    for name, place in outputs.items():
        path = root_of(run.binding, place["datastore"]) / place["path"]
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        found[name] = {"" if f == path else f.relative_to(path).as_posix(): f.read_text() for f in files}
    return found


def claims_of(run: StepRun) -> Claims:
    return Claims.of(run.binding.store)


def index_of(run: StepRun) -> ReuseIndex:
    return ReuseIndex.of(run.binding.store)


def wrong_records(run: StepRun) -> list[str]:
    """Outputs that are not what the records say; with the run that they are from."""
    contents = Contents(run.binding.workspace)
    return [
        f"{record.run['run_id']}: {name}"
        for record in index_of(run).all()
        for name, place in record.stored.items()
        if contents.stored(place) != place
    ]


def staged(run: StepRun) -> list[str]:
    """What is staged or half copied in the datastores."""
    found: list[str] = []
    for root in (root_of(run.binding, "near"), root_of(run.binding, "far")):
        found += [str(p.relative_to(root)) for p in (root / ".aml/staging").glob("*")]
        found += [str(p.relative_to(root)) for p in root.rglob(".aml-part-*")]
    return found


def watched(folder: Path) -> list[str]:
    """Where a step's life leaves anything that lasts: the datastores, and what is registered."""
    binding = binding_of(folder)
    roots = [root_of(binding, "near"), root_of(binding, "far"), binding.workspace.state / "registry"]
    return [str(root) for root in roots]


def clean_up(folder: str, run_id: str) -> list[str]:
    """End a run whose tasks have all ended; what is still staged then."""
    run = step_run(folder, run_id)
    end_run(run.binding, DAG, run_id, {"make": "failed"})
    return staged(run)


def aftermath(folder: str, dead: str, number: int, run_id: str, step: str, forced: str | None) -> dict[str, Any]:
    """What comes after a process was killed in try ``number`` of run ``dead``.

    :param run_id: of the run that goes on: another one, or ``dead`` itself with its next try.
    :return: ``wrong``: records that do not say what is there, before anything else happens. ``ended``, ``found``: how
        the step ends, and what it has written. ``read``: what the step after it reads. ``later``, ``later_found``: the
        same in a run that comes still later. ``kept``: what is where the dead run had an earlier result, and
        ``wrong_at_last``, ``left``, ``claims``: records that are wrong, what is staged, and claims, when both runs have
        ended.
    """
    run = step_run(folder, run_id, step)
    earlier = (step_run(folder, dead, step).folder.result() or {}).get("outputs", {})
    after: dict[str, Any] = {"wrong": wrong_records(run)}
    number = number + 1 if run_id == dead else 1
    after["ended"] = life(folder, run_id, number, step, forced=forced if run_id == dead else None)
    if "outputs" not in after["ended"]:
        return after
    reader = life(folder, run_id, step=f"use-{step}")
    later = life(folder, "later", step=step)
    clean_up(folder, dead)
    return after | {
        "found": read(run, after["ended"]["outputs"]),
        "read": read(run, reader["outputs"])["all"][""] if "outputs" in reader else reader,
        "later": later["how"],
        "later_found": read(run, later.get("outputs", {})),
        "kept": read(run, earlier),
        "wrong_at_last": wrong_records(run),
        "left": clean_up(folder, run_id),
        "claims": index_of(run).store.names("claims/"),
        "state": (run.folder.result() or {}).get("state"),
    }
