"""Waiting for somebody else's computation without holding a worker slot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from aml_provider.reuse.claims import Claims, Observer
from aml_provider.reuse.records import ReuseIndex

_log = logging.getLogger(__name__)


class ClaimTrigger(BaseTrigger):
    """Fires once: when a fingerprint's record appears, or nobody computes it any more.

    The event is ``{"state", "key", "claim"}``. The state is ``recorded``, ``free`` (the owner gave up) or ``stale`` (the
    owner is dead); with ``stale``, ``claim`` is the text for :meth:`Claim.from_text`, so that the task takes over what
    was seen here and nothing newer. A triggerer that is started again begins to count anew.

    :param root: folder of the reuse index, in the run store.
    :param key: the fingerprint.
    :param poll_seconds: how often to look.
    """

    def __init__(self, root: str, key: str, poll_seconds: float = 5.0) -> None:
        super().__init__()
        self.root = root
        self.key = key
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How another process makes the same trigger."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {"root": self.root, "key": self.key, "poll_seconds": self.poll_seconds},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        index = ReuseIndex.of(Path(self.root))
        observer = Observer(Claims(index.store, Path(self.root).parent), self.key)
        while True:
            # The files are on a disk or a network share: in a thread, so that one slow share stops no other trigger.
            event = await asyncio.to_thread(self._look, index, observer)
            if event is not None:
                yield TriggerEvent(event)
                return
            await asyncio.sleep(self.poll_seconds)

    def _look(self, index: ReuseIndex, observer: Observer) -> dict[str, Any] | None:
        # The claim first: its owner writes the record before it gives the claim back.
        state: str = observer.look()
        if index.read(self.key) is not None:
            state = "recorded"
        if state == "held":
            return None
        claim = observer.claim.text if state == "stale" and observer.claim is not None else None
        return {"state": state, "key": self.key, "claim": claim}
