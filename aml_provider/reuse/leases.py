"""Keeping a claim while its step runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from blake3 import blake3

from aml_provider.storage.record_store import RecordStore

from .claim_files import Claim, claim_name
from .records import record_name

_log = logging.getLogger(__name__)

#: How often a claim is renewed in each of its leases.
BEATS = 4
# A store that failed is tried again sooner, but not all the time.
_BEATS_AFTER_FAILURE = 16
# How often a renewal looks again at a claim that is neither there nor can be created.
_ATTEMPTS = 100


def recorded_in(store: RecordStore, key: str) -> str:
    """What stands recorded for a fingerprint, in a digest; empty for nothing.

    :raises OSError: the store cannot be read.
    """
    content = store.read(record_name(key))
    return "" if content is None else blake3(content).hexdigest()


class Lease:
    """One's own claim. As a context manager it is renewed inside and released at the end.

    :param store: where the claim is; ``None`` for a lease that stands for no claim, where a store knows none.
    :param written: whether the store has it; if not, because it did not answer, a renewal writes it.
    :param taken_from: the owner of the stale claim that it has taken the place of; empty: there was none.
    :param recorded: what stood recorded when it was claimed, by :func:`recorded_in`; ``None``: that is not known.
    """

    def __init__(
        self,
        store: RecordStore | None,
        claim: Claim,
        *,
        written: bool = True,
        taken_from: str = "",
        recorded: str | None = None,
    ) -> None:
        self.taken_from = taken_from
        self.recorded = recorded
        self._store = store
        self._claim = claim
        self._lost = False
        self._failing = not written
        self._on_lost: Callable[[], None] | None = None
        self._taken_by = ""
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Lease:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def claim(self) -> Claim:
        """The claim as it was last written."""
        return self._claim

    @property
    def is_kept(self) -> bool:
        """Whether it stands for a claim that somebody can see."""
        return self._store is not None

    @property
    def lost(self) -> bool:
        """Whether somebody took the claim over."""
        return self._lost

    @property
    def taken_over(self) -> bool:
        """The same, by another step run: the next try of one's own goes on with what this one has begun."""
        return self._lost and self._taken_by != self._claim.owner

    def start(self, on_lost: Callable[[], None] | None = None) -> None:
        """Renew the claim from now on, four times in each lease, in a thread that does not keep the process alive.

        :param on_lost: called in that thread when the claim has been :attr:`taken_over`.
        """
        if self._store is None or self._thread is not None:
            return
        self._on_lost = on_lost
        self._stop.clear()
        self._thread = threading.Thread(target=self._renew, name=f"lease-{self._claim.key[:12]}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Renew no more; the claim stays until it is stale."""
        thread, self._thread = self._thread, None
        self._stop.set()
        self._changed.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def release(self) -> None:
        """Give the claim back, if it is still one's own. A store that fails makes it end by itself later."""
        self.stop()
        with self._lock:
            if self._store is None or self._lost:
                return
            try:
                gone = self._store.swap(claim_name(self._claim.key), self._claim.content, None, durable=False)
                if not gone and (there := self._there()) is not None and there.token == self._claim.token:
                    # Written by a renewal whose answer was lost.
                    self._store.swap(claim_name(self._claim.key), there.content, None, durable=False)
            except OSError as error:
                _log.warning(
                    "the claim on %s could not be released; others wait %g s longer: %s",
                    self._claim.key,
                    self._claim.lease_seconds,
                    error,
                )

    def update(self, *, heartbeat: str | None = None, lease_seconds: float | None = None) -> None:
        """Change what the claim says; what is not given stays."""
        with self._lock:
            claim = self._claim
            if heartbeat is not None:
                claim = replace(claim, heartbeat=heartbeat)
            if lease_seconds is not None:
                claim = replace(claim, lease_seconds=lease_seconds)
            self.renew(claim)
        self._changed.set()

    def renew(self, claim: Claim | None = None) -> None:
        """Write the claim with its next beat. A store that fails is warned of once, and tried again later."""
        with self._lock:
            if self._store is None or self._lost:
                return
            old = self._claim
            new = replace(claim or old, beat=old.beat + 1).sealed()
            try:
                self._lost = not self._write(old, new)
            except OSError as error:
                # What was to be said is said by the next renewal; the bytes are those that the store has.
                self._claim = replace(claim or old, content=old.content)
                if not self._failing:
                    _log.warning("the claim on %s could not be renewed and is tried again: %s", old.key, error)
                self._failing = True
                return
            if self._failing:
                self._failing = False
                _log.info("the claim on %s is renewed again.", old.key)
            if self._lost:
                _log.warning("the claim of %s on %s was taken over by another step run.", old.owner, old.key)
            else:
                self._claim = new

    # --- inside ---------------------------------------------------------------------------------------------

    def _write(self, old: Claim, new: Claim) -> bool:
        assert self._store is not None
        name, content = claim_name(old.key), old.content
        for _ in range(_ATTEMPTS):
            if self._store.swap(name, content, new.content, durable=False):
                return True
            there = self._there()
            if there is None:
                if self.recorded is not None and recorded_in(self._store, old.key) != self.recorded:
                    # Whoever took it over has been quicker, and has given it back.
                    self._taken_by = ""
                    return False
                # Removed by hand: it is still this step that computes.
                if self._store.create(name, new.content, durable=False):
                    return True
                continue
            if there.token != old.token and not there.damaged:
                self._taken_by = there.owner
                return False
            content = there.content
        raise FileExistsError(f"{name} in {self._store} is something that is no file; remove it.")

    def _there(self) -> Claim | None:
        assert self._store is not None
        content = self._store.read(claim_name(self._claim.key))
        return None if content is None else Claim.from_bytes(self._claim.key, content)

    def _renew(self) -> None:
        while not self._stop.is_set() and not self._lost:
            beats = _BEATS_AFTER_FAILURE if self._failing else BEATS
            if self._changed.wait(self._claim.lease_seconds / beats):
                self._changed.clear()
                continue
            if not self._stop.is_set():
                self.renew()
                if self.taken_over and self._on_lost is not None:
                    self._on_lost()
