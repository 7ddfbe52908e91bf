"""What goes wrong with Kubernetes: one sentence for each, no pod left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import make_project, pipeline, run_aml

from .machine import eventually

pytestmark = [pytest.mark.kubernetes, pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")]

WORKSPACE = """
name: lab
kubernetes: {{image: "testbed/python:3.11", namespace: ml, config_file: {config}, image_pull_policy: Never, retries: 0}}
compute:
  pod: {{kind: kubernetes}}
  tiny: {{kind: kubernetes, memory: 64Mi, deferrable: false}}
  misspelt: {{kind: kubernetes, image: "testbed/pyton:3.11"}}
  misspelt-watched: {{kind: kubernetes, image: "testbed/pyton:3.11", deferrable: false}}
  giant: {{kind: kubernetes, memory: 4000Gi, startup_timeout_seconds: 3}}
  unreachable: {{kind: kubernetes, config_file: {folder}/closed}}
  forbidden: {{kind: kubernetes, namespace: default}}
  no-config: {{kind: kubernetes, config_file: /nowhere/kubeconfig}}
  broken-config: {{kind: kubernetes, config_file: {folder}/broken}}
"""

STEPS = """\
def on(target, script_name="fine.py"):
    return script(script_name, name=f"on {target}", compute_target=target)

submit(on("pod", "exits.py"), on("tiny", "eats.py"), on("misspelt"), on("misspelt-watched"), on("giant"),
       on("unreachable"), on("forbidden"), on("no-config"), on("broken-config"), continue_on_step_failure=True)
"""

IMAGE = ["did not start", "testbed/pyton:3.11", "Correct the image name"]
ERRORS = {
    "on pod": ["exit code 3"],
    "on tiny": ["more memory than the limit of 64 MiB", "'tiny'"],
    "on misspelt": IMAGE,
    "on misspelt-watched": IMAGE,
    "on giant": ["no node takes it", "memory", "ask for less"],
    "on unreachable": ["'unreachable' cannot be reached", "127.0.0.1", "refused"],
    "on forbidden": ["'forbidden' does not allow this", "namespace 'default'", "create"],
    "on no-config": ["'no-config'", "/nowhere/kubeconfig", "config_file"],
    "on broken-config": ["'broken-config'", "/broken", "config_file"],
}


def test_every_problem_is_told_in_a_sentence_and_leaves_no_pod(tmp_path: Path, kubeconfig: Path) -> None:
    from kubernetes import client, config

    known = yaml.safe_load(kubeconfig.read_text())
    known["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "closed").write_text(yaml.safe_dump(known))
    (tmp_path / "broken").write_text("a: {b\nc")
    project = make_project(tmp_path / "p", WORKSPACE.format(config=kubeconfig, folder=tmp_path))
    (project / "src" / "eats.py").write_text("eaten = [bytearray(10_000_000) for _ in range(60)]\n")

    said = run_aml(project, "run", pipeline(project, STEPS), "--json")

    assert said.code == 1
    steps = said.steps()
    for name, named in ERRORS.items():
        assert steps[name]["state"] == "Failed", name
        for word in [repr(name), *named]:
            assert word in steps[name]["error"], (name, steps[name]["error"])
    assert "/aml_provider/" not in said.err

    api = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    store = str(project / ".aml/datastores/workspaceblobstore/.aml")

    def gone() -> bool:
        pods: list[Any] = api.list_namespaced_pod("ml", label_selector="aml.owner=airflow-provider-aml").items
        return not [p for p in pods if (p.metadata.annotations or {}).get("aml.run-store") == store]

    eventually("the pods are gone", gone)
