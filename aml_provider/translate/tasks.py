"""One step as one Airflow task of the kind its compute target has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator

from aml_provider.runs.binding import PipelineBinding
from aml_provider.spec.models import Command, DatastoreSource, Step, StepInput, StepOutputSource, Transfer
from aml_provider.translate.assets import inlets_of, outlets_of
from aml_provider.workspace.model import ComputeKind
from aml_provider.workspace.resolved import ResolvedCompute

# Beyond the command's own limit, which its runtime enforces: time for the image, the inputs and the commit.
TIMEOUT_MARGIN = timedelta(minutes=30)


def step_task(step: Step, binding: PipelineBinding) -> BaseOperator:
    """The task of ``step``, inside the DAG that is being built."""
    compute = binding.compute_of(step)
    timeout = step.timeout_seconds or compute.timeout_seconds
    common: dict[str, Any] = {
        "task_id": step.key,
        "step": step,
        "binding": binding,
        "pool": compute.pool,
        "pool_slots": compute.pool_slots,
        "retries": compute.retries,
        "retry_delay": timedelta(seconds=compute.retry_delay_seconds),
        "execution_timeout": timedelta(seconds=timeout) + TIMEOUT_MARGIN if timeout else None,
        # A step that reuse skips must not skip its consumers.
        "trigger_rule": "none_failed",
        "doc_md": _doc(step, compute),
    }
    workspace = binding.spec.workspace
    if inlets := inlets_of(step, workspace, binding.spec.parameters):
        common["inlets"] = inlets
    if outlets := outlets_of(step, workspace):
        common["outlets"] = outlets
    if step.name != step.key:
        common["task_display_name"] = step.name
    if isinstance(step.action, Transfer):
        return _transfer(common)
    return _KINDS[compute.kind](step, compute, common)


def _transfer(common: dict[str, Any]) -> BaseOperator:
    from aml_provider.operators.transfer_step import TransferStepOperator

    return TransferStepOperator(**common)


def _local(step: Step, compute: ResolvedCompute, common: dict[str, Any]) -> BaseOperator:
    from aml_provider.operators.local import LocalStepOperator

    return LocalStepOperator(**common)


def _docker(step: Step, compute: ResolvedCompute, common: dict[str, Any]) -> BaseOperator:
    from aml_provider.operators.docker import DockerStepOperator

    return DockerStepOperator(
        image=_image(step, compute),
        docker_url=compute.settings.docker_url,
        docker_conn_id=compute.settings.docker_conn_id,
        network_mode=compute.settings.network,
        **common,
    )


def _kubernetes(step: Step, compute: ResolvedCompute, common: dict[str, Any]) -> BaseOperator:
    from aml_provider.operators.kubernetes import KubernetesStepOperator

    settings = compute.settings
    optional: dict[str, Any] = {}
    if settings.config_file:
        optional["config_file"] = settings.config_file
    return KubernetesStepOperator(
        image=_image(step, compute),
        namespace=compute.namespace,
        kubernetes_conn_id=settings.kubernetes_conn_id,
        cluster_context=settings.context,
        image_pull_policy=settings.image_pull_policy,
        image_pull_secrets=[{"name": n} for n in settings.image_pull_secrets] or None,
        node_selector=dict(settings.node_selector),
        tolerations=[t.model_dump(exclude_none=True) for t in settings.tolerations] or None,
        service_account_name=settings.service_account,
        deferrable=compute.deferrable,
        startup_timeout_seconds=compute.startup_timeout_seconds,
        **optional,
        **common,
    )


_KINDS: dict[ComputeKind, Callable[[Step, ResolvedCompute, dict[str, Any]], BaseOperator]] = {
    ComputeKind.LOCAL: _local,
    ComputeKind.DOCKER: _docker,
    ComputeKind.KUBERNETES: _kubernetes,
}


def _image(step: Step, compute: ResolvedCompute) -> str | None:
    return step.environment.image if step.environment and step.environment.image else compute.image


def _doc(step: Step, compute: ResolvedCompute) -> str:
    """What the task shows in Airflow's UI.

    Being part of the serialized DAG, it also makes a changed step a new DAG version.
    """
    action = step.action
    if isinstance(action, Transfer):
        (source,), (target,) = step.inputs, step.outputs
        return "\n".join(
            [
                f"Moves data in the pool of **{compute.name}**, by the worker itself.",
                f"- from {_place(source)}",
                f"- to `{target.datastore}:{target.destination}`",
            ]
        )
    what = f"command ({len(action.words)} words)" if isinstance(action, Command) else f"`{action.script}`"
    rows = [f"Runs {what} on **{compute.name}** ({compute.kind.value})."]
    rows += [f"- input `{i.name}` ({i.mode.value})" for i in step.inputs]
    rows += [f"- output `{o.name}` in datastore `{o.datastore}`" for o in step.outputs]
    return "\n".join(rows)


def _place(source: StepInput) -> str:
    """Where data comes from, as far as the file says it."""
    origin = source.source
    if isinstance(origin, DatastoreSource):
        return f"`{origin.location.datastore}:{origin.location.path}`"
    if isinstance(origin, StepOutputSource):
        return f"output `{origin.output}` of step `{origin.step}`"
    return f"input `{source.name}`"
