"""A Kubernetes step whose files travel through an object store: what its operator does besides."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import PodLaunchFailedException
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from aml_provider.operators.kubernetes_staging import DEFAULT_IMAGE, OrderSecret, SecretRefusedError, with_staging
from aml_provider.runs.binding import StepRun
from aml_provider.runs.errors import StepError
from aml_provider.spec.errors import AmlError

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from aml_provider.execution.carrying import Sent
    from aml_provider.execution.prepare import PreparedAttempt
    from aml_provider.reuse.claims import Lease
    from aml_provider.runs.layout import AttemptFolder

# Identities of workers often sign for an hour only, and for less when they are about to be renewed themselves.
RENEW_SECONDS = 1200.0
JOURNAL_SECONDS = 5.0
_log = logging.getLogger(__name__)


class CarriedPod(KubernetesPodOperator):
    """Mixed into the operator of steps; does nothing for those whose pods see the run's folder."""

    #: What is followed.
    followed: tuple[StepRun, AttemptFolder] | None = None
    _sent: Sent | None = None
    lease: Lease | None

    @property
    def carried(self) -> tuple[StepRun, AttemptFolder] | None:
        """What is followed, if its files are carried."""
        return self.followed if self.followed is not None and self.followed[0].is_carried else None

    def send(self, run: StepRun, prepared: PreparedAttempt) -> None:
        """Put a prepared attempt where its pod finds it.

        :raises StepError: there is no object store for that, or Airflow may not tell the pod where.
        """
        from aml_provider.execution.carrying import Carrier

        assert self.name is not None
        assert self.active_deadline_seconds is not None
        start, deadline = run.compute.startup_timeout_seconds, self.active_deadline_seconds
        self._sent = Carrier(run).send(prepared.folder, prepared.mounts, prepared.fetched, start, deadline)
        try:
            self.order_secret(self.name).create(self._sent, self.labels, self.annotations)
        except SecretRefusedError as e:
            raise StepError(
                f"step {run.step.name!r}: the Kubernetes cluster of compute target {run.compute.name!r} {e}."
            ) from None

    def receive(self, run: StepRun, attempt: AttemptFolder) -> bool:
        """Bring what an ended attempt has left to the run's folder; whether it has ended."""
        from aml_provider.execution.carrying import Carrier

        return Carrier(run).receive(attempt)

    def clear_carried(self, run: StepRun, number: int | None = None) -> None:
        """Remove what is on the way of one attempt, or of all of them, and what told their pods of it."""
        from aml_provider.execution.carrying import Carrier

        Carrier(run).clear(number)
        for known in [a.number for a in run.folder.attempts()] if number is None else [number]:
            self.order_secret(f"{run.step_run_id}-{known}").delete()

    def order_secret(self, name: str) -> OrderSecret:
        """The secret of the pod of this name."""
        return OrderSecret(self.client, str(self.namespace), name)

    def renew(self) -> None:
        """Tell the pod new addresses: its own may be good for less time than its step takes."""
        from aml_provider.execution.carrying import Carrier

        assert self.carried is not None
        run, attempt = self.carried
        address = Carrier(run).renew(attempt)
        self.order_secret(f"{run.step_run_id}-{attempt.number}").renew(address)

    def renew_if_possible(self) -> None:
        """:meth:`renew`; what cannot be done now may be done the next time."""
        try:
            self.renew()
        except (AmlError, ApiException, HTTPError) as error:
            _log.warning("the pod was not told new addresses: %s", error)

    @contextmanager
    def kept_fresh(self, run: StepRun, attempt: AttemptFolder) -> Iterator[None]:
        """While a pod is followed: see what its script reports, and renew its addresses."""
        self.followed = (run, attempt)
        if self.carried is None or self.deferrable:
            yield
            return
        from aml_provider.execution.carrying import Carrier

        carrier = Carrier(run)

        def look() -> None:
            carrier.journal(attempt)
            # What the step itself would do where it sees the file.
            attempt.heartbeat.write_text(str(time.time()))

        with _Regularly([(JOURNAL_SECONDS, look), (RENEW_SECONDS, self.renew_if_possible)]):
            yield

    # --- Airflow's operator ---------------------------------------------------------------------------------------

    def build_pod_request_obj(self, context: Context | None = None, *, dry_run: bool = False) -> k8s.V1Pod:
        """The pod, with what brings and collects its files."""
        pod = super().build_pod_request_obj(context, dry_run=dry_run)
        if self._sent is None or self.carried is None:
            return pod
        image = self.carried[0].compute.settings.staging_image or DEFAULT_IMAGE
        return with_staging(pod, image, pod.metadata.name, self._sent.outside)

    def get_or_create_pod(self, pod_request_obj: k8s.V1Pod, context: Context) -> k8s.V1Pod:
        """Make the pod, and have its secret go with it."""
        pod = super().get_or_create_pod(pod_request_obj, context)
        if self._sent is not None:
            made = self.client.read_namespaced_pod(pod.metadata.name, pod.metadata.namespace)
            self.order_secret(made.metadata.name).belongs_to(made)
        return pod

    def await_pod_start(self, pod: k8s.V1Pod) -> None:
        """Wait until the step starts. That its data comes first may take long, and is no reason to give up."""
        if self.carried is not None:
            from aml_provider.triggers.staged_pod import BringWatch

            watch = BringWatch(self.schedule_timeout_seconds, self.startup_timeout_seconds)
            while not watch.done(seen := self.pod_manager.read_pod(pod)):
                time.sleep(self.base_container_status_polling_interval)
            if seen.status.phase == "Failed" and not _has_run(seen, self.base_container_name):
                self.remote_pod = seen
                raise PodLaunchFailedException("the step's files could not be brought")
        super().await_pod_start(pod)

    def defer(self, *, trigger: BaseTrigger, **kwargs: Any) -> NoReturn:
        """Wait in the triggerer, which follows what the step reports, or says for a carried one that it lives."""
        if self.followed is not None and isinstance(trigger, KubernetesPodTrigger):
            from aml_provider.execution.reusing import claim_to_renew

            run, attempt = self.followed
            seen = (attempt.events, run.run_folder.path, run.binding.workspace.tracking_uri)
            claim = claim_to_renew(run, self.lease)
            if run.is_carried:
                from aml_provider.execution.carrying import Carrier
                from aml_provider.triggers.staged_pod import StagedPodTrigger

                trigger = StagedPodTrigger.of(
                    trigger,
                    *seen,
                    claim=claim,
                    heartbeat=str(attempt.heartbeat),
                    renew_seconds=RENEW_SECONDS,
                    reported=Carrier(run).reported(attempt.number),
                )
            else:
                from aml_provider.triggers.step_pod import StepPodTrigger

                trigger = StepPodTrigger.of(trigger, *seen, claim=claim)
        super().defer(trigger=trigger, **kwargs)


def _has_run(pod: k8s.V1Pod, container: str) -> bool:
    found = [s for s in pod.status.container_statuses or [] if s.name == container]
    return any(s.state and s.state.terminated for s in found)


class _Regularly:
    """Does things now and then, in a thread; what goes wrong is said once, and tried again."""

    def __init__(self, work: list[tuple[float, Callable[[], object]]]) -> None:
        self._work = work
        self._stop = threading.Event()
        self._said: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="aml-carried-pod", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due = [time.monotonic() + seconds for seconds, _ in self._work]
        while not self._stop.wait(max(0.0, min(due) - time.monotonic())):
            for number, (seconds, do) in enumerate(self._work):
                if time.monotonic() >= due[number]:
                    due[number] = time.monotonic() + seconds
                    self._try(do)

    def _try(self, do: Callable[[], object]) -> None:
        try:
            do()
        except (AmlError, OSError) as error:
            if str(error) not in self._said:
                self._said.add(str(error))
                _log.warning("%s", error)
