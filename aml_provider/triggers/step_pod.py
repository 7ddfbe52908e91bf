"""Waiting for a step's pod; meanwhile MLflow is told what its script reports, and its claim is renewed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent

from aml_provider.runs.layout import AttemptFolder
from aml_provider.spec.errors import AmlError
from aml_provider.tracking.errors import TrackingBusyError
from aml_provider.tracking.recorder import project
from aml_provider.triggers.holding import hold
from aml_provider.triggers.settling import Settling

#: Of an event: the pod goes on, and is to be told new addresses.
RENEW = "renew"
#: Of an event: the pod goes on, and another run has begun to compute the same.
TAKEN_OVER = "taken over"
INTERVAL_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
# One for all pods of this triggerer: MLflow is told of one run at a time, and no wait for it fills other threads.
_sending = ThreadPoolExecutor(1, thread_name_prefix="aml-mlflow")
_log = logging.getLogger(__name__)


class StepPodTrigger(KubernetesPodTrigger):
    """Airflow's, which also sends to MLflow what the step reports, about once a second.

    A triggerer that does not see the run's folder sends nothing; the worker that comes back does.

    The task also comes back while its pod goes on, by an event whose ``status`` is :data:`RENEW` or :data:`TAKEN_OVER`.

    :param journal: the file to which the attempt's script reports.
    :param run_folder: the pipeline run's folder.
    :param claim: what :func:`~aml_provider.triggers.holding.hold` needs.
    """

    interval_seconds = INTERVAL_SECONDS
    #: How often the task comes back although nothing has happened.
    renew_seconds: float | None = None

    def __init__(
        self, *, journal: str, run_folder: str, tracking_uri: str, claim: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.claim = claim
        self.journal = journal
        self.run_folder = run_folder
        self.tracking_uri = tracking_uri

    @classmethod
    def of(
        cls, trigger: KubernetesPodTrigger, journal: Path, run_folder: Path, tracking_uri: str, **more: Any
    ) -> StepPodTrigger:
        """One like Airflow's own."""
        _, arguments = trigger.serialize()
        own: dict[str, Any] = {"journal": str(journal), "run_folder": str(run_folder), "tracking_uri": tracking_uri}
        return cls(**own, **more, **arguments)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How another process makes the same trigger."""
        _, arguments = super().serialize()
        own = {
            "journal": self.journal,
            "run_folder": self.run_folder,
            "tracking_uri": self.tracking_uri,
            "claim": self.claim,
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", {**arguments, **own}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        settling = Settling()
        pod = asyncio.ensure_future(anext(super().run()))
        claim = [asyncio.ensure_future(hold(self.claim))] if self.claim is not None else []
        telling = asyncio.ensure_future(self._tell())
        try:
            done, _ = await asyncio.wait([pod, *claim], timeout=self.renew_seconds, return_when=asyncio.FIRST_COMPLETED)
            if pod not in done:
                # Airflow's removes the pod of a trigger that ends without an event.
                self._fired_event = True
            event = pod.result() if pod in done else self._meanwhile(TAKEN_OVER if done else RENEW)
            await settling.wait()
            yield event
        finally:
            for task in (pod, *claim, telling):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                    await task

    def _meanwhile(self, status: str) -> TriggerEvent:
        seen = {"status": status, "name": self.pod_name, "namespace": self.pod_namespace, **self.trigger_kwargs}
        return TriggerEvent(seen)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """End the pod, because a person has marked, cleared or cancelled the task; the closing task is told that."""
        if not self._fired_event:
            # A triggerer that does not see the folder can tell nobody.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(AttemptFolder(Path(self.journal).parent, 0).stopped.touch)
        await super().on_kill()

    async def _tell(self) -> None:
        """Send the journal as it grows. What goes wrong is said once; what is missed, the worker sends at the end."""
        sent, pause, said = 0, self.interval_seconds, ""
        while True:
            await asyncio.sleep(pause)
            try:
                size = await asyncio.to_thread(self._reported)
                if size != sent:
                    await asyncio.get_running_loop().run_in_executor(_sending, self._send)
                sent, pause = size, self.interval_seconds
            except TrackingBusyError:
                continue
            except (AmlError, OSError) as error:
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                if str(error) != said:
                    _log.warning("%s", error)
                said = str(error)

    def _reported(self) -> int:
        """The size of what the step has reported so far, in bytes."""
        try:
            return Path(self.journal).stat().st_size
        except FileNotFoundError:
            return 0

    def _send(self) -> None:
        project(Path(self.run_folder), tracking_uri=self.tracking_uri)
