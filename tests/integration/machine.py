"""What this machine is really running: processes, containers, pods. And waiting for it to become something else."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import docker
import docker.errors

T = TypeVar("T")
OWNER = "aml.owner=airflow-provider-aml"
NAMESPACE = "ml"


def eventually(what: str, look: Callable[[], T], seconds: float = 180, every: float = 0.2) -> T:
    """What ``look`` gives as soon as that is true of anything."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {seconds} s: {what} (seen last: {seen!r})"
        time.sleep(every)


# --- processes ------------------------------------------------------------------------------------------------------


def processes() -> dict[int, str]:
    """pid -> command line of every process that is alive."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                dead = (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except (FileNotFoundError, ProcessLookupError):
                continue
            if not dead:
                found[int(entry.name)] = command
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def alive(pid: int) -> bool:
    return pid in processes()


def in_session(leader: int) -> list[int]:
    """The processes of a session: what its leader started, groups of their own or not."""
    found = []
    for pid in processes():
        try:
            session = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if session == leader:
            found.append(pid)
    return found


# --- containers and pods --------------------------------------------------------------------------------------------


@functools.cache
def _docker() -> Any:
    return docker.from_env()


def containers(step_run_id: str | None = None) -> list[dict[str, Any]]:
    """Our containers, ended ones as well: of one step run, or all."""
    labels = [OWNER] if step_run_id is None else [f"aml.step-run={step_run_id}"]
    found = _docker().api.containers(all=True, filters={"label": labels})
    # On a cluster whose nodes use Docker, a pod's containers have its labels.
    return [c for c in found if "io.kubernetes.pod.name" not in c["Labels"]]


def remove_leftovers(store: Path, available: set[str], kubeconfig: Path) -> None:
    """Remove the containers and pods of one run store: what tests that failed have left."""
    for container in containers() if "docker" in available else ():
        if container["Labels"].get("aml.run-store") == str(store):
            with contextlib.suppress(docker.errors.NotFound):
                _docker().api.remove_container(container["Id"], force=True)
    for pod in pods(kubeconfig) if "kubernetes" in available else ():
        if (pod.metadata.annotations or {}).get("aml.run-store") == str(store):
            cluster(kubeconfig).delete_namespaced_pod(pod.metadata.name, NAMESPACE, grace_period_seconds=0)


@functools.cache
def cluster(kubeconfig: Path) -> Any:
    import kubernetes
    import urllib3

    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(kubeconfig)))


def pods(kubeconfig: Path, step_run_id: str | None = None) -> list[Any]:
    """Our pods, those that are going away as well: of one step run, or all."""
    selector = OWNER if step_run_id is None else f"aml.step-run={step_run_id}"
    return list(cluster(kubeconfig).list_namespaced_pod(NAMESPACE, label_selector=selector).items)
