"""Waiting for a pod that shares no volume with anybody: its start takes as long as its data, and it shows no life."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import ContainerState
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodLaunchTimeoutException

from aml_provider.storage.datastores import Store, store_for
from aml_provider.triggers.step_pod import StepPodTrigger
from aml_provider.workspace.model import DatastoreConfig

# As often as the pod puts there what is new.
REPORTED_SECONDS = 5.0
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


class StagedPodTrigger(StepPodTrigger):
    """Follows a pod of :mod:`aml_provider.operators.kubernetes_staging`.

    Besides what the others' does: it waits for the files to be brought, says for the step that it lives, brings what
    its script reports, and now and then has the task come back to tell the pod new addresses.

    :param heartbeat: the file that changes while the step runs.
    :param renew_seconds: how often.
    :param reported: where the pod puts what its script reports: ``name``, ``url`` and ``conn_id`` of the datastore, the
        ``connections_file`` with its connection, if that is not Airflow's, and the ``path``.
    """

    interval_seconds = REPORTED_SECONDS

    def __init__(self, *, heartbeat: str, renew_seconds: float, reported: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heartbeat = heartbeat
        self.renew_seconds = renew_seconds
        self.reported = reported

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How another process makes the same trigger."""
        path, arguments = super().serialize()
        own = {"heartbeat": self.heartbeat, "renew_seconds": self.renew_seconds, "reported": self.reported}
        return path, {**arguments, **own}

    @cached_property
    def _store(self) -> Store:
        return store_for(DatastoreConfig.from_told(self.reported), self.reported["name"])

    def _reported(self) -> int:
        journal = Path(self.journal)
        # A triggerer that does not see the run's folder leaves it to the worker.
        if journal.parent.is_dir():
            with contextlib.suppress(FileNotFoundError):
                content = self._store.read(self.reported["path"])
                # It only grows. The worker that comes back may be bringing all of it right now.
                if len(content) > super()._reported():
                    part = journal.with_name(f".{journal.name}.seen")
                    part.write_bytes(content)
                    part.replace(journal)
        return super()._reported()

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
