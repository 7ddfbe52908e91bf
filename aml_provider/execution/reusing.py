"""The check before a step starts: use an earlier result, wait for another run that is computing it, or run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aml_provider.execution.disk import disk_errors
from aml_provider.execution.recording import adopt
from aml_provider.reuse.claims import Claim, Claims, Lease
from aml_provider.reuse.explain import nearest
from aml_provider.reuse.fingerprint import Fingerprint
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.keeping import index_told
from aml_provider.reuse.plan import Decision, Options, Planner, Verdict
from aml_provider.runs.binding import StepRun
from aml_provider.runs.layout import AttemptFolder, read_json, write_json
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.workspace.model import ComputeKind

_log = logging.getLogger(__name__)

# An attempt's folder whose runtime has not started yet shows no sign of life: time for images and for a place to run.
STARTING_MARGIN_SECONDS = 60.0
# How long a deferred task may wait for a worker when its pod has ended.
RESUMING_SECONDS = 60.0


@dataclass(frozen=True)
class Go:
    """The step runs.

    :param reason: why, in words.
    :param fingerprint: ``None``: its result will not be recorded.
    :param lease: tells other runs that this one is computing it; ``None`` where nothing is recorded.
    :param replaces: its result takes the place of an earlier one, which a person or the age limit has ruled out.
    :param begun: when its worker began with it, in seconds since the epoch.
    :param unrecorded: why its result will not be recorded although it could have been.
    """

    reason: str
    fingerprint: Fingerprint | None = None
    lease: Lease | None = None
    replaces: bool = False
    begun: float | None = None
    unrecorded: str | None = None


@dataclass(frozen=True)
class Wait:
    """Another run is computing the same."""

    claim: Claim


@dataclass(frozen=True)
class Reused:
    """An earlier result stands for the step's."""

    decision: Decision


def settle(
    run: StepRun, number: int, forced: str | None, stale: Claim | None, learn: Callable[[], bool]
) -> Go | Wait | Reused:
    """Decide what happens to a step that is about to start.

    :param number: the attempt.
    :param forced: why the step runs whatever there is, ``None``: it need not.
    :param stale: a claim that was seen not to live any more.
    :param learn: finds out what could not be known (resolves packages, pulls an image); whether that changed anything.
    :raises StepInterruptedError: there is an earlier result, and no room to say that it is used.
    """
    if not run.step.allow_reuse:
        return Go("allow_reuse is False for it")
    with DigestCache(run.binding.digest_cache) as cache:
        decision = _decide(run, cache, forced)
        if decision.verdict is not Verdict.REUSE and decision.fingerprint is None and learn():
            decision = _decide(run, cache, forced)
        if decision.verdict is not Verdict.REUSE:
            if decision.fingerprint is None:
                return Go(forced or decision.reason)
            lease = _claim_attempt(run, number, decision.fingerprint.key, stale)
            if isinstance(lease, Claim):
                return Wait(lease)
            try:
                # Whoever held the claim before may have finished between our look at the index and our claim.
                again = _decide(run, cache, forced)
            except BaseException:
                lease.release()
                raise
            if again.verdict is not Verdict.REUSE:
                return Go(forced or decision.reason, decision.fingerprint, lease, forced is not None or again.outdated)
            lease.release()
            decision = again
        assert decision.record is not None
        with disk_errors(run):
            write_json(run.folder.result_file, adopt(run, decision, run.folder.latest))
        return Reused(decision)


def _decide(run: StepRun, cache: DigestCache, forced: str | None) -> Decision:
    asked = run.run_folder.plan().get("options") or {}
    options = Options(assume_unchanged=tuple(asked.get("assume_unchanged") or ()))
    planner = Planner(run.binding, run.parameters, options, cache=cache)
    return planner.decide(run) if forced is None else planner.fingerprinted(run)


def claim(run: StepRun, key: str, stale: Claim | None, **terms: Any) -> Lease | Claim:
    """Claim what a step is going to compute, or find out who has.

    :param stale: a claim that was seen not to live any more.
    :param terms: for how long, and how its owner shows that it lives, as :meth:`Claims.acquire` has them.
    """
    claims = Claims.of(run.binding.store)
    terms |= {"owner": run.step_run_id, "step": run.step.name, "pipeline_run_id": run.pipeline_run_id}
    return claims.acquire(key, stale if stale is not None and stale.key == key else None, **terms)


def _claim_attempt(run: StepRun, number: int, key: str, stale: Claim | None = None) -> Lease | Claim:
    compute = run.compute
    waits = compute.kind is ComputeKind.KUBERNETES and compute.deferrable
    # Nothing shows that a deferred step lives between its pod's end and the worker that takes what the pod has left.
    resuming = RESUMING_SECONDS if waits else 0.0
    return claim(
        run,
        key,
        stale,
        lease_seconds=run.binding.workspace.file.reuse.lease_seconds + resuming,
        heartbeat=heartbeat(run, number),
        # While its pod is pending, a deferred step has no worker that would renew its claim.
        starting_seconds=compute.startup_timeout_seconds + STARTING_MARGIN_SECONDS if waits else 0.0,
    )


def claim_again(run: StepRun, attempt: AttemptFolder) -> Lease | Claim | None:
    """The claim of an attempt that goes on in another process, or that of whoever has taken it over.

    :return: ``None``: nobody was to know that it is computed.
    """
    key = key_of(attempt)
    return None if key is None else _claim_attempt(run, attempt.number, key)


def key_of(attempt: AttemptFolder) -> str | None:
    """What an attempt computes, if its result is to be recorded."""
    return (read_json(attempt.fingerprint) or {}).get("key")


def _held(run: StepRun, attempt: AttemptFolder) -> Claim | None:
    key = key_of(attempt)
    held = None if key is None else Claims.of(run.binding.store).look(key)
    return held if held is not None and held.owner == run.step_run_id else None


def claim_to_renew(run: StepRun, lease: Lease | None) -> dict[str, Any] | None:
    """What the trigger of a deferred attempt needs to renew its claim; ``None``: there is none.

    :param lease: what the worker has. The store, which may be away right now, is not asked.
    """
    if lease is None or not lease.is_kept:
        return None
    held = lease.claim
    return {**index_told(run.binding.store), "key": held.key, "text": held.text, "recorded": lease.recorded}


def release(run: StepRun, attempt: AttemptFolder) -> None:
    """Give back the claim of an attempt that has ended, if it still has one."""
    if _held(run, attempt) is not None:
        lease = claim_again(run, attempt)
        if isinstance(lease, Lease):
            lease.release()


def heartbeat(run: StepRun, number: int) -> str:
    """Where attempt ``number`` shows that it lives, relative to the run store."""
    return run.folder.attempt(number).heartbeat.relative_to(run.binding.store.root).as_posix()


def why_it_runs(run: StepRun, go: Go) -> list[str]:
    """Why a step runs, in lines: the reason, and what differs from its nearest earlier result."""
    lines = [go.reason]
    if go.fingerprint is not None:
        found = nearest(go.fingerprint, run.step.name, ReuseIndex.of(run.binding.store))
        lines += [f"{change}" for change in found.changes]
    return lines
