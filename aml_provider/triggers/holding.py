"""Renewing the claim of a deferred step: no worker does, and not all who wait for it see its heartbeat."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aml_provider.reuse.claims import Claim, Lease
from aml_provider.reuse.keeping import records_in, store_in
from aml_provider.reuse.leases import BEATS
from aml_provider.spec.errors import AmlError

_log = logging.getLogger(__name__)


async def hold(told: Mapping[str, Any]) -> None:
    """Renew a claim until this is cancelled, or somebody else has taken the claim over.

    A store that cannot be opened is said once and tried again.

    :param told: ``run_store``, its folder; ``bucket``, as :func:`~aml_provider.reuse.keeping.bucket_of` has it; ``key``
        and ``text`` of the :class:`~aml_provider.reuse.claims.Claim`.
    """
    claim = Claim.from_text(told["key"], told["text"])
    lease: Lease | None = None
    said = False
    while lease is None or not lease.lost:
        try:
            # In a thread, so that one slow store stops no other trigger.
            if lease is None:
                store = store_in(Path(told["run_store"]), told["bucket"])
                lease = Lease(await asyncio.to_thread(records_in, store), claim)
            await asyncio.to_thread(lease.renew)
        except AmlError as error:
            if not said:
                _log.warning("the claim of the deferred step %r cannot be renewed right now: %s", claim.step, error)
            said = True
        await asyncio.sleep(claim.lease_seconds / BEATS)
