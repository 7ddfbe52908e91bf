"""Waiting for a pod that shares no volume with anybody: its start takes as long as its data, and it shows no life."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import ContainerState, KubernetesPodTrigger
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodLaunchTimeoutException
from airflow.triggers.base import TriggerEvent

RENEW = "renew"
# Why a container that waits will not run.
_WRONG_IMAGE = ("InvalidImageName", "ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff")


class BringWatch:
    """Looks at the pod while its files are brought: that takes as long as it takes, everything before must not.

    :param schedule_timeout: seconds until it must have a node; ``startup_timeout``: from then until it begins.
    """

    def __init__(self, schedule_timeout: float, startup_timeout: float) -> None:
        self._schedule_timeout = schedule_timeout
        self._startup_timeout = startup_timeout
        self._since = time.monotonic()
        self._scheduled = False

    def done(self, pod: Any) -> bool:
        """Whether the files are there, or will not come.

        :raises PodLaunchTimeoutException: nobody has begun to bring them, and nobody will.
        """
        if pod.status.phase not in ("Pending", "Unknown"):
            return True
        statuses = pod.status.init_container_statuses or []
        states = [status.state for status in statuses if status.state]
        if statuses and all(state.terminated for state in states) and len(states) == len(statuses):
            return True
        for state in states:
            if state.waiting and state.waiting.reason in _WRONG_IMAGE:
                raise PodLaunchTimeoutException(f"{state.waiting.reason}: {state.waiting.message}")
        if any(state.running for state in states):
            return False
        if not self._scheduled and statuses:
            self._scheduled, self._since = True, time.monotonic()
        limit = self._startup_timeout if self._scheduled else self._schedule_timeout
        if time.monotonic() - self._since > limit:
            raise PodLaunchTimeoutException(f"the pod has not begun to bring its files within {limit:g} s")
        return False


class StagedPodTrigger(KubernetesPodTrigger):
    """Follows a pod of :mod:`aml_provider.operators.kubernetes_staging`.

    Besides what Airflow's does: it waits for the files to be brought, says for the step that it lives, and now and then
    has the task come back to tell the pod new addresses (an event with ``status`` ``renew``).

    :param heartbeat: the file that changes while the step runs.
    :param renew_seconds: how often.
    """

    def __init__(self, *, heartbeat: str, renew_seconds: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heartbeat = heartbeat
        self.renew_seconds = renew_seconds

    @classmethod
    def of(cls, trigger: KubernetesPodTrigger, heartbeat: str, renew_seconds: float) -> StagedPodTrigger:
        """One like Airflow's own."""
        _, arguments = trigger.serialize()
        return cls(heartbeat=heartbeat, renew_seconds=renew_seconds, **arguments)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How another process makes the same trigger."""
        _, arguments = super().serialize()
        own = {"heartbeat": self.heartbeat, "renew_seconds": self.renew_seconds}
        return f"{type(self).__module__}.{type(self).__qualname__}", {**arguments, **own}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        waited = asyncio.ensure_future(anext(super().run()))
        try:
            done, _ = await asyncio.wait({waited}, timeout=self.renew_seconds)
            if done:
                yield await waited
                return
        finally:
            waited.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await waited
        # The pod goes on.
        self._fired_event = True
        yield TriggerEvent(  # type: ignore[no-untyped-call]
            {"status": RENEW, "name": self.pod_name, "namespace": self.pod_namespace, **self.trigger_kwargs}
        )

    async def _wait_for_pod_start(self) -> ContainerState:
        watch = BringWatch(self.schedule_timeout, self.startup_timeout)
        while True:
            if watch.done(await self._get_pod()):
                return await super()._wait_for_pod_start()
            await asyncio.sleep(self.poll_interval)

    async def _get_pod(self) -> Any:  # type: ignore[override]  # Airflow's is wrapped in retries, and is used here
        pod = await super()._get_pod()
        if pod.status and pod.status.phase in ("Pending", "Running"):
            # A triggerer that does not see the folder can tell nobody.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(Path(self.heartbeat).write_text, str(time.time()))
        return pod
