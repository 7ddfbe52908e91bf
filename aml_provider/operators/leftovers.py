"""Pods that nobody follows any more when their run ends.

A deferred step that a person marks, or a run that is cancelled, in the moment between its worker and the triggerer has
neither to end its pod.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Any

from aml_provider.operators.labels import OWNER, OWNER_LABEL, PLACE_LABEL, STEP_LABEL
from aml_provider.reuse.keeping import own_name
from aml_provider.runs.binding import PipelineBinding, step_run_id
from aml_provider.workspace.model import ComputeKind
from aml_provider.workspace.resolved import ResolvedCompute

_log = logging.getLogger(__name__)

# As many names as fit into the URL of one question.
_AT_ONCE = 50


def remove_pods_left(binding: PipelineBinding, dag_id: str, run_id: str, ended: Collection[str]) -> set[str]:
    """Remove the pods that still run for steps that have ended.

    A cluster that does not answer is said, and fails nothing: ``aml reap`` removes what is left.

    :param ended: the keys of those steps.
    :return: the step runs whose pods may go on, because their cluster does not answer.
    """
    out_of_sight: set[str] = set()
    for compute, names in _in_doubt(binding, dag_id, run_id, ended):
        if not _remove(compute, own_name(binding.store), names):
            out_of_sight.update(names)
    return out_of_sight


def client_of(compute: ResolvedCompute) -> Any:
    """Kubernetes' own client for the cluster of a compute target."""
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

    settings = compute.settings
    return KubernetesHook(
        conn_id=settings.kubernetes_conn_id, config_file=settings.config_file, cluster_context=settings.context
    ).core_v1_client


def _in_doubt(
    binding: PipelineBinding, dag_id: str, run_id: str, ended: Collection[str]
) -> Iterable[tuple[ResolvedCompute, list[str]]]:
    """The compute targets that are clusters, each with the step runs that were started on it and did not finish."""
    folder = binding.store.run(dag_id, run_id)
    attempted = folder.latest_attempts()
    found: dict[str, tuple[ResolvedCompute, list[str]]] = {}
    for step in binding.spec.steps:
        if step.key not in ended or not attempted.get(step.key):
            continue
        compute = binding.compute_of(step)
        state = (folder.step(step.key).result() or {}).get("state")
        if compute.kind is ComputeKind.KUBERNETES and state != "Finished":
            _, names = found.setdefault(compute.name, (compute, []))
            names.append(step_run_id(dag_id, run_id, step.key))
    return found.values()


def _remove(compute: ResolvedCompute, place: str, names: list[str]) -> bool:
    """Whether the cluster has answered."""
    from airflow.sdk.exceptions import AirflowException
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    namespace = compute.namespace
    try:
        client = client_of(compute)
        for start in range(0, len(names), _AT_ONCE):
            some = ",".join(names[start : start + _AT_ONCE])
            selector = f"{OWNER_LABEL}={OWNER},{PLACE_LABEL}={place},{STEP_LABEL} in ({some})"
            for pod in client.list_namespaced_pod(namespace, label_selector=selector).items:
                if pod.status.phase in ("Pending", "Running") and pod.metadata.deletion_timestamp is None:
                    _log.info("Removing pod %s, which nobody follows any more", pod.metadata.name)
                    client.delete_namespaced_pod(pod.metadata.name, namespace)
    except (ApiException, ConfigException, HTTPError, AirflowException) as error:
        _log.warning(
            "pods of compute target %r that nobody follows could not be looked for, `aml reap` does it later: %s",
            compute.name,
            error,
        )
        return False
    return True
