"""Records of the reuse index, from a step's result and back."""

from __future__ import annotations

import logging
import time
from typing import Any

from aml_provider.reuse.contents import Contents
from aml_provider.reuse.errors import UnknownIngredientError
from aml_provider.reuse.fingerprint import Fingerprint, declared_name
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.manifests import keep_input_manifests
from aml_provider.reuse.plan import Decision, How
from aml_provider.reuse.records import Record
from aml_provider.runs.binding import StepRun
from aml_provider.runs.layout import AttemptFolder, read_json, write_json
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import StepOutputSource, StoredOutput

_log = logging.getLogger(__name__)


def keep_fingerprint(
    run: StepRun,
    attempt: AttemptFolder,
    fingerprint: Fingerprint | None,
    why: list[str],
    *,
    replace: bool,
    unrecorded: str | None = None,
) -> None:
    """Leave in the attempt what its result depends on, for whoever commits it, and for ``aml explain``.

    :param fingerprint: ``None``: its result is not recorded.
    :param why: why the step runs, in lines.
    :param replace: its result takes the place of an earlier one.
    :param unrecorded: why its result is not recorded although it could have been.
    """
    value: dict[str, Any] = {"why": why, "created": time.time(), "replace": replace, "unrecorded": unrecorded}
    if fingerprint is not None:
        value |= {"key": fingerprint.key, "parts": fingerprint.parts, "details": fingerprint.details}
        if fingerprint.parts["code"]:
            _keep_code(run, fingerprint)
    write_json(attempt.fingerprint, value)


def _keep_code(run: StepRun, fingerprint: Fingerprint) -> None:
    """Keep the list of the snapshot's files. Without it, later differences are told less exactly; the step runs."""
    try:
        index = ReuseIndex.of(run.binding.store)
        index.keep_manifest(fingerprint.parts["code"], list(fingerprint.files.items()))
    except OSError as e:
        _log.warning(
            "the list of files of step %r cannot be kept: %s (%s)", run.step.name, e.strerror or e, e.filename or ""
        )


def commit_record(
    run: StepRun, attempt: AttemptFolder, result: dict[str, Any], contents: Contents, outputs: dict[str, StoredOutput]
) -> str | None:
    """Make a finished attempt's result known for reuse.

    A result that cannot be recorded is a result all the same.

    :return: why it will not be reused although it could have been; the log says so as well.
    """
    kept = read_json(attempt.fingerprint) or {}
    if "key" not in kept:
        return kept.get("unrecorded")
    changed = _changed_inputs(run, kept["parts"], contents)
    if changed:
        why = f"input {', '.join(changed)} has changed while the step ran"
        _log.warning("%s, so its result will not be reused", why)
        return why
    record = Record(
        fingerprint=kept["key"],
        parts={"key": kept["parts"], "details": kept["details"]},
        step={"name": run.step.name, "type": run.step.type, "key": run.step.key},
        run={
            "pipeline_run_id": run.pipeline_run_id,
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            "step_run_id": run.step_run_id,
            "experiment": run.binding.spec.submit.experiment,
            "attempt_folder": attempt.path.relative_to(run.binding.store.root).as_posix(),
        },
        started=result["started"] or 0.0,
        ended=result["ended"] or 0.0,
        seconds=result["seconds"] or 0.0,
        created=time.time(),
        outputs={name: place.model_dump() for name, place in outputs.items()},
        metrics=result["metrics"],
        lineage=_lineage(run),
    )
    try:
        index = ReuseIndex.of(run.binding.store)
        # A step that somebody made run again has the newer result; else whoever was first is right as well.
        index.commit(
            record, replace=bool(kept.get("replace")) or _is_unusable(index.read(record.fingerprint), contents)
        )
        keep_input_manifests(run, kept["parts"], index, contents)
    except OSError as e:
        why = f"{e.strerror or e} ({e.filename or ''})"
        _log.warning("the step's result cannot be recorded, so it will not be reused: %s", why)
        return f"it could not be recorded: {why}"
    return None


def _is_unusable(record: Record | None, contents: Contents) -> bool:
    """Whether the outputs of the record that is there are not there any more."""
    if record is None:
        return False
    try:
        return any(
            contents.stored(StoredOutput.model_validate(place)).digest != place["digest"]
            for place in record.outputs.values()
        )
    except (AmlError, OSError):
        return True


def _changed_inputs(run: StepRun, parts: dict[str, Any], contents: Contents) -> list[str]:
    """Inputs that are not what they were when the step was started: its result belongs to neither."""
    changed = []
    for source in run.step.inputs:
        try:
            now = contents.of_input(run, source)
        except UnknownIngredientError:
            now = None
        if now != parts["inputs"][declared_name(run.step.inputs, source)][-1]:
            changed.append(source.name)
    return changed


def _lineage(run: StepRun) -> dict[str, Any]:
    """Where its inputs came from, as far as a person and not a fingerprint chose that."""
    overridden = {}
    for source in run.step.inputs:
        if isinstance(source.source, StepOutputSource):
            reused = (run.run_folder.result(source.source.step) or {}).get("reused") or {}
            if reused.get("how", How.FINGERPRINT.value) != How.FINGERPRINT.value:
                overridden[source.name] = {"how": reused["how"], "fingerprint": reused["fingerprint"]}
    return {"overridden": overridden} if overridden else {}


def adopt(run: StepRun, decision: Decision, attempt: int) -> dict[str, Any]:
    """Let an earlier result stand for a step's: its outputs are registered as the step's own would be.

    :param attempt: the newest one at the step in this run, 0 before the first.
    :return: the step's result: that one's outputs and metrics, and whose they are.
    """
    record = decision.record
    assert record is not None
    outputs = decision.outputs
    for output in run.step.outputs:
        if output.registration is not None:
            from aml_provider.execution.registering import register

            register(run.binding.workspace, output.registration, outputs[output.name])
    now = time.time()
    return {
        "attempt": attempt,
        "state": "Finished",
        "name": run.step.name,
        "step_run_id": run.step_run_id,
        "started": now,
        "ended": now,
        "seconds": 0.0,
        "exit_code": 0,
        "error": None,
        "outputs": {name: place.model_dump() for name, place in outputs.items()},
        "metrics": record.metrics,
        "reused": {
            "how": decision.how.value,
            "reason": decision.reason,
            "fingerprint": record.fingerprint,
            "created": record.created,
            "seconds": record.seconds,
            **record.run,
        },
    }
