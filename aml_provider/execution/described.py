"""One task of a hand-written DAG: whether an earlier result stands for it, and keeping its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aml_provider.execution.data import told_apart
from aml_provider.execution.recording import commit_record, keep_fingerprint
from aml_provider.execution.reusing import Go, claim, why_it_runs
from aml_provider.reuse.claims import Claim
from aml_provider.reuse.plan import Planner, Verdict
from aml_provider.reuse.snapshot import source_files
from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepError
from aml_provider.runs.layout import AttemptFolder, read_json
from aml_provider.spec.models import StepOutput, StoredOutput
from aml_provider.storage.digest_cache import DigestCache

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decided:
    """What is known about a task before it starts.

    :param why: why it is reused, or runs, in lines.
    :param outputs: where its outputs are, or will be.
    :param claimed: the fingerprint that it has claimed, if it has one and runs.
    """

    reused: bool
    why: list[str]
    outputs: dict[str, Any]
    claimed: str | None = None


def decide(run: StepRun, number: int, lease_seconds: float, stale: Claim | None) -> Decided | Claim:
    """Look for an earlier result; when there is none, claim its computation.

    :param number: the attempt in whose folder the fingerprint is kept for :func:`record`.
    :param lease_seconds: nobody renews the claim, so it is good for this long.
    :param stale: a claim that was seen not to live any more.
    :return: the claim of another run that is computing the same.
    :raises StepError: the task's code is not there.
    """
    _check_code(run)
    with DigestCache(run.binding.digest_cache) as cache:
        decision = Planner(run.binding, run.parameters, cache=cache).decide(run)
        if decision.fingerprint is not None and decision.verdict is not Verdict.REUSE:
            lease = claim(run, decision.fingerprint.key, stale, lease_seconds=lease_seconds)
            if isinstance(lease, Claim):
                return lease
            # Whoever held the claim before may have finished between our look at the index and our claim.
            again = Planner(run.binding, run.parameters, cache=cache).decide(run)
            if again.verdict is Verdict.REUSE:
                lease.release()
                decision = again
    reused = decision.verdict is Verdict.REUSE
    why = [decision.told] if reused else why_it_runs(run, Go(decision.reason, decision.fingerprint))
    # Kept for a reused task too: a person may have it run all the same, and then its result is the newer one.
    keep_fingerprint(run, run.folder.attempt(number), decision.fingerprint, why, replace=reused or decision.outdated)
    places = decision.outputs if reused else _declared(run)
    claimed = None if reused or decision.fingerprint is None else decision.fingerprint.key
    return Decided(reused, why, {name: place.model_dump() for name, place in places.items()}, claimed)


def record(run: StepRun, number: int, told: Mapping[str, Any]) -> dict[str, Any]:
    """Make what a task has written known for reuse; its outputs, with their digests.

    :param number: the attempt that :func:`decide` was told.
    :param told: where the outputs are to be, as :func:`decide` told the task. That of a reused one which a person has
        run all the same are the earlier run's places.
    :raises StepError: the task has not written one of its outputs.
    """
    attempt = run.folder.attempt(number)
    with DigestCache(run.binding.digest_cache) as cache:
        planner = Planner(run.binding, run.parameters, cache=cache)
        known = _is_as_before(run, attempt, planner)
        places = {name: StoredOutput.model_validate(told.get(name, place)) for name, place in _declared(run).items()}
        outputs = {name: planner.contents.stored(place) for name, place in places.items()}
        for name, place in outputs.items():
            if place.digest is None:
                raise StepError(
                    f"step {run.step.name!r}: its task has ended, and there is nothing at "
                    f"{place.datastore}:{place.path}, where its output {name!r} was to be. Correct the place or the "
                    "task."
                )
        if known:
            started, ended = float((read_json(attempt.fingerprint) or {})["created"]), time.time()
            times = {"started": started, "ended": ended, "seconds": round(ended - started, 3), "metrics": {}}
            commit_record(run, attempt, times, planner.contents, outputs)
    return {name: place.model_dump() for name, place in outputs.items()}


def _declared(run: StepRun) -> dict[str, StoredOutput]:
    """Where a task writes in this run."""
    return {o.name: StoredOutput(datastore=o.datastore, path=_path(run, o)) for o in run.step.outputs}


def _path(run: StepRun, output: StepOutput) -> str:
    # Not the step run's id, as in a pipeline: what has that in its path is removed with its record, and nobody knows
    # which hand-written DAGs are still reading it.
    own = told_apart(run, output.datastore, f"{run.pipeline_run_id}-{run.step.key}")
    return output.destination.replace("{run-id}", own).replace("{output-name}", output.name)


def _check_code(run: StepRun) -> None:
    """Have a wrong path be an error, and not a task that is never reused."""
    directory = run.binding.source_directory(run.step)
    if directory is None:
        return
    if not directory.is_dir():
        raise StepError(
            f"step {run.step.name!r}: its code folder {directory} does not exist on this worker. A relative one begins "
            "in the folder of the DAG file; correct it, or copy the folder there."
        )
    include = run.binding.reuse_of(run.step).include
    if include and not source_files(directory, include):
        raise StepError(
            f"step {run.step.name!r}: include {list(include)} matches no file in {directory}. Name those that count."
        )


def _is_as_before(run: StepRun, attempt: AttemptFolder, planner: Planner) -> bool:
    """Whether the result depends on what was looked at before the task started.

    The task reads its code and data where they are, so what has changed since may have been read before or after that.
    """
    kept = read_json(attempt.fingerprint) or {}
    if "key" not in kept:
        return False
    now = planner.fingerprinted(run)
    if now.fingerprint is None:
        _log.warning("the result of step %r will not be reused: %s", run.step.name, now.reason)
        return False
    if now.fingerprint.key == kept["key"]:
        return True
    changed = [part for part, value in now.fingerprint.parts.items() if value != kept["parts"].get(part)]
    _log.warning(
        "the result of step %r will not be reused: since its sensor has looked, this has changed: %s",
        run.step.name,
        ", ".join(changed),
    )
    return False
