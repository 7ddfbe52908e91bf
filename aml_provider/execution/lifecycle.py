"""The beginning and the end of a pipeline run: its record, what of it is reused, and its end."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aml_provider.execution.recording import adopt
from aml_provider.reuse.announced import announce, withdraw
from aml_provider.reuse.plan import Options, Plan, Planner, Verdict
from aml_provider.runs.binding import PipelineBinding, StepRun, pipeline_run_id, step_run_id
from aml_provider.runs.embedded import EMBEDDED_VARIABLE
from aml_provider.runs.folders import folder_words
from aml_provider.runs.git import git_properties
from aml_provider.runs.layout import CANCELED, RunFolder, RunStore, write_json
from aml_provider.spec.errors import AmlError
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.uncollected import uncollected
from aml_provider.workspace.experiments import experiment_tags

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Begun:
    """What the head task has decided.

    :param skipped: the steps that no task runs for, and their outputs, as they are pushed: ``{key: {output: place}}``.
    """

    plan: Plan
    skipped: dict[str, dict[str, Any]]


def begin_run(
    binding: PipelineBinding, dag_id: str, run_id: str, parameters: Mapping[str, Any], options: Options
) -> Begun:
    """Write a run's record, decide which of its steps need not run, and give those their earlier results.

    :raises AmlError: ``options`` names a step that the pipeline does not have; the default datastore is of no use.
    """
    with uncollected():
        return _begin(binding, dag_id, run_id, parameters, options)


def _begin(
    binding: PipelineBinding, dag_id: str, run_id: str, parameters: Mapping[str, Any], options: Options
) -> Begun:
    spec, folder = binding.spec, binding.store.run(dag_id, run_id)
    write_json(
        folder.path / "run.json",
        {
            "dag_id": dag_id,
            "run_id": run_id,
            "pipeline_run_id": pipeline_run_id(dag_id, run_id),
            "experiment": spec.submit.experiment,
            "experiment_tags": experiment_tags(binding.workspace.state, spec.submit.experiment),
            "script": spec.submit.script,
            "embedded": os.environ.get(EMBEDDED_VARIABLE),
            "workspace": binding.workspace.name,
            "parameters": dict(parameters),
            "tags": dict(spec.submit.tags),
            "steps": [
                {"task_id": s.key, "name": s.name, "step_run_id": step_run_id(dag_id, run_id, s.key)}
                for s in spec.steps
            ],
            "started": time.time(),
            "properties": git_properties(binding.folder),
            "hidden": folder_words(binding),
        },
        compact=True,
    )
    announce(binding, dag_id, run_id, dict(parameters))
    decided = time.time()
    with DigestCache(binding.digest_cache) as cache:
        plan = Planner(binding, parameters, options, cache=cache, user=(dag_id, run_id)).plan()
    skipped, attempts = _skipped(plan), folder.latest_attempts()
    steps: dict[str, dict[str, Any]] = {}
    for key, decision in plan.decisions.items():
        steps[key] = {"verdict": decision.verdict.value, "reason": decision.reason}
        if decision.fingerprint is not None:
            steps[key]["fingerprint"] = decision.fingerprint.key
        if key in skipped:
            run = StepRun(binding, decision.step, dag_id, run_id, dict(parameters), lambda _: {})
            steps[key]["result"] = adopt(run, decision, attempts.get(key, 0))
    asked = {"regenerate": options.regenerate, "assume_unchanged": list(options.assume_unchanged)}
    write_json(folder.plan_file, {"options": asked, "decided": decided, "steps": steps}, compact=True)
    return Begun(plan, {key: steps[key]["result"]["outputs"] for key in plan.decisions if key in skipped})


def _skipped(plan: Plan) -> set[str]:
    """The reused steps before which nothing has to run.

    A pinned step may come behind one that runs. If it were skipped at once, what comes behind it would start too early.
    """
    skipped: set[str] = set()
    for key, decision in plan.decisions.items():
        if decision.verdict is Verdict.REUSE and skipped.issuperset(decision.step.upstream):
            skipped.add(key)
    return skipped


@dataclass(frozen=True)
class Ending:
    """How the steps of a run ended, by key.

    :param states: Airflow's words for all of them.
    :param missing: did not run, and no earlier result stands for them.
    :param attempts: the newest attempts that there were.
    """

    states: Mapping[str, str]
    failed: tuple[str, ...]
    missing: tuple[str, ...]
    attempts: Mapping[str, int]

    @classmethod
    def of(cls, states: Mapping[str, str], folder: RunFolder) -> Ending:
        """How the steps ended.

        :param states: Airflow's words for all of them.
        :param folder: the run's, which knows what was reused.
        """
        reused = folder.reused(key for key, state in states.items() if state == "skipped")
        missing = [k for k, v in states.items() if v != "success" and k not in reused]
        failed = [k for k, v in states.items() if v == "failed" and (folder.result(k) or {}).get("state") != CANCELED]
        return cls(states, tuple(failed), tuple(missing), folder.latest_attempts())

    @property
    def state(self) -> str:
        """The run's, in Azure ML's words."""
        return "Failed" if self.failed else "Canceled" if self.missing else "Finished"


def end_run(
    binding: PipelineBinding,
    dag_id: str,
    run_id: str,
    states: Mapping[str, str | None],
    out_of_sight: Collection[str] = (),
) -> Ending:
    """Close a run's record and its MLflow runs.

    :param states: Airflow's states of its tasks.
    :param out_of_sight: step runs that may go on although their tasks have ended: their claims end by themselves.
    """
    ending = record_end(binding, dag_id, run_id, states)
    close_records(binding, dag_id, run_id, ending, out_of_sight)
    return ending


def record_end(binding: PipelineBinding, dag_id: str, run_id: str, states: Mapping[str, str | None]) -> Ending:
    """Write into a run's record how it ended, which :func:`close_records` must follow."""
    folder = binding.store.run(dag_id, run_id)
    steps = {s.key: states.get(s.key) or "removed" for s in binding.spec.steps}
    ending = Ending.of(steps, folder)
    if folder.path.is_dir():
        try:
            write_json(
                folder.path / "end.json", {"state": ending.state, "ended": time.time(), "steps": steps}, compact=True
            )
        except OSError as e:
            _log.warning("the end of the run cannot be recorded: %s (%s)", e.strerror, e.filename or "")
    return ending


def close_records(
    binding: PipelineBinding, dag_id: str, run_id: str, ending: Ending, out_of_sight: Collection[str] = ()
) -> None:
    """Close the MLflow runs of a run that has ended, and remove what its steps have left.

    :param out_of_sight: see :func:`end_run`.

    It takes seconds, most of them for the import of MLflow, and nothing in the run waits for it.
    """
    # What only the end of a run needs, so that its beginning does not wait for it.
    from aml_provider.tracking.recorder import close_run

    folder = binding.store.run(dag_id, run_id)
    if folder.path.is_dir():
        close_run(folder.path, ending.state, ending.states, binding.workspace.tracking_uri)
        runs = [StepRun(binding, step, dag_id, run_id, {}, lambda _: {}) for step in binding.spec.steps]
        now = folder.latest_attempts()
        # A person may have cleared a step meanwhile: what it begins then is its own.
        ended = [run for run in runs if now.get(run.step.key, 0) <= ending.attempts.get(run.step.key, 0)]
        ended = [run for run in ended if run.step_run_id not in out_of_sight]
        _discard(binding.store, dag_id, run_id, ended, ending.attempts)


def _discard(store: RunStore, dag_id: str, run_id: str, runs: list[StepRun], attempts: Mapping[str, int]) -> None:
    """Remove what steps left whose own workers had no time for it: killed, or stopped while deferred."""
    from aml_provider.execution.staging import discard_attempts
    from aml_provider.reuse.claims import Claims

    for run in runs:
        try:
            for number in range(1, attempts.get(run.step.key, 0) + 1):
                discard_attempts(run, number)
                if run.is_carried:
                    from aml_provider.execution.carrying import Carrier

                    Carrier(run).clear(number)
        except (AmlError, OSError) as e:
            _log.warning("what step %r had staged could not be removed: %s", run.step.name, e)
    try:
        withdraw(store, dag_id, run_id)
        Claims.of(store).drop({run.step_run_id for run in runs})
    except OSError as e:
        _log.warning("claims that the run may have left could not be removed, and end by themselves: %s", e)
