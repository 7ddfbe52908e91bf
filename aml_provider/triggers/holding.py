"""The claim of a deferred step, which no worker renews: not all who wait for it see its heartbeat."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Any

from aml_provider.reuse.claims import Claim, Lease
from aml_provider.reuse.keeping import place_told, records_in
from aml_provider.reuse.leases import BEATS
from aml_provider.spec.errors import AmlError

_log = logging.getLogger(__name__)


async def hold(told: Mapping[str, Any]) -> None:
    """Renew a claim; return when another step run has taken it over.

    A store that cannot be opened is said once and tried again.

    :param told: what :func:`~aml_provider.reuse.keeping.index_told` says; ``key`` and ``text`` of the
        :class:`~aml_provider.reuse.claims.Claim`, and what its :class:`~aml_provider.reuse.claims.Lease` has
        ``recorded``.
    """
    if await _renewed(told):
        return
    # A triggerer that cannot tell, or the step's next try, which renews the claim itself.
    await asyncio.get_running_loop().create_future()


async def _renewed(told: Mapping[str, Any]) -> bool:
    """Whether another step run has taken the claim over; it is renewed until somebody has."""
    if told["bucket"] is None and not await asyncio.to_thread(os.path.isdir, told["index"]):
        return False
    claim = Claim.from_text(told["key"], told["text"])
    lease: Lease | None = None
    said = False
    while lease is None or not lease.lost:
        try:
            # In a thread, so that one slow store stops no other trigger.
            if lease is None:
                place = place_told(told["index"], told["run_store"], told["bucket"])
                lease = Lease(await asyncio.to_thread(records_in, place), claim, recorded=told["recorded"])
            await asyncio.to_thread(lease.renew)
        except (AmlError, OSError) as error:
            if not said:
                _log.warning("the claim of the deferred step %r cannot be renewed right now: %s", claim.step, error)
            said = True
        await asyncio.sleep(claim.lease_seconds / BEATS)
    return lease.taken_over
