"""Everything an attempt needs, laid out on disk before its process or container starts."""

from __future__ import annotations

import logging
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aml_provider.execution import data
from aml_provider.execution.disk import disk_errors
from aml_provider.execution.facts import keep_facts
from aml_provider.execution.header import header, tell
from aml_provider.execution.recording import keep_fingerprint
from aml_provider.execution.registering import changed_datasets
from aml_provider.execution.reusing import Go, why_it_runs
from aml_provider.execution.runtime_files import install_runtime
from aml_provider.execution.staging import discard_attempts
from aml_provider.execution.values import Values
from aml_provider.reuse.fingerprint import declared_name
from aml_provider.reuse.snapshot import SourceFile, copy_snapshot
from aml_provider.reuse.sources import code_of
from aml_provider.runs.binding import StepRun
from aml_provider.runs.layout import AttemptFolder, write_json
from aml_provider.spec.models import PythonScript
from aml_provider.storage.digest_cache import DigestCache

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedAttempt:
    """An attempt that is ready to start.

    :param command: what to start; the runtime in it does the rest.
    :param environment: variables of the process or container itself.
    :param mounts: what a container must see; empty for a step that runs in place.
    :param fetched: what a pod fetches by itself.
    """

    folder: AttemptFolder
    command: tuple[str, ...]
    environment: dict[str, str]
    mounts: tuple[data.Mount, ...] = ()
    fetched: tuple[data.Fetched, ...] = ()


def prepare_attempt(
    run: StepRun,
    number: int,
    go: Go,
    *,
    in_place: bool,
    interpreter: str,
    variables: dict[str, str],
    fetches: bool = False,
) -> PreparedAttempt:
    """Lay out attempt ``number``: the code, the inputs, places for the outputs, and the job file.

    :param go: why it runs, and what its result depends on.
    :param in_place: the step sees this machine's paths (local); else it sees mounts below ``/mnt/aml``.
    :param interpreter: the Python that runs scripts.
    :param variables: more environment variables for the command, weaker than the environment's own.
    :param fetches: the step's pod fetches by itself what is in object stores.
    :raises StepError: code or input data is missing; nothing has been started then.
    :raises StepInterruptedError: there is no room for it; likewise.
    """
    with disk_errors(run):
        return _prepared(run, number, go, in_place, interpreter, variables, fetches)


def _prepared(
    run: StepRun,
    number: int,
    go: Go,
    in_place: bool,
    interpreter: str,
    variables: dict[str, str],
    fetches: bool,
) -> PreparedAttempt:
    attempt = run.folder.attempt(number)
    discard_attempts(run)
    if attempt.path.exists():
        shutil.rmtree(attempt.path)
    attempt.path.mkdir(parents=True)
    source = run.binding.source_directory(run.step)
    copies: list[SourceFile] = []
    if source is None:
        attempt.code.mkdir()
    else:
        script = run.step.action.script if isinstance(run.step.action, PythonScript) else None
        copies = copy_snapshot(run.step.name, source, attempt.code, run.binding.reuse_of(run.step).include, script)
    fingerprint, unrecorded = go.fingerprint, go.unrecorded
    if fingerprint is not None and source is not None and code_of(copies).digest != fingerprint.parts["code"]:
        _log.warning("the code of step %r has just been changed, so its result will not be reused", run.step.name)
        fingerprint, unrecorded = None, "its code was changed when it began"
    why = why_it_runs(run, go)
    tell(header(run, attempt, keep_facts(run, attempt, go, fingerprint, copies), why))
    with DigestCache(run.binding.digest_cache) as cache:
        for sentence in changed_datasets(run, cache):
            _log.warning("%s", sentence)
    keep_fingerprint(run, attempt, fingerprint, why, replace=go.replaces, unrecorded=unrecorded)
    identities = {} if fingerprint is None else fingerprint.parts["inputs"]
    inputs = {
        i.name: data.place_input(
            run,
            attempt,
            i,
            in_place=in_place,
            fetches=fetches,
            identity=identities.get(declared_name(run.step.inputs, i), [None])[-1],
        )
        for i in run.step.inputs
    }
    outputs = {o.name: data.place_output(run, attempt, o, in_place=in_place) for o in run.step.outputs}
    runtime = install_runtime(run.binding.store.runtimes)

    values = Values(
        run.step,
        run.parameters,
        {n: p.inside for n, p in inputs.items()},
        {n: p.inside for n, p in outputs.items()},
    )
    datasets = {n: p.dataset for n, p in inputs.items() if p.dataset is not None}
    inside = attempt.path if in_place else Path(data.JOB_INSIDE)
    job = _job(run, number, values, str(inside / "code"), interpreter, variables, datasets)
    write_json(attempt.job, job)
    _write_shell_job(attempt, job)
    if in_place:
        launcher = str(runtime / "launch.sh")
        mounts: tuple[data.Mount, ...] = ()
    else:
        launcher = str(data.RUNTIME_INSIDE / "launch.sh")
        datastore = run.binding.store.datastore
        mounts = (
            data.mount(run, datastore, attempt.path, str(data.JOB_INSIDE), read_only=False),
            data.mount(run, datastore, runtime, str(data.RUNTIME_INSIDE), read_only=True),
            *(p.mount for p in (*inputs.values(), *outputs.values()) if p.mount is not None),
        )
    return PreparedAttempt(
        attempt,
        ("/bin/sh", launcher),
        {"AML_JOB_DIR": str(inside), "AML_PYTHON": interpreter},
        mounts,
        tuple(f for p in inputs.values() for f in p.fetched),
    )


def _job(
    run: StepRun,
    number: int,
    values: Values,
    working_directory: str,
    interpreter: str,
    variables: dict[str, str],
    datasets: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    step, spec = run.step, run.binding.spec
    workspace = run.binding.workspace.file
    environment = {**run.compute.settings.environment, **variables}
    if step.environment is not None:
        environment.update(step.environment.variables)
    environment.update({f"AML_PARAMETER_{n}": v for n, v in values.step_parameters().items()})
    return {
        "job_version": 1,
        "command": values.command(interpreter),
        "working_directory": working_directory,
        "environment": environment,
        "attempt": number,
        "timeout_seconds": timeout_seconds(run),
        "run": {
            "id": run.step_run_id,
            "name": step.name,
            "pipeline_run_id": run.pipeline_run_id,
            "experiment": spec.submit.experiment,
            "parameters": dict(run.parameters),
            "tags": dict(spec.submit.tags),
            "workspace": {
                "name": workspace.name,
                "subscription_id": workspace.subscription_id,
                "resource_group": workspace.resource_group,
                "location": workspace.location,
            },
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            "task_id": step.key,
        },
        "inputs": {
            i.name: {
                "path": values.inputs[i.name],
                "mode": i.mode.value,
                "is_dataset": i.is_dataset,
                "dataset": datasets.get(i.name),
                "environment_variable": i.environment_variable,
            }
            for i in step.inputs
        },
        "outputs": {
            o.name: {
                "path": values.outputs[o.name],
                "directory": o.directory,
                "environment_variable": o.environment_variable,
            }
            for o in step.outputs
        },
    }


def timeout_seconds(run: StepRun) -> int | None:
    """How long the command may run: the step's own limit, or its compute target's; ``None`` for no limit."""
    return run.step.timeout_seconds or run.compute.settings.timeout_seconds


def _write_shell_job(attempt: AttemptFolder, job: dict[str, Any]) -> None:
    """The same job as shell assignments, for images that have ``sh`` and no Python."""
    command = job["command"]
    line = command["line"] if command["kind"] == "shell" else ""
    environment = dict(job["environment"])
    for item in (*job["inputs"].values(), *job["outputs"].values()):
        if item["environment_variable"]:
            environment[item["environment_variable"]] = item["path"]
    assignments = [f"AML_SHELL_LINE={shlex.quote(line)}"]
    assignments.append(f"AML_WORKING_DIRECTORY={shlex.quote(job['working_directory'])}")
    assignments.append(f"AML_ATTEMPT={job['attempt']}")
    assignments.append(f"AML_TIMEOUT_SECONDS={job['timeout_seconds'] or ''}")
    places = [f"{'directory' if o['directory'] else 'file'} {n} {o['path']}" for n, o in job["outputs"].items()]
    assignments.append(f"AML_OUTPUTS={shlex.quote(chr(10).join(places))}")
    assignments += [f"export {n}={shlex.quote(str(v))}" for n, v in sorted(environment.items()) if n.isidentifier()]
    (attempt.path / "job.sh").write_text("\n".join(assignments) + "\n", encoding="utf-8")
