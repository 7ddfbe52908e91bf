"""Pods that share no volume with the worker outlive it all the same, are stopped with their task, and leave nothing."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

from aml_provider.reuse.claim_files import Claim, new_claim
from tests.stores import Place, connection, place

from .machine import NAMESPACE, OWNER, eventually, pods
from .server import FINAL, Run, Server, kill_runner
from .staging import account

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.kubernetes,
    pytest.mark.stores,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]
HERE = Path(__file__).parent
STEPS = ("watched", "deferred")
WORKSPACE = """
name: apart
state: STATE
default_kind: kubernetes
airflow: {url: 'ADDRESS'}
datastores: {blobs: {url: 'URL', conn_id: my_s3}}
kubernetes:
  shared_volume: false
  staging_datastore: blobs
  image: 'testbed/python:3.11'
  staging_image: 'testbed/python:3.11'
  network: host
  namespace: ml
  image_pull_policy: Never
  config_file: KUBECONFIG
  retry_delay_seconds: 1
compute:
  watched: {deferrable: false}
  # Their pools are those of other tests, too.
  deferred: {deferrable: true, max_nodes: 8}
  local: {kind: local, max_nodes: 8}
reuse: {trusted_images: ['testbed/*'], lease_seconds: 5}
"""


class Gate(ThreadingHTTPServer):
    """What the steps ask whether they may go on, from the network of their node."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.open: set[str] = set()


class _Asked(BaseHTTPRequestHandler):
    server: Gate

    def do_GET(self) -> None:
        self.send_response(200 if self.path[1:] in self.server.open else 404)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: they ask often."""


@dataclass
class Apart:
    """The running Airflow in a workspace whose cluster sees none of its files, and the bucket between them."""

    server: Server
    bucket: Place
    admin: Path
    gate: Gate

    def start(self, gate: str) -> Run:
        return self.server.trigger("carried", gate=f"http://127.0.0.1:{self.gate.server_port}/{gate}")

    def held(self, run: Run) -> dict[str, list[str]]:
        """The pods of a run's steps."""
        found = {step: pods(self.server.kubeconfig, run.step_run_id(step)) for step in STEPS}
        return {step: [p.metadata.uid for p in those if p.status.phase == "Running"] for step, those in found.items()}

    def left(self, run: Run) -> list[Any]:
        """What there is of a run in the cluster and on the way to it."""
        core = client.CoreV1Api(config.new_client_from_config(str(self.admin)))
        secrets = core.list_namespaced_secret(NAMESPACE, label_selector=OWNER).items
        ids = [run.step_run_id(step) for step in STEPS]
        names = [s.metadata.name for s in secrets if s.metadata.name.rpartition("-")[0] in ids]
        names += [p.metadata.name for step in ids for p in pods(self.server.kubeconfig, step)]
        return names + [n for n in self.bucket.names() if n.startswith(".aml/pods/") and n.split("/")[3] in ids]

    def await_held(self, run: Run) -> None:
        def holding() -> bool:
            assert run.state() not in FINAL, run.states()
            if any(run.task(step)["state"] not in ("running", "deferred") for step in STEPS):
                return False
            alive = run.step("deferred").attempt(1).heartbeat.exists()
            return alive and all(self.held(run).values()) and "tick 3" in run.log("watched")

        eventually("the steps are under way", holding, seconds=480, every=0.5)


@pytest.fixture(scope="module")
def apart(server: Server, tmp_path_factory: pytest.TempPathFactory, testbed_home: Path) -> Iterator[Apart]:
    folder, admin = tmp_path_factory.mktemp("apart"), testbed_home / "kubeconfig"
    dags = server.dags / "apart"
    with (
        pytest.MonkeyPatch.context() as patch,
        place("s3", folder, patch) as bucket,
        account(admin, folder) as own,
        Gate() as gate,
    ):
        asked = threading.Thread(target=gate.serve_forever)
        asked.start()
        text = WORKSPACE.replace("STATE", str(folder / "state")).replace("ADDRESS", server.url)
        workspace = folder / "workspace.yaml"
        workspace.write_text(text.replace("URL", bucket.url).replace("KUBECONFIG", str(own)))
        view = replace(server, workspace_file=workspace, kubeconfig=own)
        known = connection("s3")
        known["extra"] = json.dumps(known["extra"])
        server.api.post("connections", {"connection_id": "my_s3", **known})
        try:
            assert view.aml("pools").returncode == 0
            shutil.copytree(HERE / "dags_apart", dags, ignore=shutil.ignore_patterns("__pycache__"))
            file = dags / "carried_pipeline.py"
            file.write_text(file.read_text().replace("from_config()", f'from_config("{workspace}")'))
            view.ready({"carried"})
            yield Apart(view, bucket, admin, gate)
        finally:
            shutil.rmtree(dags, ignore_errors=True)
            server.api.delete("connections/my_s3")
            gate.shutdown()
            asked.join()


def test_the_retry_follows_the_pod_and_takes_what_it_leaves(apart: Apart) -> None:
    run = apart.start("gate")
    apart.await_held(run)
    before = apart.held(run)
    shown = [str(p.to_dict()) for step in STEPS for p in pods(apart.server.kubeconfig, run.step_run_id(step))]
    assert not [text for text in [*shown, *(run.log(step) for step in STEPS)] if "Signature" in text]
    reports = [run.step(step).attempt(1).events for step in STEPS]
    eventually(
        "metrics are seen while the steps run",
        lambda: all(report.exists() and "begun" in report.read_text() for report in reports),
    )
    kill_runner(run, "watched")
    eventually("it is tried again", lambda: run.task("watched")["try_number"] == 2 and "tick" in run.log("watched", 2))
    assert apart.held(run) == before
    assert not list((apart.server.store / "held").glob("*")), "nothing half written is seen"
    apart.gate.open.add("gate")
    assert run.wait() == "success", [run.log(step) for step in STEPS]
    for step in STEPS:
        attempts = run.step(step).attempts()
        assert [a.number for a in attempts] == [1]
        log = attempts[0].log.read_text()
        ticks = [int(n) for n in re.findall(r"^tick (\d+)$", log, re.MULTILINE)]
        assert ticks == list(range(1, ticks[-1] + 1))
        assert (run.step(step).result() or {})["metrics"] == {"begun": 1, "ticks": ticks[-1]}
        held = apart.server.store / run.xcom(step)["held"]["path"]
        assert (held / "second").read_text() == f"{ticks[-1]} ticks\n"
    assert "end" in run.log("deferred")
    eventually("nothing is left", lambda: not apart.left(run))


def test_a_step_that_another_run_takes_over_is_stopped_and_waits_for_it(apart: Apart) -> None:
    run = apart.start("taken")
    apart.await_held(run)
    before = apart.held(run)
    claims = [(file, Claim.from_bytes(file.stem, file.read_bytes())) for file in apart.server.store.rglob("claims/*")]
    claims = [(file, claim) for file, claim in claims if claim.owner in map(run.step_run_id, STEPS)]
    assert sorted(claim.step for _, claim in claims) == sorted(STEPS)
    for file, claim in claims:
        # What a machine writes that has seen no sign of life; then it dies, too.
        other = new_claim(claim.key, "another", claim.step, "another-run", 3.0, None, 0.0)
        file.with_suffix(".new").write_bytes(other.content)
        file.with_suffix(".new").replace(file)

    def begun_again() -> bool:
        assert run.state() not in FINAL, [run.log(step) for step in STEPS]
        now = apart.held(run)
        return all(now[step] and not set(now[step]) & set(before[step]) for step in STEPS)

    eventually("both have begun again", begun_again, seconds=300, every=0.5)
    apart.gate.open.add("taken")
    assert run.wait() == "success", [run.log(step) for step in STEPS]
    for step in STEPS:
        assert (run.step(step).result() or {})["metrics"]["begun"] == 1
        assert run.task(step)["try_number"] == 1
        assert "Another run has taken this step over" in run.log(step)
    eventually("nothing is left", lambda: not apart.left(run))


def test_a_cancelled_run_leaves_nothing(apart: Apart) -> None:
    run = apart.start("closed")
    apart.await_held(run)
    assert len(apart.left(run)) >= 2 * len(STEPS)
    run.cancel()
    eventually("nothing is left", lambda: not apart.left(run))
    assert not list((apart.server.store / "held").glob(f"{run.step_run_id('watched')}*"))
