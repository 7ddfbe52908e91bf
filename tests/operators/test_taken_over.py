"""A step whose worker could not say for a while that it lives, so that another run has begun to compute the same."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aml_provider.operators.labels import ATTEMPT_LABEL, OWNER, OWNER_LABEL, PLACE_LABEL, STEP_LABEL
from aml_provider.reuse.claim_files import Claim, new_claim
from tests.integration.machine import NAMESPACE, cluster, pods
from tests.operators.one_step import lay_out
from tests.operators.test_leftovers import POD
from tests.reuse.machines import until

pytestmark = pytest.mark.airflow
AML = Path(sys.executable).with_name("aml")
WORKSPACE = """
name: lab
default_kind: KIND
docker: {image: 'testbed/python:3.11', network: none}
kubernetes: {image: 'testbed/python:3.11', namespace: ml, image_pull_policy: Never, config_file: KUBECONFIG}
compute: {c: {retries: 0, deferrable: DEFERRED}}
reuse: {lease_seconds: 2, trusted_images: ['testbed/python:3.11']}
"""
# Until the script would have ended if it had not been stopped: a deferred step sees it a quarter of a minute later.
SECONDS = {"local": 20, "docker": 20, "deferred": 50}


@contextlib.contextmanager
def left_by(kind: str, step_run: str, kubeconfig: Path) -> Iterator[Callable[[], object]]:
    """What computes a step for a machine that has died; gives whether it is there."""
    labels = {OWNER_LABEL: OWNER, STEP_LABEL: step_run, ATTEMPT_LABEL: "1", PLACE_LABEL: "elsewhere"}
    if kind == "docker":
        words = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
        docker("run", "--detach", "--network", "none", *words, "testbed/python:3.11", "sleep", "600")
        ours = ("ps", "--all", "--quiet", "--filter", f"label={STEP_LABEL}={step_run}")
        try:
            yield lambda: docker(*ours)
        finally:
            for container in docker(*ours).split():
                docker("rm", "--force", container)
    elif kind == "deferred":
        core = cluster(kubeconfig)
        core.create_namespaced_pod(NAMESPACE, {**POD, "metadata": {"name": step_run, "labels": labels}})
        try:
            yield lambda: pods(kubeconfig, step_run)
        finally:
            for pod in pods(kubeconfig, step_run):
                core.delete_namespaced_pod(pod.metadata.name, NAMESPACE, grace_period_seconds=0)
    else:
        yield lambda: None


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize(
    "kind",
    [
        "local",
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("deferred", marks=pytest.mark.kubernetes),
    ],
)
def test_it_stops_and_waits_for_the_other_run(tmp_path: Path, testbed_home: Path, kind: str) -> None:
    deferred = kind == "deferred"
    names = {"KIND": "kubernetes" if deferred else kind, "DEFERRED": str(deferred).lower()}
    kubeconfig = testbed_home / "kubeconfig-airflow"
    workspace = WORKSPACE.replace("KUBECONFIG", str(kubeconfig))
    for name, value in names.items():
        workspace = workspace.replace(name, value)
    lay_out(tmp_path, workspace, SECONDS[kind])
    with open(tmp_path / "said", "w+", encoding="utf-8") as said:

        def text() -> str:
            return (tmp_path / "said").read_text(encoding="utf-8")

        run = subprocess.Popen([AML, "run", "pipeline.py"], cwd=tmp_path, stdout=said, stderr=subprocess.STDOUT)
        kept = tmp_path / ".aml" / "datastores" / "workspaceblobstore" / ".aml"
        until(lambda: any("it began" in log.read_text() for log in kept.glob("runs/**/std_log.txt")), "it has begun")
        (file,) = kept.glob("**/claims/*.json")
        held = Claim.from_bytes(file.stem, file.read_bytes())
        # As another machine does it, for which this one was too long away. It dies, too, and its claim becomes stale.
        another = f"another-{uuid.uuid4().hex[:12]}"
        other = new_claim(held.key, f"{another}@elsewhere", "step", "another-run", 3.0, None, 0.0)
        file.with_suffix(".new").write_bytes(other.content)
        file.with_suffix(".new").replace(file)
        taken = time.time()
        with left_by(kind, another, kubeconfig) as there:
            assert run.wait(180) == 0, text()
            assert not there(), "what the other machine has left goes on computing"
    assert text().count("it ended") == 1, text()
    (result,) = [p for p in tmp_path.glob(".aml/datastores/workspaceblobstore/azureml/**/out*") if p.is_file()]
    assert float(result.read_text()) > taken
