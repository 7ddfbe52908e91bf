"""``aml run``: the file as a program, its runs followed to their end."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from aml_provider import submission
from aml_provider.sdk.backend import RunBackend, RunState
from aml_provider.sdk.exceptions import AzureMLException
from aml_provider.sdk.progress import follow
from aml_provider.spec.errors import AmlError, PipelineError
from aml_provider.submission.files import run_file
from aml_provider.submission.overrides import Overrides, overriding

INTERRUPTED = 130


def run_pipelines(file: Path, parameters: dict[str, str], experiment: str | None, as_json: bool) -> int:
    """Run the pipelines that ``file`` submits.

    :return: the exit code: 0 when every run finished.
    """
    stdout = sys.stdout
    failure: BaseException | None = None
    # With --json, standard output holds the result and nothing else.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        try:
            with overriding(Overrides(parameters, experiment)):
                run_file(file)
            for run in submission.started():
                if not run.state().is_final:
                    follow(run)
        except KeyboardInterrupt:
            return _interrupted()
        except (AmlError, AzureMLException) as e:
            failure = e
    runs = submission.started()
    if not runs and failure is None:
        failure = PipelineError(f"{file} submits no pipeline: nothing was run")
    if failure is not None:
        print(f"aml: {getattr(failure, 'message', None) or failure}", file=sys.stderr)
    if as_json:
        for run in runs:
            print(json.dumps(_result(run)), file=stdout)
    return 0 if failure is None and all(r.state() is RunState.FINISHED for r in runs) else 1


def _interrupted() -> int:
    for run in submission.started():
        if not run.state().is_final:
            print(f"stopping run {run.pipeline_run_id}", file=sys.stderr)
            run.cancel()
            run.wait(None)
    return INTERRUPTED


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
                **({"error": s.error} if s.error else {}),
            }
            for s in run.steps()
        ],
    }
