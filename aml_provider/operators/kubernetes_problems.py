"""What a cluster says of requests and pods, in words."""

from __future__ import annotations

import json

from kubernetes.client import models as k8s
from kubernetes.client.exceptions import ApiException


def api_message(error: ApiException) -> str:
    """What the API server says of a request that it has refused."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def connection_problem(error: BaseException) -> str:
    """Why a cluster cannot be reached: urllib3 wraps what happened in a sentence about its own pool."""
    reason = getattr(error, "reason", None) or error
    host = getattr(getattr(error, "pool", None), "host", None)
    return f"{host}: {str(reason).partition('): ')[2] or reason}" if host else first_line(error)


def first_line(error: BaseException) -> str:
    """What an error says, without the lines that repeat it in detail."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def start_problem(pod: k8s.V1Pod | None) -> str | None:
    """Why a pod that is not running will not run, and what to do; ``None`` for other pods."""
    if pod is None or pod.status is None:
        return None
    for status in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
        waiting = status.state.waiting if status.state else None
        if waiting and waiting.reason not in ("ContainerCreating", "PodInitializing"):
            why = ", ".join(part.rstrip(".") for part in (waiting.reason, waiting.message) if part)
            return f"{why}. Correct the image name (workspace file or Environment) or its image_pull_policy."
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False" and condition.message:
            why = condition.message.rstrip(".")
            return f"no node takes it ({why}). Let its compute target ask for less, or give the cluster what it asks."
    if pod.status.phase == "Pending":
        return "it stayed pending for too long. Raise startup_timeout_seconds of its compute target."
    return None


def pod_reason(pod: k8s.V1Pod | None) -> str | None:
    """Why Kubernetes says a pod ended: ``OOMKilled``, ``DeadlineExceeded``, ``Evicted``..."""
    if pod is None or pod.status is None:
        return None
    if pod.status.reason:
        return str(pod.status.reason)
    # Of several containers, one that failed tells why.
    statuses = pod.status.container_statuses or []
    for status in sorted(statuses, key=lambda s: not (s.state and s.state.terminated and s.state.terminated.exit_code)):
        if status.state and status.state.terminated:
            ended = status.state.terminated
            return f"{ended.reason or 'ended'}, exit code {ended.exit_code}"
    return None
