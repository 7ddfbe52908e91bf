"""The end of an attempt: publish its outputs, or throw them away, and write the step's result."""

from __future__ import annotations

import fnmatch
import os
import shutil
from pathlib import Path
from typing import Any

from aml_provider.execution import data
from aml_provider.execution.prepare import discard_attempts
from aml_provider.execution.recording import commit_record
from aml_provider.execution.registering import register
from aml_provider.reuse.contents import Contents
from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepError
from aml_provider.runs.layout import AttemptFolder, write_json
from aml_provider.spec.models import DataLocation, DataMode, StepOutput, StoredOutput
from aml_provider.storage.datastores import store_for
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.tracking.journal import metrics_of, read_events


def commit_success(run: StepRun, attempt: AttemptFolder, report: dict[str, Any]) -> dict[str, StoredOutput]:
    """Publish every output of a finished attempt, record it for reuse, write the result, and return the outputs.

    Doing it again after a crash half-way is safe: an output is either still staged or already in place.

    :raises StepError: an output would overwrite a file that it must not.
    """
    places: dict[str, DataLocation] = {}
    for output in run.step.outputs:
        places[output.name] = _publish(run, attempt, output)
        if output.registration is not None:
            register(run.binding.workspace, output.registration, places[output.name])
    with DigestCache(run.binding.digest_cache) as cache:
        contents = Contents(run.binding.workspace, cache)
        outputs = {name: contents.stored(place) for name, place in places.items()}
        result = _result(run, attempt, "Finished", report, outputs, None)
        # Before the result: who sees that the step is done can reuse it, too.
        commit_record(run, attempt, result, contents, outputs)
    write_json(run.folder.result_file, result)
    discard_attempts(run, attempt.number)
    shutil.rmtree(attempt.inputs, ignore_errors=True)
    return outputs


def commit_failure(run: StepRun, attempt: AttemptFolder, report: dict[str, Any] | None, error: str) -> None:
    """Throw away what a failed attempt wrote, and record why it failed.

    When a running step is cleared, its next attempt starts before the old one has ended: that is not disturbed.
    """
    discard_attempts(run, attempt.number)
    shutil.rmtree(attempt.inputs, ignore_errors=True)
    if attempt.number == run.folder.attempts()[-1].number:
        write_json(run.folder.result_file, _result(run, attempt, "Failed", report or {}, {}, error))


def record_problem(run: StepRun, number: int, error: str, *, final: bool) -> None:
    """Record why a step did not come to its own end: its script never started, or nobody knows how it ended.

    Nothing is thrown away, because the attempt may still be running somewhere.

    :param number: the attempt.
    :param final: starting again would not help.
    """
    state = "Failed" if final else "Interrupted"
    write_json(run.folder.result_file, _result(run, run.folder.attempt(number), state, {}, {}, error))


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
        "seconds": round(ended - started, 3) if started and ended else None,
        "exit_code": report.get("exit_code"),
        "error": error,
        "outputs": {n: p.model_dump() for n, p in outputs.items()},
        "metrics": metrics_of(read_events(attempt.events)),
    }


def _publish(run: StepRun, attempt: AttemptFolder, output: StepOutput) -> DataLocation:
    place = data.destination_of(run, output)
    staged = data.staged_path(run, attempt, output)
    store = store_for(run.binding.workspace.datastore(place.datastore), place.datastore)
    final = store.local_path(place.path)
    if not staged.exists():
        # Already published by an earlier try of this commit, or the script never wrote it.
        return place
    if output.source_globs:
        _keep_only(staged, output.source_globs)
    _make_links_relative(staged, (str(staged), str(data.INSIDE / "outputs" / output.name / output.name)))
    final.parent.mkdir(parents=True, exist_ok=True)
    if not final.exists():
        _move(staged, final)
    elif "{run-id}" in output.destination:
        # Only this step run writes there: what is there is the result of an attempt that was cleared.
        _replace(staged, final, data.staging_folder(run, attempt.number, output) / ".replaced")
    else:
        _merge(run, output, staged, final)
    return place


def _make_links_relative(staged: Path, roots: tuple[str, ...]) -> None:
    """Links to files of the same output keep their meaning when the output moves to its destination.

    :param roots: the output's path on this machine and inside the step.
    """
    for path in [p for p in staged.rglob("*") if p.is_symlink()]:
        target = os.readlink(path)
        for root in roots:
            if target == root or target.startswith(root + "/"):
                here = staged / os.path.relpath(target, root)
                path.unlink()
                path.symlink_to(os.path.relpath(here, path.parent))
                break


def _keep_only(staged: Path, globs: tuple[str, ...]) -> None:
    for path in [p for p in staged.rglob("*") if p.is_file()]:
        relative = path.relative_to(staged).as_posix()
        if not any(fnmatch.fnmatch(relative, g) or fnmatch.fnmatch(path.name, g) for g in globs):
            path.unlink()


def _move(staged: Path, final: Path) -> None:
    try:
        os.rename(staged, final)
    except OSError:
        # The script wrote below its working directory, in another file system than the datastore.
        part = final.with_name(f".aml-part-{final.name}")
        shutil.rmtree(part, ignore_errors=True)
        data.copy(staged, part)
        os.rename(part, final)


def _replace(staged: Path, final: Path, old: Path) -> None:
    old.parent.mkdir(parents=True, exist_ok=True)
    os.rename(final, old)
    os.rename(staged, final)
    if old.is_dir():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.unlink()


def _merge(run: StepRun, output: StepOutput, staged: Path, final: Path) -> None:
    """Add files to a place that other runs write to as well; every file appears whole."""
    if staged.is_file():
        os.replace(staged, final)
        return
    files = [p for p in staged.rglob("*") if p.is_file()]
    if output.mode is DataMode.UPLOAD and not output.overwrite:
        for path in files:
            if (final / path.relative_to(staged)).exists():
                raise StepError(
                    f"step {run.step.name!r}, output {output.name!r}: {path.relative_to(staged).as_posix()} exists "
                    f"already at {final}. Use as_upload(overwrite=True), or a destination with {{run-id}} in it."
                )
    for path in files:
        target = final / path.relative_to(staged)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
