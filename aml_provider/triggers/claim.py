"""Waiting for somebody else's computation without holding a worker slot."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from aml_provider.reuse.claims import Claims, Observer
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.keeping import index_told, place_told
from aml_provider.runs.layout import RunStore
from aml_provider.spec.errors import AmlError
from aml_provider.triggers.settling import Settling

_log = logging.getLogger(__name__)

# Starting a step to have it look costs far more than a look from here.
_POLLS_OF_A_STEP = 12


class ClaimTrigger(BaseTrigger):
    """Fires once: when a fingerprint's record appears, or nobody computes it any more.

    The event is ``{"state", "key", "claim"}``. The state is ``recorded``, ``free`` (the owner gave up) or ``stale``
    (the owner is dead); with ``stale``, ``claim`` is the text for :meth:`Claim.from_text`, so that the task takes over
    what was seen here and nothing newer. A triggerer that is started again begins to count anew.

    :param index: folder of the reuse index.
    :param run_store: the folder that heartbeats are relative to.
    :param key: the fingerprint.
    :param poll_seconds: how often to look.
    :param bucket: where the index is in a bucket, as :func:`~aml_provider.reuse.keeping.bucket_of` has it; ``index`` is
        then of no use.
    """

    def __init__(
        self, index: str, run_store: str, key: str, poll_seconds: float = 5.0, bucket: dict[str, Any] | None = None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bucket = bucket
        self.index = index
        self.run_store = run_store
        self.key = key
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How another process makes the same trigger."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "index": self.index,
                "run_store": self.run_store,
                "key": self.key,
                "poll_seconds": self.poll_seconds,
                "bucket": self.bucket,
            },
        )

    @classmethod
    def at(cls, store: RunStore, key: str, poll_seconds: float = 5.0) -> ClaimTrigger:
        """The trigger for a claim in the index of a run store."""
        return cls(**index_told(store), key=key, poll_seconds=poll_seconds)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        settling = Settling()
        # Everything that looks at files is in a thread, so that one slow network share stops no other trigger.
        if self.bucket is not None or await asyncio.to_thread(os.path.isdir, self.index):
            event = await self._watch()
        else:
            # The step has seen a claim there. If it were told at once that there is none, it would be back at once.
            seconds = _POLLS_OF_A_STEP * self.poll_seconds
            _log.warning(
                "the triggerer does not see the folder %s, so the step itself looks at the claim, every %g s; "
                "give the triggerer the same volume as the workers.",
                self.index,
                seconds,
            )
            await asyncio.sleep(seconds)
            event = self._event("free")
        await settling.wait()
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _watch(self) -> dict[str, Any]:
        observer: Observer | None = None
        while True:
            try:
                if observer is None:
                    # Not before: a bucket is opened with Airflow's connection, which takes a moment.
                    index, claims = await asyncio.to_thread(self._opened)
                    observer = Observer(claims, self.key)
                event = await asyncio.to_thread(self._look, index, observer)
            except AmlError as error:
                _log.warning("the claim on %s cannot be seen right now: %s", self.key, error)
                event, observer = None, None
            if event is not None:
                return event
            await asyncio.sleep(self.poll_seconds)

    def _opened(self) -> tuple[ReuseIndex, Claims]:
        place = place_told(self.index, self.run_store, self.bucket)
        return ReuseIndex.of(place), Claims.of(place, Path(self.run_store))

    def _look(self, index: ReuseIndex, observer: Observer) -> dict[str, Any] | None:
        # The claim first: its owner writes the record before it gives the claim back.
        state = observer.look()
        if index.read(self.key) is not None:
            return self._event("recorded")
        if state == "held":
            return None
        stale = observer.claim if state == "stale" else None
        return self._event(state, None if stale is None else stale.text)

    def _event(self, state: str, claim: str | None = None) -> dict[str, Any]:
        return {"state": state, "key": self.key, "claim": claim}
