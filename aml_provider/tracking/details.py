"""What MLflow is told of an attempt besides what its script reports: what it was, where it ran, what it used."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import names
from .hiding import Hiding

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: MLflow shows metrics whose names begin so apart from those of the model.
SYSTEM = "system/"
SNAPSHOT = "snapshot"
_CPU_TIME = re.compile(r"(\d+)m([\d.]+)s")


def params_of(job: Mapping[str, Any], facts: Mapping[str, Any] | None, hiding: Hiding) -> dict[str, str]:
    """The parameters of a run: the pipeline's in this run, and the command with names in the place of paths.

    :param job: job.json of the attempt, :param facts: its facts.json.
    """
    command = (facts or {}).get("command") or job.get("command") or {}
    params = dict((job.get("run") or {}).get("parameters") or {})
    if command.get("kind") == "transfer":
        params |= {"source": command.get("source", ""), "destination": command.get("destination", "")}
    elif command.get("kind") == "shell":
        params.setdefault("command", command.get("line", ""))
    else:
        params.setdefault("script", command.get("script", ""))
        params.setdefault("arguments", " ".join(map(str, command.get("arguments") or ())))
    return {name: hiding.text(value) for name, value in params.items()}


def tags_of(facts: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, str]:
    """Tags that say where an attempt ran, in which environment, and from which code.

    :param record: run.json.
    """
    compute, environment = facts["compute"], facts["environment"] or {}
    snapshot, command = facts["snapshot"] or {}, facts["command"] or {}
    tags = {
        "aml.compute": compute["name"],
        "aml.compute.kind": compute["kind"],
        "aml.pool": compute["pool"],
        "aml.cpus": compute.get("cpus"),
        "aml.memory_bytes": compute.get("memory_bytes"),
        "aml.gpus": compute.get("gpus"),
        "aml.environment": environment.get("name"),
        "aml.image": environment.get("image"),
        "aml.image.digest": environment.get("digest"),
        "aml.platform": environment.get("platform"),
        "aml.python": environment.get("python"),
        "aml.fingerprint": facts["fingerprint"],
        "aml.snapshot": snapshot.get("digest"),
    }
    told = {name: names.text(value, names.MAX_TAG) for name, value in tags.items() if value is not None}
    return told | source_tags(record, command.get("script"))


def source_tags(record: Mapping[str, Any], script: str | None = None) -> dict[str, str]:
    """What a run was made by, and the run's properties; what MLflow itself knows goes by its own names.

    :param script: of a step; the pipeline's own run has none.
    """
    properties = record.get("properties") or {}
    source = {"mlflow.source.name": script or str(record.get("dag_id")), "mlflow.source.type": "JOB"}
    return source | {
        name if name.startswith("mlflow.") else names.key(f"aml.property.{name}"): names.text(value, names.MAX_TAG)
        for name, value in properties.items()
    }


def usage_of(
    report: Mapping[str, Any] | None, facts: Mapping[str, Any] | None, result: Mapping[str, Any]
) -> dict[str, float]:
    """What an attempt used, as metrics: bytes and seconds.

    Queued: from when nothing but Airflow, its pools and other runs' claims kept it from starting. Staging: what its
    worker did before its command started and after that ended. Running: its command.
    """
    report, times = report or {}, (facts or {}).get("times") or {}
    usage = report.get("usage") or {}
    started, ended = report.get("started"), report.get("ended")
    ready, begun, committed = times.get("ready"), times.get("begun"), result.get("committed")
    staging = None
    if begun is not None and started is not None:
        staging = max(0.0, started - begun)
        if committed is not None and ended is not None:
            staging += max(0.0, committed - ended)
    found = {
        "cpu_seconds": usage.get("cpu_seconds", _cpu_seconds(usage.get("times"))),
        "peak_memory_bytes": usage.get("peak_memory_bytes"),
        "queued_seconds": max(0.0, begun - ready) if begun is not None and ready is not None else None,
        "staging_seconds": staging,
        "running_seconds": max(0.0, ended - started) if started is not None and ended is not None else None,
    }
    return {f"{SYSTEM}{name}": round(float(value), 3) for name, value in found.items() if value is not None}


def log_usage(client: MlflowClient, run_id: str, usage: Mapping[str, float], ended: float) -> None:
    """Send :func:`usage_of`; again makes no other points.

    :param ended: when the attempt ended, in seconds since the epoch.
    """
    from mlflow.entities import Metric

    if usage:
        client.log_batch(run_id, metrics=[Metric(key, value, int(ended * 1000), 0) for key, value in usage.items()])


def upload_code(client: MlflowClient, run_id: str, attempt: Path, facts: Mapping[str, Any]) -> None:
    """Upload the attempt's snapshot as far as it was chosen, what is left out, and its environment's packages."""
    snapshot, environment = facts.get("snapshot"), facts.get("environment") or {}
    with tempfile.TemporaryDirectory(prefix="aml-snapshot-") as folder:
        if snapshot:
            for name in snapshot["kept"]:
                _copy(attempt / "code", name, Path(folder, SNAPSHOT, name))
            told = {part: snapshot[part] for part in ("digest", "files", "bytes", "left_out", "left_out_files")}
            Path(folder, f"{SNAPSHOT}.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
        if any(environment.values()):
            Path(folder, "environment.json").write_text(json.dumps(environment, indent=1), encoding="utf-8")
        client.log_artifacts(run_id, folder)


def upload_log(client: MlflowClient, run_id: str, log: Path, hiding: Hiding) -> None:
    """Upload what a step printed."""
    with tempfile.TemporaryDirectory(prefix="aml-log-") as folder:
        copy = Path(folder, log.name)
        with log.open(encoding="utf-8", errors="replace", newline="") as read, copy.open("wb") as written:
            written.writelines(line.encode() for line in hiding.lines(read))
        client.log_artifact(run_id, str(copy), "logs")


def _copy(code: Path, name: str, target: Path) -> None:
    """Copy a file of a snapshot; not what a script has put in its place that leads elsewhere."""
    source = code / name
    below = [source, *(folder for folder in source.parents if code in folder.parents)]
    if source.is_file() and not any(path.is_symlink() for path in below):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())


def _cpu_seconds(times: str | None) -> float | None:
    """The sum of what the shell's ``times`` prints, like ``0m1.5s 0m0.25s``."""
    found = _CPU_TIME.findall(times or "")
    return sum(int(minutes) * 60 + float(seconds) for minutes, seconds in found) if found else None
