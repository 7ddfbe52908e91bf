"""An unmodified pipeline whose default datastore is a bucket: on every kind the same bytes, and reuse works."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.stores import Place, connection, place, some

from .server import aml

pytestmark = [pytest.mark.airflow, pytest.mark.stores]
WORKSPACE = """
name: buckets
default_kind: KIND
default_datastore: blobs
datastores:
  blobs: {url: 'URL', conn_id: CONNECTION}
docker: {image: 'testbed/ml:latest', network: none}
kubernetes: {image: 'testbed/ml:latest', namespace: ml, image_pull_policy: Never, config_file: KUBECONFIG}
reuse: {trusted_images: ['testbed/*']}
"""
PIPELINE = """
from azureml.core import Dataset, Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline, PipelineData
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
store = ws.get_default_datastore()
store.upload("raw", target_path="raw files", overwrite=True)
environment = Environment("plain")
environment.python.user_managed_dependencies = True
run_config = RunConfiguration()
run_config.environment = environment
options = {"source_directory": "code", "compute_target": "local", "runconfig": run_config}

raw = Dataset.File.from_files((store, "raw files/**")).as_named_input("raw").as_mount()
joined = OutputFileDatasetConfig("joined", destination=(store, "joined/{run-id}")).register_on_complete("joined")
counted = PipelineData("counted", datastore=store)
join = PythonScriptStep("join.py", name="join", arguments=["--raw", raw, "--out", joined], **options)
count = PythonScriptStep(
    "count.py", name="count", arguments=["--text", joined.as_input().as_download(), "--out", counted],
    outputs=[counted], **options,
)
run = Experiment(ws, "buckets").submit(Pipeline(ws, [join, count]))
run.wait_for_completion()
"""
JOIN = """
import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--raw"), parser.add_argument("--out")
given = parser.parse_args()
files = sorted(p for p in pathlib.Path(given.raw).rglob("*") if p.is_file())
(pathlib.Path(given.out) / "deep").mkdir()
(pathlib.Path(given.out) / "deep" / "all ü.txt").write_text("".join(p.read_text() for p in files))
"""
COUNT = """
import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--text"), parser.add_argument("--out")
given = parser.parse_args()
(text,) = [p for p in pathlib.Path(given.text).rglob("*.txt")]
text.write_text(text.read_text() + "a downloaded input is the step's own\\n")
pathlib.Path(given.out).write_text(str(len(text.read_text().splitlines())))
"""


def run(folder: Path, bucket: Place, kind: str, kubeconfig: Path) -> dict[str, Any]:
    """A run of the pipeline, in a project of its own whose workspace is otherwise the same."""
    if not folder.exists():
        (folder / "code").mkdir(parents=True)
        (folder / "raw" / "sub").mkdir(parents=True)
        (folder / "raw" / "one.txt").write_text("1\n")
        (folder / "raw" / "sub" / "two words.txt").write_text("2\n3\n")
        (folder / "pipeline.py").write_text(PIPELINE)
        (folder / "code" / "join.py").write_text(JOIN)
        (folder / "code" / "count.py").write_text(COUNT)
    text = WORKSPACE.replace("KIND", kind).replace("URL", bucket.url).replace("CONNECTION", f"my_{bucket.kind}")
    (folder / "workspace.yaml").write_text(text.replace("KUBECONFIG", str(kubeconfig)))
    known = {f"AIRFLOW_CONN_MY_{bucket.kind.upper()}": json.dumps(connection(bucket.kind))}
    done = aml("run", "pipeline.py", "--json", workspace=folder / "workspace.yaml", folder=folder, **known)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def outputs(bucket: Place, result: dict[str, Any]) -> dict[str, str]:
    """What the steps have left in the bucket, by the names below their destinations."""
    found = {}
    for step in result["steps"]:
        for name, at in step["outputs"].items():
            for file in (f for f in bucket.names() if f == at["path"] or f.startswith(f"{at['path']}/")):
                found[name + file[len(at["path"]) :]] = hashlib.sha256(bucket.read(file)).hexdigest()
    return found


EXPECTED = {
    "joined/deep/all ü.txt": hashlib.sha256(b"1\n2\n3\n").hexdigest(),
    "counted": hashlib.sha256(b"4").hexdigest(),
}


@pytest.mark.parametrize("bucket", some(["s3", "azure", "gcs"], ["s3", "azure"]), indirect=True)
def test_a_second_run_reuses_what_is_in_the_bucket_and_data_that_changed_is_seen(
    bucket: Place, tmp_path: Path, kubeconfig: Path
) -> None:
    project = tmp_path / "project"
    first = run(project, bucket, "local", kubeconfig)
    assert outputs(bucket, first) == EXPECTED
    again = run(project, bucket, "local", kubeconfig)
    assert [step["reused"] is not None for step in again["steps"]] == [True, True]
    assert outputs(bucket, again) == EXPECTED
    (project / "raw" / "one.txt").write_text("7\n")
    changed = run(project, bucket, "local", kubeconfig)
    assert [step["reused"] for step in changed["steps"]] == [None, None]
    assert outputs(bucket, changed)["joined/deep/all ü.txt"] == hashlib.sha256(b"7\n2\n3\n").hexdigest()
    gone = first["steps"][1]["outputs"]["counted"]["path"]
    bucket.store.remove(gone)
    (project / "raw" / "one.txt").write_text("1\n")
    healed = run(project, bucket, "local", kubeconfig)
    assert [step["reused"] is not None for step in healed["steps"]] == [True, False]
    assert outputs(bucket, healed) == EXPECTED


@pytest.mark.parametrize(
    "kind",
    [pytest.param("docker", marks=pytest.mark.docker), pytest.param("kubernetes", marks=pytest.mark.kubernetes)],
)
def test_containers_and_pods_leave_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kubeconfig: Path, kind: str
) -> None:
    with place("s3", tmp_path, monkeypatch) as bucket:
        assert outputs(bucket, run(tmp_path / "project", bucket, kind, kubeconfig)) == EXPECTED
