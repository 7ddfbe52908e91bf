"""When a pod whose data comes first is given up, and when not; what the trigger tells other processes."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.providers.cncf.kubernetes.utils.pod_manager import PodLaunchTimeoutException
from kubernetes.client import models as k8s

from aml_provider.triggers.staged_pod import BringWatch, StagedPodTrigger
from aml_provider.triggers.step_pod import RENEW

RUNNING = k8s.V1ContainerState(running=k8s.V1ContainerStateRunning())
ENDED = k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=0))


def waiting(reason: str) -> k8s.V1ContainerState:
    return k8s.V1ContainerState(waiting=k8s.V1ContainerStateWaiting(reason=reason, message="the image 'x' is not here"))


def pod(phase: str, *states: k8s.V1ContainerState) -> k8s.V1Pod:
    statuses = [
        k8s.V1ContainerStatus(name=f"c{n}", image="x", image_id="", ready=False, restart_count=0, state=state)
        for n, state in enumerate(states)
    ]
    return k8s.V1Pod(status=k8s.V1PodStatus(phase=phase, init_container_statuses=statuses or None))


@pytest.mark.parametrize(
    ("seen", "done"),
    [
        (pod("Pending"), False),
        (pod("Pending", waiting("PodInitializing")), False),
        (pod("Pending", RUNNING), False),
        (pod("Pending", ENDED, RUNNING), False),
        (pod("Pending", ENDED), True),
        (pod("Running", ENDED), True),
        (pod("Failed", ENDED), True),
        (pod("Succeeded", ENDED), True),
    ],
)
def test_the_files_are_there_when_their_container_has_ended(seen: k8s.V1Pod, done: bool) -> None:
    assert BringWatch(60, 60).done(seen) is done


def test_bringing_may_take_as_long_as_it_takes() -> None:
    assert not BringWatch(-1, -1).done(pod("Pending", RUNNING))


@pytest.mark.parametrize("seen", [pod("Pending"), pod("Pending", waiting("PodInitializing"))])
def test_a_pod_that_does_not_begin_is_given_up(seen: k8s.V1Pod) -> None:
    with pytest.raises(PodLaunchTimeoutException, match="has not begun"):
        BringWatch(-1, -1).done(seen)


def test_a_wrong_image_is_told_at_once() -> None:
    with pytest.raises(PodLaunchTimeoutException, match="ErrImagePull: the image 'x' is not here"):
        BringWatch(60, 60).done(pod("Pending", waiting("ErrImagePull")))


def of_airflow() -> KubernetesPodTrigger:
    return KubernetesPodTrigger(
        pod_name="one", pod_namespace="ml", trigger_start_time=datetime.now(timezone.utc), base_container_name="base"
    )


def staged(folder: Path, renew_seconds: float) -> StagedPodTrigger:
    place = {"name": "far", "url": str(folder / "far"), "conn_id": None, "connections_file": None, "path": "e.jsonl"}
    seen = (folder / "events.jsonl", folder, f"sqlite:///{folder}/mlflow.db")
    alive = str(folder / "alive")
    made = StagedPodTrigger.of(of_airflow(), *seen, reported=place, heartbeat=alive, renew_seconds=renew_seconds)
    assert isinstance(made, StagedPodTrigger)
    return made


def test_another_process_makes_the_same_trigger(tmp_path: Path) -> None:
    made = staged(tmp_path, 7)
    path, arguments = made.serialize()
    assert path == "aml_provider.triggers.staged_pod.StagedPodTrigger"
    assert StagedPodTrigger(**arguments).serialize() == (path, arguments)


class Cluster:
    """In the place of the connection to a cluster: a pod that runs."""

    async def get_pod(self, name: str, namespace: str) -> k8s.V1Pod:
        found = pod("Running", ENDED)
        found.metadata = k8s.V1ObjectMeta(name=name, namespace=namespace)
        base = k8s.V1ContainerStatus(name="base", image="x", image_id="", ready=True, restart_count=0, state=RUNNING)
        found.status.container_statuses = [base]
        return found


def test_the_task_comes_back_to_renew_addresses_while_the_pod_is_seen_to_live(tmp_path: Path) -> None:
    trigger = staged(tmp_path, 0.5)
    trigger.log_events_on_startup = False
    trigger.__dict__["hook"] = Cluster()
    trigger.poll_interval = 0.05

    async def first() -> Any:
        return await anext(trigger.run())

    event = asyncio.run(first())
    assert event.payload == {"status": RENEW, "name": "one", "namespace": "ml"}
    assert float((tmp_path / "alive").read_text()) > 0


def test_what_the_step_reports_is_brought_as_it_grows(tmp_path: Path) -> None:
    """And never replaced by less: the worker that comes back may have brought all of it."""
    trigger = staged(tmp_path, 7)
    there, here = tmp_path / "far" / "e.jsonl", tmp_path / "events.jsonl"
    assert trigger._reported() == 0
    there.parent.mkdir()
    for text in ("one\n", "one\ntwo\n"):
        there.write_text(text)
        assert trigger._reported() == len(text)
        assert here.read_text() == text
    there.write_text("one\n")
    assert trigger._reported() == len("one\ntwo\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["events.jsonl", "far"]
