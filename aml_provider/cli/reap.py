"""``aml reap``: containers and pods whose task is over, removed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aml_provider.cli.local_airflow import local_task_state
from aml_provider.operators import labels
from aml_provider.operators.leftovers import client_of
from aml_provider.runs.embedded import EmbeddedFolder
from aml_provider.runs.layout import STORE_FOLDER
from aml_provider.spec.errors import AmlError
from aml_provider.storage.datastores import store_for
from aml_provider.submission.api import AirflowApi, NotFoundError
from aml_provider.workspace.discovery import load_workspace
from aml_provider.workspace.model import ComputeKind
from aml_provider.workspace.resolved import LoadedWorkspace, ResolvedCompute

# What kubelet puts on the containers that it starts on a Docker host.
POD_LABEL = "io.kubernetes.pod.name"
LIVE = {"scheduled", "queued", "running", "restarting", "deferred", "up_for_retry", "up_for_reschedule"}


@dataclass(frozen=True)
class Leftover:
    """A container or pod of ours: what it is called, whose it is, and how to remove it."""

    name: str
    where: str
    labels: Mapping[str, str]
    remove: Any


def reap_everywhere(*, dry_run: bool) -> int:
    """Look on the Docker hosts and clusters of the workspace's compute targets.

    :return: exit code; 1 if some place could not be looked at.
    """
    workspace = load_workspace()
    targets = [workspace.compute(name) for name in workspace.file.compute] or [workspace.compute(None)]
    # Several Airflows may share a Docker host or a cluster; each knows its own tasks only.
    stores = _stores(workspace)
    trouble = found = False
    seen: set[str] = set()
    for target in targets:
        try:
            for leftover in _leftovers(workspace, target, seen):
                found = True
                if leftover.labels.get(labels.STORE_LABEL) not in stores:
                    print(f"{leftover.where} {leftover.name}: belongs to another workspace, kept")
                    continue
                why = _why_over(workspace, leftover.labels)
                if why is None:
                    print(f"{leftover.where} {leftover.name}: its task is still live, kept")
                elif dry_run:
                    print(f"{leftover.where} {leftover.name}: would be removed ({why})")
                else:
                    leftover.remove()
                    print(f"{leftover.where} {leftover.name}: removed ({why})")
        except AmlError as e:
            print(f"aml: {e}", file=sys.stderr)
            trouble = True
    if not (found or trouble):
        print("there are no containers and pods of steps")
    return 1 if trouble else 0


def _why_over(workspace: LoadedWorkspace, label: Mapping[str, str]) -> str | None:
    """Why a task is over, in words; ``None`` while it is live."""
    dag_id, run_id, task_id = (label.get(n, "") for n in (labels.DAG_LABEL, labels.RUN_LABEL, labels.TASK_LABEL))
    embedded = label.get(labels.EMBEDDED_LABEL)
    if embedded:
        return None if EmbeddedFolder(Path(embedded)).process else "the embedded run that started it has ended"
    if workspace.file.airflow is not None:
        path = f"dags/{quote(dag_id)}/dagRuns/{quote(run_id)}/taskInstances/{quote(task_id)}"
        try:
            state = AirflowApi(workspace.file.airflow).get(path)["state"]
        except NotFoundError:
            return "Airflow does not know its task any more"
    else:
        found, state = local_task_state(dag_id, run_id, task_id)
        if not found:
            return "the Airflow of this machine does not know its task any more"
    return None if state in LIVE else f"its task is {state or 'not running'}"


def _leftovers(workspace: LoadedWorkspace, target: ResolvedCompute, seen: set[str]) -> Iterator[Leftover]:
    if target.kind is ComputeKind.DOCKER:
        yield from _containers(target, seen)
    elif target.kind is ComputeKind.KUBERNETES:
        yield from _pods(workspace, target, seen)


def _containers(target: ResolvedCompute, seen: set[str]) -> Iterator[Leftover]:
    import docker
    from docker.errors import DockerException, NotFound

    def remove(container: Any) -> None:
        with suppress(NotFound):
            container.remove(force=True)

    url = target.settings.docker_url
    try:
        client = docker.DockerClient(base_url=url) if url else docker.from_env()
        ours: dict[str, str | list[str] | bool] = {"label": f"{labels.OWNER_LABEL}={labels.OWNER}"}
        found = client.containers.list(all=True, filters=ours, ignore_removed=True)
    except DockerException as e:
        raise AmlError(f"Docker of compute target {target.name!r} does not answer: {e}") from None
    for container in found:
        # A pod's containers carry its labels, and are Kubernetes' to remove.
        if str(container.id) not in seen and POD_LABEL not in container.labels:
            seen.add(str(container.id))
            yield Leftover(str(container.name), "container", container.labels, lambda c=container: remove(c))


def _pods(workspace: LoadedWorkspace, target: ResolvedCompute, seen: set[str]) -> Iterator[Leftover]:
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    def remove(name: str, namespace: str, label: Mapping[str, str]) -> None:
        try:
            client.delete_namespaced_pod(name, namespace)
        except ApiException as e:
            if e.status != 404:
                raise AmlError(f"pod {name} in namespace {namespace} cannot be removed: {e.reason}") from None
        if target.settings.shared_volume is False:
            _remove_carried(workspace, target, label)

    try:
        client = client_of(target)
        found = client.list_namespaced_pod(
            target.namespace, label_selector=f"{labels.OWNER_LABEL}={labels.OWNER}"
        ).items
    except (ApiException, ConfigException, HTTPError) as e:
        raise AmlError(f"the cluster of compute target {target.name!r} cannot be asked: {e}") from None
    for pod in found:
        if pod.metadata.uid not in seen:
            seen.add(pod.metadata.uid)
            name, namespace = pod.metadata.name, pod.metadata.namespace
            label = pod.metadata.annotations or {}
            yield Leftover(name, "pod", label, lambda n=name, s=namespace, of=label: remove(n, s, of))


def _stores(workspace: LoadedWorkspace) -> dict[str, str]:
    """The datastores, by the folders in which runs are kept for them."""
    return {str(workspace.folder_of(name) / STORE_FOLDER): name for name in workspace.datastores}


def _remove_carried(workspace: LoadedWorkspace, target: ResolvedCompute, label: Mapping[str, str]) -> None:
    """Remove what was on its way between this machine and a pod that is gone."""
    from aml_provider.execution.carrying import clear, on_the_way

    name = target.settings.staging_datastore or _stores(workspace)[label[labels.STORE_LABEL]]
    where = on_the_way(label.get(labels.PLACE_LABEL, ""), label[labels.STEP_LABEL])
    clear(store_for(workspace.datastore(name), name), where)
