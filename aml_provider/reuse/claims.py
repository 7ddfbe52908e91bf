"""Who computes what right now: claims that end by themselves when their owner dies.

No two machines' clocks are compared. An owner rewrites its claim again and again; whoever waits calls the claim stale
when it has not changed for the claim's lease by the waiter's own clock.

A claim says who computes, and not that nothing has been computed: whoever gets one reads the record once more.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Literal

from aml_provider.runs.layout import RunStore
from aml_provider.storage.faults import DatastoreError
from aml_provider.storage.record_store import RecordStore

from .claim_files import DEFAULT_LEASE_SECONDS, Claim, claim_name, new_claim
from .keeping import name_of_this_place, records_in
from .leases import Lease, recorded_in

__all__ = ["DEFAULT_LEASE_SECONDS", "Claim", "Claims", "Lease", "Observer"]

_log = logging.getLogger(__name__)

# A heartbeat that this machine cannot see for good, which is another thing than a store that fails for a while.
_UNSEEN = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG}
# How often a claim is looked at again that is neither there nor can be created.
_ATTEMPTS = 100
# Between two tries to claim in a store that does not answer; its client waits by itself as well.
_PAUSE_SECONDS = 1.0


class Claims:
    """The claims of an index.

    :param store: where they are, as ``claims/<key>.json``.
    :param root: the folder that a heartbeat is relative to; ``None`` when this machine has no such folder.
    :param here: what is put behind the names of owners, where those of several run stores may be the same.
    """

    def __init__(self, store: RecordStore, root: Path | None, here: str = "") -> None:
        self._behind = f"@{here}" if here else ""
        self._store = store
        self._root = root
        self._told = False

    @classmethod
    def of(cls, place: RunStore | Path, root: Path | None = None) -> Claims:
        """The claims of a run store's index, or of one in a folder.

        :param root: the folder that heartbeats are relative to, for an index in a folder.
        :raises DatastoreError: it is in a bucket that cannot be opened.
        """
        return cls(records_in(place), place.root if isinstance(place, RunStore) else root, name_of_this_place(place))

    def acquire(
        self,
        key: str,
        seen: Claim | None = None,
        *,
        owner: str,
        step: str,
        pipeline_run_id: str,
        lease_seconds: float = DEFAULT_LEASE_SECONDS,
        heartbeat: str | None = None,
        starting_seconds: float = 0.0,
    ) -> Lease | Claim:
        """Claim a fingerprint.

        :param seen: a stale claim, which is taken away from its owner if it is still exactly that; when it has gone
            meanwhile, the fingerprint is claimed anew.
        :param owner: the step run. Its own claim, from an earlier attempt, it takes over at once.
        :return: a lease, not yet renewed by itself (see :meth:`Lease.start`), or the claim of who is alive after all or
            was quicker. A store that cannot be read or written stops nobody from computing for longer than a lease,
            and than a minute: the claim is then written when the store answers again.
        """
        owner += self._behind
        mine = new_claim(key, owner, step, pipeline_run_id, lease_seconds, heartbeat, starting_seconds)
        return self._get(mine, seen)

    def look(self, key: str) -> Claim | None:
        """The claim on a fingerprint; ``None`` when nobody has one."""
        content = self._store.read(claim_name(key))
        return None if content is None else self._known(Claim.from_bytes(key, content))

    def _known(self, claim: Claim) -> Claim:
        """The claim with its owner's name as it is known in this run store, if it is one of its own."""
        own = self._behind and claim.owner.endswith(self._behind)
        return replace(claim, owner=claim.owner.removesuffix(self._behind)) if own else claim

    def drop(self, owners: Collection[str]) -> None:
        """Remove the claims of step runs that have ended, whatever has become of their processes.

        :raises OSError: the store cannot be read or written.
        """
        for name in self._store.names("claims/"):
            content = self._store.read(name)
            if content is not None and self._known(Claim.from_bytes("", content)).owner in owners:
                self._store.swap(name, content, None, durable=False)

    def let_end(self, key: str, owner: str, seconds: float) -> None:
        """Have the claim of an owner that is being stopped end soon, when nobody renews it any more.

        :param seconds: after how long others may compute.
        :raises OSError: the store cannot be read.
        """
        content = self._store.read(claim_name(key))
        claim = None if content is None else Claim.from_bytes(key, content)
        if claim is not None and self._known(claim).owner == owner and claim.lease_seconds > seconds:
            Lease(self._store, claim).update(lease_seconds=seconds)

    def life_sign(self, claim: Claim) -> tuple[int, ...] | None:
        """What changes about the claim's heartbeat file while its step runs; ``None`` when there is no file."""
        if self._root is None or claim.heartbeat is None:
            return None
        try:
            seen = os.stat(self._root / claim.heartbeat)
        except OSError as error:
            if error.errno in _UNSEEN:
                return None
            raise
        return seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns

    def _get(self, mine: Claim, stale: Claim | None = None) -> Lease | Claim:
        # A hand-written task is claimed for an hour, and nobody waits that long for a store.
        deadline = time.monotonic() + min(mine.lease_seconds, DEFAULT_LEASE_SECONDS)
        while True:
            try:
                return self._try_to_get(mine, stale) if self._can_claim() else Lease(None, mine)
            except OSError as error:
                if isinstance(error, DatastoreError) and error.transient and time.monotonic() < deadline:
                    _log.info("step %r waits for its claim: %s", mine.step, error)
                    time.sleep(_PAUSE_SECONDS)
                    continue
                _log.warning(
                    "step %r computes without a claim, so another run may compute the same: %s", mine.step, error
                )
                return Lease(self._store, mine, written=False)

    def _try_to_get(self, mine: Claim, stale: Claim | None) -> Lease | Claim:
        name = claim_name(mine.key)
        if stale is not None and self._store.swap(name, stale.content, mine.content, durable=False):
            _log.warning("the claim of %s on %s was stale; %s takes it over.", stale.owner or "?", mine.key, mine.owner)
            return self._lease(mine, taken_from=stale.owner)
        for _ in range(_ATTEMPTS):
            if self._store.create(name, mine.content, durable=False):
                return self._lease(mine)
            there = self.look(mine.key)
            if there is None:
                continue
            if there.owner != self._known(mine).owner:
                return there
            if self._store.swap(name, there.content, mine.content, durable=False):
                return self._lease(mine)
        raise FileExistsError(f"{name} in {self._store} is something that is no file; remove it.")

    def _lease(self, mine: Claim, taken_from: str = "") -> Lease:
        # Another run that computes the same, and that this one does not see, leaves something else there.
        try:
            recorded = recorded_in(self._store, mine.key)
        except OSError as error:
            _log.debug("the record of %s cannot be read: %s", mine.key, error)
            recorded = None
        return Lease(self._store, mine, taken_from=taken_from, recorded=recorded)

    def _can_claim(self) -> bool:
        if not self._store.exclusive and not self._told:
            self._told = True
            _log.warning(
                "%s cannot decide between two who write at once, so steps are not claimed: two runs that start "
                "together may compute the same step twice.",
                self._store,
            )
        return self._store.exclusive


class Observer:
    """How a waiter sees one claim.

    :param clock: seconds that only ever grow.
    """

    def __init__(self, claims: Claims, key: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._claims = claims
        self._key = key
        self._clock = clock
        self._seen: tuple[bytes, tuple[int, ...] | None] | None = None
        self._since = 0.0
        #: The claim of the last look, for :meth:`Claims.acquire`.
        self.claim: Claim | None = None

    def look(self) -> Literal["free", "held", "stale"]:
        """What the claim is now.

        A store that fails to answer makes the count begin anew: its owner could not renew the claim either.
        """
        # The clock is read on both sides of the look, so that a slow one only makes the wait longer.
        before = self._clock()
        try:
            claim = self._claims.look(self._key)
            sign = None if claim is None else self._claims.life_sign(claim)
        except OSError as error:
            _log.warning("the claim on %s cannot be seen right now: %s", self._key, error)
            self._seen = None
            return "held"
        self.claim = claim
        if claim is None:
            self._seen = None
            return "free"
        if (claim.content, sign) != self._seen:
            self._seen, self._since = (claim.content, sign), self._clock()
            return "held"
        limit = claim.lease_seconds
        if claim.heartbeat is not None and sign is None:
            limit = max(limit, claim.starting_seconds)
        return "stale" if before - self._since >= limit else "held"
