"""A step as a Kubernetes pod that outlives its worker."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodNotFoundException
from airflow.sdk.exceptions import AirflowException
from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError
from yaml import YAMLError

from aml_provider.operators.base import StepTask
from aml_provider.operators.claiming import TakenOverError
from aml_provider.operators.kubernetes_carried import CarriedPod
from aml_provider.operators.kubernetes_problems import (
    api_message,
    connection_problem,
    first_line,
    pod_reason,
    start_problem,
)
from aml_provider.operators.kubernetes_staging import last_word
from aml_provider.operators.labels import ATTEMPT_LABEL, labels_of, labels_of_step_run
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.runs.errors import StepError, StepInterruptedError, StepOutOfSightError
from aml_provider.spec.models import Step

if TYPE_CHECKING:
    from airflow.sdk import Context

    from aml_provider.execution.data import Mount
    from aml_provider.execution.prepare import PreparedAttempt
    from aml_provider.runs.layout import AttemptFolder

# A pod that nobody follows any more ends by itself, at the latest after a week.
LONGEST_SECONDS = 7 * 24 * 3600
# Time for the image and for collecting, beyond the command's own limit.
DEADLINE_MARGIN_SECONDS = 900
# The same where the step's data is brought and collected by the pod.
STAGED_MARGIN_SECONDS = 12 * 3600
# A node has lost a pod that takes longer to end.
REMOVAL_SECONDS = 90.0
ATTEMPT_KEY = "aml_attempt"


class KubernetesStepOperator(StepTask, CarriedPod, KubernetesPodOperator):
    """Runs a step in a pod, and finds it again when the worker was lost.

    No XCom sidecar is used: results come back through the run's folder, or, where the pod does not see that, through
    an object store.

    :param step: the step.
    :param binding: its pipeline on this machine.
    """

    template_fields = ()

    _last_seen: k8s.V1Pod | None = None
    _how_it_ended: str = "its pod ended while no worker followed it"

    def __init__(self, *, step: Step, binding: PipelineBinding, **kwargs: Any) -> None:
        super().__init__(
            do_xcom_push=False,
            on_finish_action="delete_pod",
            random_name_suffix=False,
            log_events_on_failure=True,
            log_pod_spec_on_failure=False,
            automount_service_account_token=False,
            termination_grace_period=10,
            **kwargs,
        )
        self.step = step
        self.binding = binding

    def execute(self, context: Context) -> None:
        """Run the step, or follow the pod that an earlier try of this task started."""
        with self.running(context) as run, self._cluster_errors(run):
            attempt = self._ended_unwatched(run, context)
            if attempt is None:
                attempt = self._follow_living(run) or self._prepare(run, context)
                context["task_state_store"].set(ATTEMPT_KEY, attempt.number)
                with self.kept_fresh(run, attempt):
                    self._until_end(lambda: KubernetesPodOperator.execute(self, context))
            self._conclude(run, attempt, context)

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> None:
        """Come back from the triggerer: the pod ended, or is to be followed further."""
        run = self.step_run(context)
        with self.translated_errors(run, context):
            attempt = run.folder.attempt(int(str(context["task_state_store"].get(ATTEMPT_KEY))))
            self._label(run, attempt.number)
            self.followed = (run, attempt)
            with self.holding_again(run, attempt), self._cluster_errors(run):
                self._until_end(lambda: self._come_back(context, event))
                self._conclude(run, attempt, context)

    def _come_back(self, context: Context, event: dict[str, Any]) -> None:
        from aml_provider.triggers.step_pod import RENEW, TAKEN_OVER

        if self.claimed_by_another and event["status"] != "success":
            self.let_go()
            return
        if event["status"] not in (RENEW, TAKEN_OVER):
            KubernetesPodOperator.trigger_reentry(self, context, event)
            return
        if self.carried is not None:
            self.renew_if_possible()
        self.pod = self.hook.get_pod(event["name"], event["namespace"])
        self.invoke_defer_method(context=context)

    # --- which attempt ------------------------------------------------------------------------------------------

    def _ended_unwatched(self, run: StepRun, context: Context) -> AttemptFolder | None:
        """The attempt of a lost worker that has ended since, with a report that nobody has read."""
        number = context["task_state_store"].get(ATTEMPT_KEY)
        if not isinstance(number, int):
            return None
        attempt = run.folder.attempt(number)
        if run.is_carried and attempt.path.is_dir():
            self.receive(run, attempt)
        if attempt.finished_report() is None:
            return None
        self.log.info("Attempt %s ended while no worker followed it", number)
        return attempt

    def _follow_living(self, run: StepRun) -> AttemptFolder | None:
        """Take over the pod that an earlier try started, if it is still there and not over."""
        for pod in self._pods(labels_of_step_run(run)):
            if pod.status.phase in ("Pending", "Running") and pod.metadata.deletion_timestamp is None:
                number = int(pod.metadata.labels[ATTEMPT_LABEL])
                self.lives_in(run, number)
                self.log.info("Following pod %s of attempt %s", pod.metadata.name, number)
                self._label(run, number)
                self.pod_request_obj = self.pod = pod
                return run.folder.attempt(number)
        return None

    def _pods(self, labels: dict[str, str]) -> list[k8s.V1Pod]:
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        pods = self.client.list_namespaced_pod(self.namespace, label_selector=selector).items
        return sorted(pods, key=lambda p: p.metadata.creation_timestamp, reverse=True)

    def _prepare(self, run: StepRun, context: Context) -> AttemptFolder:
        self._remove_pods(labels_of_step_run(run))
        self._remove_lost(run)
        carried = run.is_carried
        if carried:
            # The store may be of no use for this, which is known before anything is laid out.
            self.clear_carried(run)
        prepared = self.prepared_for_container(run, context, fetches=carried)
        self.image = self.image_to_start
        self._configure(run, prepared)
        if carried:
            self.send(run, prepared)
        return prepared.folder

    def abandon_earlier(self, run: StepRun) -> None:
        """Remove pods of earlier attempts."""
        with self._cluster_errors(run):
            self._remove_pods(labels_of_step_run(run))

    def _remove_pods(self, labels: dict[str, str]) -> None:
        for pod in self._pods(labels):
            if pod.metadata.deletion_timestamp is None:
                self.pod_manager.delete_pod(pod)

    def _remove_lost(self, run: StepRun) -> None:
        """Remove what is left of the step run whose place this one has taken."""
        lost = self.lost_run()
        if not lost:
            return
        theirs = labels_of_step_run(run, lost)
        self._remove_pods(theirs)
        if not self._are_gone(theirs):
            self.log.warning("A pod of step run %s, which is lost, still computes the same", lost)
        elif run.is_carried:
            from aml_provider.execution.carrying import Carrier

            Carrier(run).clear_lost(lost)

    def _are_gone(self, labels: dict[str, str]) -> bool:
        """Whether pods that were stopped are gone, after a while: they write until then."""
        deadline = time.monotonic() + REMOVAL_SECONDS
        while self._pods(labels):
            if time.monotonic() > deadline:
                return False
            time.sleep(self.base_container_status_polling_interval)
        return True

    # --- the pod ------------------------------------------------------------------------------------------------

    def invoke_defer_method(self, last_log_time: Any = None, context: Context | None = None) -> None:
        """Wait for the pod in the triggerer, if it has not been deleted because another run computes the same."""
        if self.taken_over:
            raise TakenOverError
        super().invoke_defer_method(last_log_time=last_log_time, context=context)

    def get_or_create_pod(self, pod_request_obj: k8s.V1Pod, context: Context) -> k8s.V1Pod:
        """Make the pod; it is deleted at once if another run has begun to compute the same meanwhile."""
        pod = super().get_or_create_pod(pod_request_obj, context)
        if self.taken_over:
            self.stop_computing()
        return pod

    def _label(self, run: StepRun, number: int) -> None:
        every = labels_of(run, number)
        self.labels = {**labels_of_step_run(run), ATTEMPT_LABEL: every[ATTEMPT_LABEL]}
        # Label values are short; who is meant exactly is in the annotations.
        self.annotations = every

    def _configure(self, run: StepRun, prepared: PreparedAttempt) -> None:
        from aml_provider.execution.prepare import timeout_seconds

        compute = run.compute
        self._label(run, prepared.folder.number)
        self.name = f"{run.step_run_id}-{prepared.folder.number}"
        self.cmds = list(prepared.command)
        self.env_vars = [k8s.V1EnvVar(name=n, value=v) for n, v in {**prepared.environment, "HOME": "/tmp"}.items()]
        limits: dict[str, str] = {}
        if compute.cpus:
            limits["cpu"] = str(compute.cpus)
        if compute.memory:
            limits["memory"] = str(compute.memory)
        if compute.gpus:
            limits[compute.gpu_resource] = str(compute.gpus)
        self.container_resources = k8s.V1ResourceRequirements(limits=limits, requests=dict(limits)) if limits else None
        self.security_context = k8s.V1PodSecurityContext(run_as_user=os.getuid(), run_as_group=os.getgid())
        if compute.settings.network == "host":
            self.hostnetwork, self.dnspolicy = True, "ClusterFirstWithHostNet"
        # Files that are carried are in a volume of the pod's own.
        mounts = () if run.is_carried else prepared.mounts
        names = sorted({m.datastore for m in mounts})
        self.volumes = [self._volume(run, datastore, f"datastore-{n}") for n, datastore in enumerate(names)]
        self.volume_mounts = [self._volume_mount(run, m, f"datastore-{names.index(m.datastore)}") for m in mounts]
        if self.step.environment is not None and self.step.environment.shm_size:
            memory = k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit=_quantity(self.step.environment.shm_size))
            self.volumes.append(k8s.V1Volume(name="shm", empty_dir=memory))
            self.volume_mounts.append(k8s.V1VolumeMount(name="shm", mount_path="/dev/shm"))
        limit = timeout_seconds(run)
        margin = STAGED_MARGIN_SECONDS if run.is_carried else DEADLINE_MARGIN_SECONDS
        self.active_deadline_seconds = min(limit + margin, LONGEST_SECONDS) if limit else LONGEST_SECONDS

    def _volume(self, run: StepRun, datastore: str, name: str) -> k8s.V1Volume:
        volume = run.compute.settings.volumes.get(datastore)
        if volume is not None and volume.claim:
            claim = k8s.V1PersistentVolumeClaimVolumeSource(claim_name=volume.claim)
            return k8s.V1Volume(name=name, persistent_volume_claim=claim)
        root = self.binding.workspace.folder_of(datastore)
        path = volume.host_path if volume is not None and volume.host_path else str(root)
        return k8s.V1Volume(name=name, host_path=k8s.V1HostPathVolumeSource(path=path, type="Directory"))

    def _volume_mount(self, run: StepRun, mount: Mount, name: str) -> k8s.V1VolumeMount:
        volume = run.compute.settings.volumes.get(mount.datastore)
        prefix = volume.sub_path if volume is not None else None
        sub_path = "/".join(p.strip("/") for p in (prefix, mount.relative) if p)
        return k8s.V1VolumeMount(
            name=name, mount_path=mount.target, sub_path=sub_path or None, read_only=mount.read_only
        )

    # --- its end ------------------------------------------------------------------------------------------------

    @property
    def _stopped(self) -> bool:
        """Whether its pod was deleted from here while it ran: what is left of it tells nothing."""
        return self.killed or self.taken_over

    def _until_end(self, follow: Any) -> None:
        self._how_it_ended = "its pod ended"
        try:
            follow()
        except TakenOverError:
            # Its pod has been deleted before anybody waited for it.
            return
        except PodNotFoundException as e:
            self._how_it_ended = f"its pod disappeared ({first_line(e)})"
        except (ApiException, HTTPError) as e:
            # Of a pod that is being removed, the cluster cannot tell this and that.
            if not self._stopped and not (isinstance(e, ApiException) and e.status in (400, 404) and self.pod):
                raise
            why = api_message(e) if isinstance(e, ApiException) else first_line(e)
            self._how_it_ended = f"its pod was removed while it was followed ({why})"
        except AirflowException as e:
            problem = start_problem(self._last_seen)
            if problem is not None and not self._stopped:
                raise StepError(f"step {self.step.name!r}: its pod did not start: {problem}") from None
            # A failed pod: the report tells more than the pod's status, when there is one.
            self._how_it_ended = f"its pod ended badly ({pod_reason(self._last_seen) or first_line(e)})"

    def cleanup(self, pod: k8s.V1Pod, remote_pod: k8s.V1Pod, *args: Any, **kwargs: Any) -> None:
        """Look at the pod once more before it is deleted: its status says why it did not start or how it ended."""
        if remote_pod and remote_pod.status and remote_pod.status.phase != "Succeeded":
            self._last_seen = remote_pod
            try:
                self._last_seen = self.client.read_namespaced_pod(pod.metadata.name, pod.metadata.namespace)
            except ApiException as e:
                # Of a cluster that does not answer, nobody knows what has become of the pod.
                if e.status != 404:
                    raise
        super().cleanup(pod, remote_pod, *args, **kwargs)

    def _conclude(self, run: StepRun, attempt: AttemptFolder, context: Context) -> None:
        from aml_provider.execution.outcome import conclude

        if run.is_carried and not self._stopped:
            # Should this fail, the next try finds it where it is now.
            word = None if self.receive(run, attempt) else last_word(self._last_seen)
            if word:
                self._how_it_ended = f"its files could not be carried: {word.rstrip('.')}"
        try:
            if self.killed:
                raise self.stopped(run, attempt)
            if self.taken_over and not self._are_gone(labels_of_step_run(run)):
                # What comes next may have its name.
                raise StepInterruptedError(
                    f"step {self.step.name!r}: another run has begun to compute the same, and the Kubernetes cluster "
                    f"of compute target {run.compute.name!r} has not removed this run's pod in {REMOVAL_SECONDS:g} s."
                )
            self.check_still_ours(run, attempt)
            oom = (pod_reason(self._last_seen) or "").startswith("OOMKilled")
            outputs = conclude(run, attempt, self._how_it_ended, memory_ran_out=oom)
        finally:
            context["task_state_store"].delete(ATTEMPT_KEY)
            self._remove_pods(labels_of_step_run(run))
            if run.is_carried:
                self.clear_carried(run, attempt.number)
        self.push(context, run, outputs)

    def on_kill(self) -> None:
        """Delete the pod: the task was marked, cleared or cancelled."""
        self.killed = True
        super().on_kill()

    def stop_computing(self) -> None:
        """Delete the pod."""
        if self.followed is None:
            return
        try:
            self._remove_pods(labels_of_step_run(self.followed[0]))
        except (ApiException, HTTPError) as e:
            self.log.error("The pod could not be deleted: %s. `aml reap` removes it.", first_line(e))

    @contextmanager
    def _cluster_errors(self, run: StepRun) -> Iterator[None]:
        target = f"step {self.step.name!r}: the Kubernetes cluster of compute target {run.compute.name!r}"
        try:
            yield
        except ApiException as e:
            if e.status in (401, 403):
                raise StepError(
                    f"{target} does not allow this: {api_message(e)}. Airflow's account there needs to get, list, "
                    f"watch, create, patch and delete pods and get pods/log in namespace {self.namespace!r}."
                ) from None
            if e.status in (400, 404, 422):
                raise StepError(f"{target} refused the pod: {api_message(e)}") from None
            raise StepOutOfSightError(f"{target} answered {e.status}: {api_message(e)}") from None
        except (ConfigException, YAMLError) as e:
            raise StepError(
                f"{target} cannot be used with {self.config_file or 'the configuration that was found'}: "
                f"{first_line(e).rstrip('.')}. Set kubernetes: config_file or "
                "kubernetes_conn_id in the workspace file."
            ) from None
        except (HTTPError, ConnectionError) as e:
            raise StepOutOfSightError(
                f"{target} cannot be reached: {connection_problem(e)}. Is it up, and is its address right in "
                "config_file or in the Airflow connection?"
            ) from None


def _quantity(shm_size: str) -> str:
    """Docker's ``2g`` as Kubernetes writes it."""
    return f"{shm_size[:-1]}{shm_size[-1].upper()}i" if shm_size[-1:].lower() in "kmg" else shm_size
