"""What goes wrong with Docker: one sentence for each, and no container left."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import AML, Said, make_project, pipeline, run_aml

from .machine import containers

pytestmark = pytest.mark.docker

WORKSPACE = """
name: lab
docker: {image: "testbed/python:3.11", network: none, retries: 0}
compute:
  box: {kind: docker}
  tiny: {kind: docker, memory: 64Mi}
  hasty: {kind: docker, timeout_seconds: 2}
  misspelt: {kind: docker, image: "testbed/pyton:3.11"}
  no-socket: {kind: docker, docker_url: "unix:///nonexistent.sock"}
  no-port: {kind: docker, docker_url: "tcp://127.0.0.1:1"}
  gpu: {kind: docker, gpus: 1}
  no-python: {kind: docker, image: "testbed/shell"}
"""

STEPS = """\
def on(target, script_name="fine.py"):
    return script(script_name, name=f"on {target}", compute_target=target)

eats = CommandStep(name="eats", command="x=a; while true; do x=$x$x; done", compute_target="tiny")
submit(on("box", "exits.py"), eats, on("hasty", "sleeps.py"), on("misspelt"), on("no-socket"), on("no-port"),
       on("gpu"), on("no-python"), continue_on_step_failure=True)
"""

ERRORS = {
    "on box": ["exit code 3"],
    "eats": ["more memory than the limit of 64 MiB", "'tiny'", "memory:"],
    "on hasty": ["its timeout of 2 s", "'hasty'"],
    "on misspelt": ["'testbed/pyton:3.11'", "Correct the image name"],
    "on no-socket": ["unix:///nonexistent.sock", "does not answer", "docker_url"],
    "on no-port": ["tcp://127.0.0.1:1", "does not answer", "docker_url"],
    "on no-python": ["Python"],
}


def test_every_problem_is_told_in_a_sentence_and_leaves_no_container(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", WORKSPACE)
    said = run_aml(project, "run", pipeline(project, STEPS), "--json")
    assert said.code == 1
    steps = said.steps()
    for name, named in ERRORS.items():
        assert steps[name]["state"] == "Failed", name
        for word in [repr(name), *named]:
            assert word in steps[name]["error"], (name, steps[name]["error"])
    # A host that has GPUs runs it.
    gpu = steps["on gpu"]
    assert gpu["state"] == "Finished" or ("offers no GPUs" in gpu["error"] and "'gpu' asks for 1" in gpu["error"])
    assert "/aml_provider/" not in said.err
    assert not _of(project)
    assert list((project / ".aml/datastores/workspaceblobstore/.aml/staging").glob("*")) == []


def test_ctrl_c_removes_the_container(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", WORKSPACE)
    file = pipeline(project, 'submit(script("sleeps.py", name="slow", compute_target="box")).wait_for_completion()\n')
    running = subprocess.Popen(
        [str(AML), "run", str(file), "--json"], cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 90
    while not any(c["State"] == "running" for c in _of(project)):
        assert time.monotonic() < deadline
        assert running.poll() is None, running.communicate()
        time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=90)
    said = Said(running.returncode, out, err)
    assert said.code == 130, err
    assert said.results[0]["state"] == "Canceled"
    assert not _of(project)


def _of(project: Path) -> list[dict[str, object]]:
    store = str(project / ".aml/datastores/workspaceblobstore/.aml")
    return [c for c in containers() if c["Labels"].get("aml.run-store") == store]
