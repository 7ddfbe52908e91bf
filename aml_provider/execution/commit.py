"""The end of an attempt: publish its outputs, or throw them away, and write the step's result."""

from __future__ import annotations

import logging
import shutil
import time
from typing import Any

from aml_provider.execution.disk import disk_errors
from aml_provider.execution.publishing import check_published, publish
from aml_provider.execution.recording import commit_record
from aml_provider.execution.registering import register
from aml_provider.execution.staging import discard_attempts
from aml_provider.reuse.contents import Contents
from aml_provider.runs.binding import StepRun
from aml_provider.runs.layout import CANCELED, AttemptFolder, write_json
from aml_provider.spec.models import DataLocation, StoredOutput
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.storage.faults import DatastoreError, Reason
from aml_provider.tracking.journal import metrics_of, read_events

#: What is recorded of a step that somebody has stopped.
STOPPED = "stopped before it had ended"
TAKEN_OVER = "stopped, because another run has begun to compute the same"
_log = logging.getLogger(__name__)


def commit_success(run: StepRun, attempt: AttemptFolder, report: dict[str, Any]) -> dict[str, StoredOutput]:
    """Publish every output of a finished attempt, record it for reuse, write the result, and return the outputs.

    Doing it again after a crash half-way is safe: an output is either still staged or already in place.

    :raises StepError: an output would overwrite a file that it must not.
    :raises StepInterruptedError: an output has been taken away, or there is no room for it.
    """
    with disk_errors(run):
        places = {output.name: publish(run, attempt, output, report) for output in run.step.outputs}
    return commit_places(run, attempt, report, places)


def commit_places(
    run: StepRun, attempt: AttemptFolder, report: dict[str, Any], places: dict[str, DataLocation]
) -> dict[str, StoredOutput]:
    """Record outputs that are in their places for reuse, write the step's result, and return the outputs.

    :param places: output name -> where its readers find it.
    :raises StepInterruptedError: an output has been taken away, or there is no room for its record.
    """
    with disk_errors(run):
        with DigestCache(run.binding.digest_cache) as cache:
            contents = Contents(run.binding.workspace, cache)
            outputs: dict[str, StoredOutput] = {}
            registered: dict[str, dict[str, Any]] = {}
            unknown: DatastoreError | None = None
            for output in run.step.outputs:
                place = places[output.name]
                try:
                    outputs[output.name] = contents.stored(place)
                except DatastoreError as error:
                    if error.reason is not Reason.OTHER:
                        raise
                    # It is there, and nobody will be able to see whether it is still the same.
                    unknown = error
                    outputs[output.name] = StoredOutput(datastore=place.datastore, path=place.path)
                else:
                    check_published(run, output, report, outputs[output.name])
                if output.registration is not None:
                    registered[output.registration.name] = register(
                        run.binding.workspace, output.registration, place, cache
                    )._asdict()
            result = {**_result(run, attempt, "Finished", report, outputs, None), "registered": registered}
            if unknown is not None:
                _log.warning("the result of step %r will not be reused: %s", run.step.name, unknown)
                result["unrecorded"] = str(unknown)
            else:
                # Before the result: who sees that the step is done can reuse it, too.
                result["unrecorded"] = commit_record(run, attempt, result, contents, outputs)
        write_json(run.folder.result_file, result)
        discard_attempts(run, attempt.number)
    shutil.rmtree(attempt.inputs, ignore_errors=True)
    return outputs


def commit_failure(
    run: StepRun, attempt: AttemptFolder, report: dict[str, Any] | None, error: str, *, canceled: bool = False
) -> None:
    """Throw away what a failed attempt wrote, and record why it failed.

    When a running step is cleared, its next attempt starts before the old one has ended: that is not disturbed.

    :param canceled: somebody stopped it, which says nothing about the step.
    """
    try:
        discard_attempts(run, attempt.number)
    except OSError as e:
        _log.warning("what step %r had staged could not be removed: %s", run.step.name, e)
    shutil.rmtree(attempt.inputs, ignore_errors=True)
    state = CANCELED if canceled else "Failed"
    _record_failure(run, attempt.number, _result(run, attempt, state, report or {}, {}, error))


def record_problem(run: StepRun, number: int, error: str, *, final: bool) -> None:
    """Record why a step did not come to its own end: its script never started, or nobody knows how it ended.

    Nothing is thrown away, because the attempt may still be running somewhere.

    :param number: the attempt.
    :param final: starting again would not help.
    """
    state = "Failed" if final else "Interrupted"
    _record_failure(run, number, _result(run, run.folder.attempt(number), state, {}, {}, error))


def _record_failure(run: StepRun, number: int, result: dict[str, Any]) -> None:
    """Write a result that is a failure; why there is one is more important than whether it can be written."""
    if number < run.folder.latest:
        return
    try:
        write_json(run.folder.result_file, result)
    except OSError as e:
        _log.warning("the result of step %r cannot be written: %s (%s)", run.step.name, e.strerror, e.filename or "")


def _result(
    run: StepRun,
    attempt: AttemptFolder,
    state: str,
    report: dict[str, Any],
    outputs: dict[str, StoredOutput],
    error: str | None,
) -> dict[str, Any]:
    started, ended = report.get("started"), report.get("ended")
    return {
        "attempt": attempt.number,
        "state": state,
        "name": run.step.name,
        "step_run_id": run.step_run_id,
        "started": started,
        "ended": ended,
        "committed": time.time(),
        "seconds": round(ended - started, 3) if started and ended else None,
        "exit_code": report.get("exit_code"),
        "error": error,
        "outputs": {n: p.model_dump() for n, p in outputs.items()},
        "metrics": metrics_of(read_events(attempt.events)),
    }
