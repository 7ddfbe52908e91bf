"""What an attempt is about to do, where and with what: for the log's header, MLflow and lineage.

It is kept beside the job. No path of this machine and no credential is in it: data is named as ``datastore:path``.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

from aml_provider.datasets.resolving import dataset_of, locations_of
from aml_provider.execution.reusing import Go
from aml_provider.execution.values import Values
from aml_provider.reuse.fingerprint import Fingerprint
from aml_provider.reuse.packages import without_credentials
from aml_provider.reuse.snapshot import SourceFile
from aml_provider.runs.binding import StepRun
from aml_provider.runs.layout import AttemptFolder, read_json, write_json
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import PythonScript, Step, StepInput, StepOutputSource, Transfer

#: Of a snapshot, MLflow gets this much; all of it stays in the run store.
KEPT_FILES, KEPT_BYTES, KEPT_FILE_BYTES = 100, 5_000_000, 1_000_000
# Files that often hold credentials are not published with the code.
_PRIVATE = (".env*", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa*", "id_ed25519*", ".netrc", ".pypirc")
_TOLD_FILES = 50
_TOLD_PLACES = 20


def keep_facts(
    run: StepRun, attempt: AttemptFolder, go: Go, fingerprint: Fingerprint | None, files: Sequence[SourceFile] = ()
) -> dict[str, Any]:
    """Write ``facts.json`` of an attempt that is about to start, and return what is in it.

    :param fingerprint: as far as it is known what the result depends on.
    :param files: the snapshot.
    """
    step, compute = run.step, run.compute
    moves = isinstance(step.action, Transfer)
    # In the order of the step's inputs; of each the last is what was found there.
    identities = [None] * len(step.inputs)
    if fingerprint is not None:
        identities = [part[-1] for part in fingerprint.parts["inputs"].values()]
    facts: dict[str, Any] = {
        "compute": {
            "name": compute.name,
            "kind": "worker" if moves else compute.kind.value,
            "pool": compute.pool,
            "pool_slots": compute.pool_slots,
            **({} if moves else {"cpus": compute.cpus, "memory_bytes": compute.memory, "gpus": compute.gpus}),
        },
        "environment": None if moves else _environment(run, fingerprint),
        "command": None if moves else spelled_command(run),
        "parameters": dict(run.parameters),
        "inputs": [_input(run, source, identity) for source, identity in zip(step.inputs, identities, strict=True)],
        "outputs": [{"name": o.name, "datastore": o.datastore, "path": o.destination} for o in step.outputs],
        "fingerprint": None if fingerprint is None else fingerprint.key,
        "snapshot": _snapshot(step, fingerprint, files),
        "times": {"ready": _ready(run, attempt.number), "begun": go.begun},
    }
    write_json(attempt.facts, facts)
    return facts


def spelled_command(run: StepRun) -> dict[str, Any]:
    """A step's command with the names of inputs and outputs where it has their paths, as v1's run details show it."""
    step = run.step
    ports = [item.name for item in step.inputs] + [item.name for item in step.outputs]
    names = {name: f"$AZUREML_DATAREFERENCE_{name}" for name in ports}
    return Values(step, run.parameters, names, names).command("python")


def _environment(run: StepRun, fingerprint: Fingerprint | None) -> dict[str, Any]:
    """What the step finds where it runs; of an unknown one, its names alone."""
    asked, compute = run.step.environment, run.compute
    image = (asked.image if asked is not None else None) or compute.image
    known = {} if fingerprint is None else dict(fingerprint.parts["environment"])
    if known.get("kind") != "python":
        # Of a container, it says what its author wanted and not what is in the image.
        known.pop("python", None)
    return {
        "name": asked.name if asked is not None else None,
        "image": without_credentials(image) if image and compute.kind.value != "local" else None,
        **{part: known.get(part) for part in ("digest", "platform", "python", "packages")},
    }


def _input(run: StepRun, source: StepInput, identity: Sequence[Any] | None) -> dict[str, Any]:
    """What is known of an input.

    :param identity: how a fingerprint has it; the digest is its last part.
    """
    origin = source.source
    try:
        dataset, places = dataset_of(run, source), locations_of(run, source)
    except AmlError:
        # Whoever needs it will say what is wrong with it.
        dataset, places = None, ()
    digest = identity[-1] if identity else None
    if digest is None and isinstance(origin, StepOutputSource):
        digest = getattr(run.outputs_of(origin.step).get(origin.output), "digest", None)
    registered = None if dataset is None or dataset.derived else dataset
    told = [f"{place.datastore}:{place.path}" for place in places[:_TOLD_PLACES]]
    if dataset is not None and dataset.query is not None:
        told = [f"{dataset.query.datastore}:"]
    return {
        "name": source.name,
        "dataset": registered.name if registered is not None else None,
        "version": registered.version if registered is not None else None,
        "step": origin.step if isinstance(origin, StepOutputSource) else None,
        "output": origin.output if isinstance(origin, StepOutputSource) else None,
        "places": told,
        "more_places": max(0, len(places) - _TOLD_PLACES),
        "digest": digest,
        "mode": source.mode.value,
    }


def _snapshot(step: Step, fingerprint: Fingerprint | None, files: Sequence[SourceFile]) -> dict[str, Any] | None:
    if step.source_directory is None:
        return None
    script = step.action.script if isinstance(step.action, PythonScript) else None
    kept: list[str] = []
    left_out: list[dict[str, Any]] = []
    total = 0
    for file in sorted(files, key=lambda f: (f.relative != script, f.size, f.relative)):
        private = any(fnmatch(file.relative.rpartition("/")[2], pattern) for pattern in _PRIVATE)
        fits = len(kept) < KEPT_FILES and total + file.size <= KEPT_BYTES and file.size <= KEPT_FILE_BYTES
        if private or not fits:
            left_out.append({"file": file.relative, "bytes": file.size})
        else:
            kept.append(file.relative)
            total += file.size
    return {
        "digest": None if fingerprint is None else fingerprint.parts["code"],
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "kept": sorted(kept),
        "left_out": left_out[:_TOLD_FILES],
        "left_out_files": len(left_out),
    }


def _ready(run: StepRun, number: int) -> float | None:
    """Since when only Airflow and its pools kept the step from starting, in seconds since the epoch."""
    folder = run.run_folder
    record = read_json(folder.path / "run.json") or {}
    earlier = [a for a in run.folder.attempts() if a.number < number]
    times = [record.get("started"), folder.plan().get("decided")]
    times += [(folder.result(key) or {}).get("ended") for key in run.step.upstream]
    if earlier:
        times.append(earlier[-1].last_sign())
    return max((float(time) for time in times if time), default=None)
