"""The pod of a step whose files travel through an object store.

Beside the step's container it has an init container that brings the files into an emptyDir, and one that follows the
step's log and collects what it leaves. The latter is an ordinary container and not a native sidecar: it is what Airflow
follows, and it goes on after the step has ended, for as long as its uploads take; a native sidecar would be stopped
then. So one way does for every version of Kubernetes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubernetes.client import CoreV1Api
from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException

from aml_provider.spec.errors import AmlError

if TYPE_CHECKING:
    from aml_provider.execution.carrying import Sent

STEP_CONTAINER = "step"
BRING_CONTAINER = "bring"
DEFAULT_IMAGE = "python:3.11-slim"
_SECRET_FOLDER = "/run/aml"
_FILES = "aml"
_ORDER = "aml-order"
# The step waits at the first command for who collects, and is seen to live while the pipe is open.
_STEP = 'exec 9>{base}/{life} && : >{base}/{begun} && exec "$@"'

# What container engines say of a command that the image does not have.
_CANNOT_RUN = ("ContainerCannotRun", "StartError", "RunContainerError")


class SecretRefusedError(AmlError):
    """The cluster lets Airflow make no secrets."""


def with_staging(pod: k8s.V1Pod, image: str, order: str, outside: tuple[tuple[str, str], ...]) -> k8s.V1Pod:
    """Make the pod of a step one that brings and collects the step's files by itself.

    :param pod: with the step as its only container, which is named as Airflow wants the one it follows.
    :param image: of the containers that carry the files.
    :param order: the name of the secret.
    :param outside: places in the volume that the step sees elsewhere.
    """
    from aml_provider.execution.carrying import BEGUN, LIFE
    from aml_provider.execution.data import INSIDE

    (step,) = pod.spec.containers
    followed = step.name
    step.name = STEP_CONTAINER
    step.args = [*step.command, *(step.args or [])]
    step.command = ["/bin/sh", "-c", _STEP.format(base=INSIDE, life=LIFE, begun=BEGUN), "sh"]
    files = k8s.V1VolumeMount(name=_FILES, mount_path=str(INSIDE))
    mounts = [k8s.V1VolumeMount(name=_FILES, mount_path=target, sub_path=path) for path, target in outside]
    step.volume_mounts = [files, *mounts, *(step.volume_mounts or [])]

    def carrying(name: str, direction: str) -> k8s.V1Container:
        return k8s.V1Container(
            name=name,
            image=image,
            command=["python3", "-ES", f"{_SECRET_FOLDER}/carrier.py", direction],
            image_pull_policy=step.image_pull_policy,
            resources=k8s.V1ResourceRequirements(requests={"cpu": "50m", "memory": "64Mi"}),
            volume_mounts=[files, k8s.V1VolumeMount(name=_ORDER, mount_path=_SECRET_FOLDER, read_only=True)],
        )

    # The one that is waited for is started first.
    pod.spec.containers = [carrying(followed, "out"), step]
    pod.spec.init_containers = [*(pod.spec.init_containers or []), carrying(BRING_CONTAINER, "in")]
    pod.spec.volumes = [
        *(pod.spec.volumes or []),
        k8s.V1Volume(name=_FILES, empty_dir=k8s.V1EmptyDirVolumeSource()),
        k8s.V1Volume(name=_ORDER, secret=k8s.V1SecretVolumeSource(secret_name=order)),
    ]
    return pod


class OrderSecret:
    """The secret with the address of a pod's order; it is named as the pod, and goes with it."""

    def __init__(self, client: CoreV1Api, namespace: str, name: str) -> None:
        self._client, self._namespace, self.name = client, namespace, name

    def create(self, sent: Sent, labels: dict[str, str], annotations: dict[str, str]) -> None:
        """Make it, before there is a pod.

        :raises SecretRefusedError: Airflow's account may not.
        """
        from aml_provider.execution.carrying import PROGRAM

        secret = k8s.V1Secret(
            metadata=k8s.V1ObjectMeta(name=self.name, labels=labels, annotations=annotations),
            string_data={"order": sent.address, PROGRAM.name: PROGRAM.read_text(encoding="utf-8")},
        )
        try:
            try:
                self._client.create_namespaced_secret(self._namespace, secret)
            except ApiException as error:
                if error.status != 409:
                    raise
                # Of a worker that was lost before it had made the pod.
                self.delete()
                self._client.create_namespaced_secret(self._namespace, secret)
        except ApiException as error:
            if error.status not in (401, 403):
                raise
            raise SecretRefusedError(
                "does not let Airflow's account make a secret, in which the pod finds where its files are. It needs to "
                f"create, patch and delete secrets in namespace {self._namespace!r}"
            ) from None

    def belongs_to(self, pod: k8s.V1Pod) -> None:
        """Have Kubernetes remove it with the pod."""
        owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.metadata.name, "uid": pod.metadata.uid}
        self._patch({"metadata": {"ownerReferences": [owner]}})

    def renew(self, address: str) -> None:
        """Tell the pod a new address; it arrives within two minutes."""
        self._patch({"stringData": {"order": address}})

    def delete(self) -> None:
        """Remove it, if it is there."""
        try:
            self._client.delete_namespaced_secret(self.name, self._namespace)
        except ApiException as error:
            # Whoever may not remove it may not have made it.
            if error.status not in (403, 404):
                raise

    def _patch(self, change: dict[str, object]) -> None:
        try:
            self._client.patch_namespaced_secret(self.name, self._namespace, change)
        except ApiException as error:
            if error.status != 404:
                raise


def last_word(pod: k8s.V1Pod | None) -> str | None:
    """Why the pod's files could not be brought or collected, in the words of who carried them."""
    if pod is None or pod.status is None:
        return None
    for status in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
        ended = status.state.terminated if status.state else None
        if status.name == STEP_CONTAINER or not ended or not ended.exit_code:
            continue
        if ended.reason in _CANNOT_RUN:
            why = str(ended.message or ended.reason).strip().rstrip(".")
            return (
                f"image {status.image!r} is of no use for that ({why}); it needs Python 3.8 or newer as python3. "
                "Correct staging_image in the workspace file."
            )
        return str(ended.message or f"{ended.reason}, exit code {ended.exit_code}").strip()
    return None
