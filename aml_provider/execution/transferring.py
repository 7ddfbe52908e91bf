"""Moving data by this worker: a step that is a transfer, and places that an author has written."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aml_provider.datasets.resolving import dataset_of, locations_of
from aml_provider.execution import data
from aml_provider.execution.commit import commit_places
from aml_provider.execution.disk import disk_errors
from aml_provider.execution.facts import keep_facts
from aml_provider.execution.header import header, tell
from aml_provider.execution.recording import keep_fingerprint
from aml_provider.execution.reusing import Go, why_it_runs
from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepError, StepInterruptedError, StepProblem
from aml_provider.runs.layout import AttemptFolder, write_json
from aml_provider.spec.errors import AmlError, PipelineError
from aml_provider.spec.models import DataLocation, StepInput, StoredOutput, Transfer
from aml_provider.storage.faults import DatastoreError, Reason
from aml_provider.storage.gathering import is_single
from aml_provider.storage.transfer import (
    Options,
    Place,
    PlaceType,
    Summary,
    TablePlace,
    TransferError,
    place_for,
    transfer,
)
from aml_provider.workspace.resolved import LoadedWorkspace

_log = logging.getLogger(__name__)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Moved:
    """What a step has moved.

    :param outputs: where its readers find it.
    """

    outputs: dict[str, StoredOutput]
    summary: Summary


def move_step(run: StepRun, number: int, go: Go, say: Say) -> Moved:
    """Do a step that is a transfer, and commit it. A retry moves nothing again that has arrived whole.

    :param number: the attempt.
    :param go: why it runs, and what its result depends on.
    :raises StepError: it cannot be done as things stand. :raises StepInterruptedError: it may work a little later.
    """
    with disk_errors(run):
        attempt = _begun(run, number, go)
    started = time.time()
    try:
        (source,), (output,), action = run.step.inputs, run.step.outputs, run.step.action
        assert isinstance(action, Transfer)
        there = data.destination_of(run, output)
        places = _source(run, source), _place(run, there)
        options = Options(
            source_type=PlaceType(action.source_type) if action.source_type else None,
            destination_type=PlaceType(action.destination_type) if action.destination_type else None,
            # Only this step run writes there: the rest is of an attempt that was cleared.
            mirror="{run-id}" in output.destination,
        )
        with disk_errors(run):
            write_json(attempt.job, _job(run, number, *places))
        summary = transfer(*places, options, state=journals(run.binding.workspace), say=_both(say, attempt.log))
    except StepProblem:
        raise
    except AmlError as error:
        sentence = f"step {run.step.name!r}: {error}"
        raise (StepInterruptedError if may_work_later(error) else StepError)(sentence) from error
    with disk_errors(run):
        _note_metrics(attempt, summary)
    report = {"started": started, "ended": time.time(), "exit_code": 0}
    return Moved(commit_places(run, attempt, report, {output.name: there}), summary)


def may_work_later(error: AmlError) -> bool:
    """Whether trying a transfer again may help."""
    if isinstance(error, TransferError):
        return error.again
    return isinstance(error, DatastoreError) and (error.transient or error.reason is Reason.FULL)


def journals(workspace: LoadedWorkspace) -> Path:
    """Where transfers note how far they are."""
    return workspace.state / "transfers"


def place_of(text: object, what: str, workspace: LoadedWorkspace, query: str | None = None) -> Place | TablePlace:
    """The place that an author has written as ``datastore:path``.

    :param what: what it is for, for the message.
    :param query: a query to the datastore, whose path is empty then.
    :raises PipelineError: it is no place, or there is no such datastore.
    """
    name, colon, path = text.partition(":") if isinstance(text, str) else ("", "", "")
    if not colon or not name or path.startswith("//"):
        raise PipelineError(
            f"{what} {text!r} is no place in a datastore; write the datastore's name and a path, like "
            "workspaceblobstore:titanic/."
        )
    return place_for(workspace.datastore(name), name, path, query)


# --- inside -----------------------------------------------------------------------------------------------------


def _begun(run: StepRun, number: int, go: Go) -> AttemptFolder:
    attempt = run.folder.attempt(number)
    if attempt.path.exists():
        shutil.rmtree(attempt.path)
    attempt.log.parent.mkdir(parents=True)
    why = why_it_runs(run, go)
    tell(header(run, attempt, keep_facts(run, attempt, go, go.fingerprint), why))
    keep_fingerprint(run, attempt, go.fingerprint, why, replace=go.replaces)
    return attempt


def _source(run: StepRun, source: StepInput) -> Place | TablePlace:
    dataset = dataset_of(run, source)
    if dataset is not None and dataset.query is not None and not dataset.operations:
        name = dataset.query.datastore
        return place_for(run.binding.workspace.datastore(name), name, query=dataset.query.query)
    places = locations_of(run, source)
    if not is_single(places) or dataset is not None:
        raise StepError(
            f"step {run.step.name!r}: its source {source.name!r} is a dataset, and one file or folder of a datastore "
            "is wanted; give its place as a DataReference."
        )
    return _place(run, places[0])


def _place(run: StepRun, location: DataLocation) -> Place | TablePlace:
    return place_for(run.binding.workspace.datastore(location.datastore), location.datastore, location.path)


def _job(run: StepRun, number: int, source: Place | TablePlace, destination: Place | TablePlace) -> dict[str, Any]:
    return {
        "job_version": 1,
        "command": {"kind": "transfer", "source": str(source), "destination": str(destination)},
        "attempt": number,
        "run": {"id": run.step_run_id, "name": run.step.name, "parameters": dict(run.parameters)},
    }


def _both(say: Say, log: Path) -> Say:
    """Lines for Airflow's log and for the step's own."""

    def tell(line: str) -> None:
        say(line)
        try:
            with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{line}\n")
        except OSError as error:
            _log.warning("the step's log %s cannot be written: %s", log, error.strerror)

    return tell


def _note_metrics(attempt: AttemptFolder, summary: Summary) -> None:
    """Leave what was moved as the step's metrics."""
    told: dict[str, float | None] = {
        "files": summary.files,
        "bytes": summary.bytes,
        "files_already_there": summary.skipped,
        "bytes_already_there": summary.skipped_bytes,
        "rows": summary.rows,
        "transfer_seconds": summary.seconds,
    }
    now = time.time()
    events = [
        {"seq": number, "time": now, "type": "metric", "kind": "scalar", "name": name, "value": value}
        for number, (name, value) in enumerate(told.items(), 1)
        if value is not None
    ]
    attempt.events.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="ascii")
