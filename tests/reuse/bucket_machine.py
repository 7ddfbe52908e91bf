"""One machine of several that share a bucket: runs a pipeline of one step, and says what becomes of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from azureml.core import Environment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.steps import PythonScriptStep

from aml_provider.execution.lifecycle import begin_run
from aml_provider.execution.outcome import conclude
from aml_provider.execution.prepare import prepare_attempt
from aml_provider.execution.reusing import Go, Wait, settle
from aml_provider.reuse.claims import Claim, Claims, Observer
from aml_provider.reuse.plan import Options
from aml_provider.runs.binding import StepRun
from tests.reuse.driver import Project, _here


class _Kept(Project):
    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, 0


def _steps(ws: Workspace) -> list[PythonScriptStep]:
    config = RunConfiguration()
    config.environment = Environment("plain")
    config.environment.python.user_managed_dependencies = True
    model = OutputFileDatasetConfig("model", destination=(ws.get_default_datastore(), "models/{run-id}"))
    return [PythonScriptStep("train.py", name="train", arguments=[model], source_directory="code", runconfig=config)]


def main(folder: Path, say: Callable[[str], None]) -> None:
    binding = _Kept(folder).build(_steps)
    # Both machines have their own Airflow, and there the runs have the same name.
    begun = begin_run(binding, "lab", "scheduled 1", {}, Options())
    (step,) = binding.spec.steps
    if step.key in begun.skipped:
        say("reused")
        return
    run = StepRun(binding, step, "lab", "scheduled 1", {}, lambda _: {})
    stale: Claim | None = None
    while isinstance(outcome := settle(run, 1, None, stale, lambda: False), Wait):
        say("waiting")
        observer = Observer(Claims.of(binding.store), outcome.claim.key)
        while (state := observer.look()) == "held":
            time.sleep(0.05)
        stale = observer.claim if state == "stale" else None
    if not isinstance(outcome, Go):
        say("reused")
        return
    say("computing")
    assert outcome.lease is not None
    with outcome.lease:
        prepared = prepare_attempt(run, 1, outcome, in_place=True, interpreter=sys.executable, variables={})
        conclude(run, prepared.folder, f"its process ended with exit code {_here(prepared)}")
    say("computed")


if __name__ == "__main__":
    # Airflow's log goes where this is told, too.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    main(Path(sys.argv[1]), lambda text: print(text, file=answers, flush=True))
