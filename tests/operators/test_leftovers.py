"""What the closing task of a run does about pods that nobody follows any more."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from aml_provider.cli.inspect import collect
from aml_provider.operators.labels import OWNER, OWNER_LABEL, PLACE_LABEL, STEP_LABEL
from aml_provider.operators.leftovers import remove_pods_left
from aml_provider.reuse.keeping import own_name
from aml_provider.runs.binding import PipelineBinding, step_run_id
from tests.integration.machine import NAMESPACE, cluster, eventually, pods

DAG, RUN = "left", "manual__1"
PIPELINE = """\
from azureml.core import Experiment, Workspace
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import CommandStep

ws = Workspace.from_config()
steps = [CommandStep(name=name, command="true", compute_target="pods") for name in ("lost", "done", "waiting")]
Experiment(ws, "left").submit(Pipeline(ws, steps))
"""
WORKSPACE = """\
name: left
compute:
  pods: {{kind: kubernetes, namespace: ml, image: "testbed/python:3.11", config_file: "{config}"}}
"""


POD = {
    "spec": {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "base",
                "image": "testbed/python:3.11",
                "imagePullPolicy": "Never",
                "command": ["sleep", "600"],
            }
        ],
    }
}


def started(folder: Path, config: Path) -> PipelineBinding:
    """A run of which two steps were started, and one has said that it finished."""
    (folder / "pipeline.py").write_text(PIPELINE)
    (folder / "workspace.yaml").write_text(WORKSPACE.format(config=config))
    ((spec, source, workspace),) = collect(folder / "pipeline.py")
    binding = PipelineBinding(spec, source.folder, workspace)
    run = binding.store.run(DAG, RUN)
    for key in ("lost", "done"):
        run.step(key).attempt(1).path.mkdir(parents=True)
    run.step("done").result_file.write_text(json.dumps({"state": "Finished", "attempt": 1}))
    return binding


@pytest.mark.kubernetes
def test_a_pod_whose_step_has_ended_without_it_is_removed(tmp_path: Path, testbed_home: Path) -> None:
    config = testbed_home / "kubeconfig-airflow"
    binding = started(tmp_path, config)
    names = {key: step_run_id(DAG, RUN, key) for key in ("lost", "done", "waiting")}
    for name in names.values():
        labels = {OWNER_LABEL: OWNER, STEP_LABEL: name, PLACE_LABEL: own_name(binding.store)}
        cluster(config).create_namespaced_pod(NAMESPACE, {**POD, "metadata": {"name": name, "labels": labels}})
    try:
        # Nothing happens to a step that is still running.
        remove_pods_left(binding, DAG, RUN, {"done", "waiting"})
        assert [len(pods(config, name)) for name in names.values()] == [1, 1, 1]
        assert all(pod.metadata.deletion_timestamp is None for pod in pods(config, names["lost"]))
        assert remove_pods_left(binding, DAG, RUN, {"lost", "done", "waiting"}) == set()
        eventually("the lost step's pod is gone", lambda: not pods(config, names["lost"]), seconds=120)
        assert [len(pods(config, names[key])) for key in ("done", "waiting")] == [1, 1]
    finally:
        for name in names.values():
            if pods(config, name):
                cluster(config).delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=0)


def test_a_cluster_that_does_not_answer_fails_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "current-context": "c",
    }
    (tmp_path / "away").write_text(json.dumps(known))
    binding = started(tmp_path, tmp_path / "away")
    with caplog.at_level(logging.WARNING):
        left = remove_pods_left(binding, DAG, RUN, {"lost", "done", "waiting"})
    assert left == {step_run_id(DAG, RUN, "lost")}
    assert "pods of compute target 'pods' that nobody follows could not be looked for" in caplog.text
    assert "aml reap" in caplog.text
