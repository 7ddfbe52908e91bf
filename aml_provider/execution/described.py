"""One task of a hand-written DAG: whether an earlier result stands for it, and keeping its own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from aml_provider.execution.recording import commit_record, keep_fingerprint
from aml_provider.execution.reusing import claim_again
from aml_provider.reuse.claims import Claim, Claims
from aml_provider.reuse.contents import Contents
from aml_provider.reuse.plan import Decision, Planner, Verdict
from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepError
from aml_provider.runs.layout import AttemptFolder, read_json
from aml_provider.spec.models import DataLocation, StoredOutput
from aml_provider.storage.digest_cache import DigestCache


@dataclass(frozen=True)
class Decided:
    """What is known about a task before it starts.

    :param outputs: where its outputs are, or will be.
    """

    reused: bool
    reason: str
    outputs: dict[str, Any]


def decide(run: StepRun, number: int, lease_seconds: float, stale: Claim | None) -> Decided | Claim:
    """Look for an earlier result; when there is none, claim its computation.

    :param number: the attempt in whose folder the fingerprint is kept for :func:`record`.
    :param lease_seconds: nobody renews the claim, so it is good for this long.
    :param stale: a claim that was seen not to live any more.
    :return: the claim of another run that is computing the same.
    """
    with DigestCache(run.binding.digest_cache) as cache:
        decision = Planner(run.binding, run.parameters, cache=cache).decide(run)
        if decision.fingerprint is not None and decision.verdict is not Verdict.REUSE:
            there = _claim(run, decision.fingerprint.key, lease_seconds, stale)
            if there is not None:
                return there
            # Whoever held the claim before may have finished between our look at the index and our claim.
            decision = Planner(run.binding, run.parameters, cache=cache).decide(run)
            if decision.verdict is Verdict.REUSE:
                release(run, run.folder.attempt(number))
    # Kept for a reused task too: a person may have it run all the same, and then its result is the newer one.
    reused = decision.verdict is Verdict.REUSE
    keep_fingerprint(run, run.folder.attempt(number), decision.fingerprint, [decision.reason], replace=reused)
    places = decision.outputs if reused else _declared(run)
    return Decided(reused, _sentence(decision), {name: place.model_dump() for name, place in places.items()})


def record(run: StepRun, number: int) -> dict[str, Any]:
    """Make what a task has written known for reuse; its outputs, with their digests.

    :param number: the attempt that :func:`decide` was told.
    :raises StepError: the task has not written one of its outputs.
    """
    attempt = run.folder.attempt(number)
    with DigestCache(run.binding.digest_cache) as cache:
        contents = Contents(run.binding.workspace, cache)
        outputs = {name: contents.stored(place) for name, place in _declared(run).items()}
        for name, place in outputs.items():
            if place.digest is None:
                raise StepError(
                    f"step {run.step.name!r}: its task has ended, and there is nothing at "
                    f"{place.datastore}:{place.path}, where its output {name!r} was to be. Correct the place or the task."
                )
        started, ended = float((read_json(attempt.fingerprint) or {}).get("created") or time.time()), time.time()
        times = {"started": started, "ended": ended, "seconds": round(ended - started, 3), "metrics": {}}
        commit_record(run, attempt, times, contents, outputs)
    release(run, attempt)
    return {name: place.model_dump() for name, place in outputs.items()}


def release(run: StepRun, attempt: AttemptFolder) -> None:
    """Give back the claim of a task that has ended."""
    lease = claim_again(run, attempt)
    if lease is not None:
        lease.release()


def _claim(run: StepRun, key: str, lease_seconds: float, stale: Claim | None) -> Claim | None:
    claims = Claims.of(run.binding.store.reuse, run.binding.store.root)
    wanted: dict[str, Any] = {
        "owner": run.step_run_id,
        "step": run.step.name,
        "pipeline_run_id": run.pipeline_run_id,
        "lease_seconds": lease_seconds,
    }
    found = (
        claims.take_over(stale, **wanted) if stale is not None and stale.key == key else claims.acquire(key, **wanted)
    )
    return found if isinstance(found, Claim) else None


def _declared(run: StepRun) -> dict[str, StoredOutput]:
    return {o.name: StoredOutput(**_location(o.datastore, o.destination).model_dump()) for o in run.step.outputs}


def _location(datastore: str, path: str) -> DataLocation:
    return DataLocation(datastore=datastore, path=path)


def _sentence(decision: Decision) -> str:
    if decision.record is None:
        return f"runs: {decision.reason}"
    computed = f"computed by {decision.record.run['pipeline_run_id']} in {decision.record.seconds:g} s"
    return f"reused: {decision.reason}; {computed}"
