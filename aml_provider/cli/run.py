"""``aml run``: the file as a program, its runs followed to their end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from aml_provider import submission
from aml_provider.cli.inspect import nothing_submitted
from aml_provider.sdk.backend import RunBackend, RunState
from aml_provider.sdk.progress import failure_text, follow
from aml_provider.spec.errors import AmlError, PipelineError
from aml_provider.submission.files import run_file
from aml_provider.submission.overrides import Overrides, overriding

INTERRUPTED = 130


def run_pipelines(file: Path, overrides: Overrides, as_json: bool) -> int:
    """Run the pipelines that ``file`` submits.

    :param overrides: what the command line says, which wins over the file.

    :return: the exit code: 0 when every run finished.
    """
    stdout = sys.stdout
    failure: AmlError | None = None
    told: list[RunBackend] = []
    code = 0
    # With --json, standard output holds the result and nothing else.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        try:
            try:
                with overriding(overrides):
                    code = run_file(file)
            except AmlError as e:
                if isinstance(e.__cause__, KeyboardInterrupt):
                    raise KeyboardInterrupt from None
                failure = e
            # What was started before the file failed is run all the same.
            for run in submission.started():
                if not run.state().is_final:
                    _follow(run)
                    told.append(run)
        except KeyboardInterrupt:
            _stop()
            code = INTERRUPTED
    runs = submission.started()
    if not runs and failure is None and code != INTERRUPTED:
        failure = PipelineError(nothing_submitted(file, code))
    if failure is not None:
        print(f"aml: {failure}", file=sys.stderr)
    if as_json:
        for run in runs:
            print(json.dumps(_result(run)), file=stdout)
    if code == INTERRUPTED:
        return code
    unfinished = [r for r in runs if r.state() is not RunState.FINISHED]
    if failure is None:
        # The file may have kept it to itself.
        for run in (r for r in unfinished if r not in told):
            print(f"aml: pipeline run {run.pipeline_run_id} ended as {run.state().value}", file=sys.stderr)
    return code or (1 if failure is not None or unfinished else 0)


def _follow(run: RunBackend) -> None:
    """See a run to its end for a file that does not wait for it."""
    state = follow(run)
    if state is not RunState.FINISHED:
        print(f"aml: {failure_text(run, state, logs=False)}", file=sys.stderr)


def _stop() -> None:
    """Cancel what runs, and wait until it has ended: containers and pods go with it."""
    runs = [run for run in submission.started() if not run.state().is_final]
    for run in runs:
        print(f"stopping run {run.pipeline_run_id}", file=sys.stderr)
        run.cancel()
    for run in runs:
        run.wait(None)


def _result(run: RunBackend) -> dict[str, Any]:
    return {
        "state": run.state().value,
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "steps": [
            {
                "name": s.name,
                "state": s.state.value,
                "seconds": round(s.seconds, 3) if s.seconds is not None else None,
                "outputs": {n: {"datastore": o.datastore, "path": o.path} for n, o in s.outputs.items()},
                "metrics": s.metrics,
                "reused": dataclasses.asdict(s.reused) if s.reused is not None else None,
                **({"error": s.error} if s.error else {}),
                **({"unrecorded": s.unrecorded} if s.unrecorded else {}),
            }
            for s in run.steps()
        ],
    }
