"""What MLflow has of a step besides what its script reports: data, code, environment, compute, use of resources."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from mlflow.entities import DatasetInput

from aml_provider.tracking.recorder import close_run, open_run, reconcile

from .conftest import RunFolder, Store

DIGEST = "9c2e" * 16


def facts(**changed: Any) -> dict[str, Any]:
    """What :func:`aml_provider.execution.facts.keep_facts` writes."""
    return {
        "compute": {
            "name": "cpu-cluster",
            "kind": "docker",
            "pool": "aml-cpu",
            "pool_slots": 1,
            "cpus": 2.0,
            "memory_bytes": 2**31,
            "gpus": 0,
        },
        "environment": {
            "name": "sklearn",
            "image": "testbed/ml",
            "digest": "sha256:ab",
            "platform": "linux/amd64",
            "python": None,
            "packages": None,
        },
        "command": {"kind": "python", "script": "train.py", "arguments": ["--data", "$AZUREML_DATAREFERENCE_raw"]},
        "parameters": {},
        "inputs": [
            {
                "name": "raw",
                "dataset": "titanic",
                "version": 3,
                "step": None,
                "output": None,
                "places": ["blobs:titanic/"],
                "more_places": 0,
                "digest": DIGEST,
                "mode": "mount",
            },
        ],
        "outputs": [],
        "fingerprint": "f" * 64,
        "snapshot": {
            "digest": "c" * 64,
            "files": 2,
            "bytes": 30,
            "kept": ["train.py", "lib/deep.py"],
            "left_out": [{"file": "big.bin", "bytes": 9_000_000}],
            "left_out_files": 1,
        },
        "times": {"ready": 100.0, "begun": 107.5},
        **changed,
    }


def attempt(folder: RunFolder, task: str, number: int = 1, **changed: Any) -> Path:
    path = folder.attempt(task, number)
    (path / "facts.json").write_text(json.dumps(facts(**changed)))
    (path / "code/lib").mkdir(parents=True)
    (path / "code/train.py").write_text("print('hello')\n")
    (path / "code/lib/deep.py").write_text("x = 1\n")
    (path / "code/made-by-the-script.bin").write_text("x")
    return path


def datasets(store: Store, task: str) -> dict[str, tuple[DatasetInput, dict[str, str]]]:
    found = store.step(task).inputs.dataset_inputs
    return {item.dataset.name: (item, {tag.key: tag.value for tag in item.tags}) for item in found}


def test_where_and_from_what_a_step_runs(folder: RunFolder, store: Store) -> None:
    git = {"azureml.git.commit": "abc", "azureml.git.dirty": "True", "mlflow.source.git.commit": "abc"}
    folder.describe("train", properties=git)
    open_run(folder.path, folder.uri)
    attempt(folder, "train")
    reconcile(folder.path)
    run = store.step("train")
    assert run.data.params == {"script": "train.py", "arguments": "--data $AZUREML_DATAREFERENCE_raw"}
    wanted = {
        "aml.compute": "cpu-cluster",
        "aml.compute.kind": "docker",
        "aml.pool": "aml-cpu",
        "aml.cpus": "2.0",
        "aml.memory_bytes": str(2**31),
        "aml.gpus": "0",
        "aml.environment": "sklearn",
        "aml.image": "testbed/ml",
        "aml.image.digest": "sha256:ab",
        "aml.platform": "linux/amd64",
        "aml.fingerprint": "f" * 64,
        "aml.snapshot": "c" * 64,
        "mlflow.source.name": "train.py",
        "mlflow.source.git.commit": "abc",
        "aml.property.azureml.git.dirty": "True",
    }
    assert wanted.items() <= run.data.tags.items()
    assert "aml.python" not in run.data.tags
    parent = store.parent().data.tags
    assert [parent["mlflow.source.git.commit"], parent["mlflow.source.name"]] == ["abc", "digits"]


def test_what_a_step_reads_and_writes_is_found_by_its_digest(folder: RunFolder, store: Store) -> None:
    folder.describe("prep", "train")
    open_run(folder.path, folder.uri)
    attempt(folder, "prep")
    written = {"datastore": "blobs", "path": "azureml/x/clean", "digest": "d" * 64, "files": 2, "bytes": 10}
    folder.result("prep", outputs={"clean": written})
    reads = {"name": "table", "dataset": None, "version": None, "step": "prep", "output": "clean", "more_places": 0}
    table = reads | {"places": ["blobs:azureml/x/clean"], "digest": "d" * 64, "mode": "mount"}
    odd = table | {"name": "odd", "output": None, "places": ["blobs:odd/", "lake:odd/"], "digest": None}
    attempt(
        folder,
        "train",
        inputs=[table, odd],
    )
    for _ in range(2):
        reconcile(folder.path)
    raw, tags = datasets(store, "prep")["titanic"]
    assert raw.dataset.digest == DIGEST[:36]
    assert json.loads(raw.dataset.source) == {"uri": "blobs:titanic/"}
    assert tags["mlflow.data.context"] == "input"
    assert tags["aml.digest"] == DIGEST
    assert [tags["aml.input"], tags["aml.version"], tags["aml.place"]] == ["raw", "3", "blobs:titanic/"]
    made, tags = datasets(store, "prep")["clean"]
    assert tags["mlflow.data.context"] == "output"
    assert json.loads(made.dataset.profile) == {"files": 2, "bytes": 10}
    seen = datasets(store, "train")
    assert seen["clean"][0].dataset == made.dataset
    assert seen["clean"][1]["mlflow.data.context"] == "input"
    assert seen["odd"][0].dataset.digest.startswith("unknown-")
    assert json.loads(seen["odd"][0].dataset.source) == {"uris": ["blobs:odd/", "lake:odd/"]}
    # Who wrote and who read it, in MLflow's own search.
    experiment = [store.parent().info.experiment_id]
    found = store.client.search_runs(experiment, f"dataset.digest = '{'d' * 36}'")
    assert {run.data.tags["aml.task_id"] for run in found} == {"prep", "train"}


def test_what_a_step_has_used(folder: RunFolder, store: Store) -> None:
    folder.describe("python", "shell", "lost")
    open_run(folder.path, folder.uri)
    report = {"started": 110.0, "ended": 130.25}
    usages: dict[str, dict[str, Any]] = {
        "python": {"cpu_seconds": 12.5, "peak_memory_bytes": 5_000_000},
        "shell": {"times": "1m2.500s 0m0.25s"},
    }
    for task, usage in usages.items():
        path = attempt(folder, task)
        (path / "report.json").write_text(json.dumps(report | {"usage": usage}))
        folder.result(task, committed=131.25, ended=130.25)
    attempt(folder, "lost")
    close_run(folder.path, "Failed", {"lost": "failed"})
    times = {"system/queued_seconds": 7.5, "system/staging_seconds": 3.5, "system/running_seconds": 20.25}
    assert store.step("python").data.metrics == times | {
        "system/cpu_seconds": 12.5,
        "system/peak_memory_bytes": 5_000_000,
    }
    assert store.step("shell").data.metrics == times | {"system/cpu_seconds": 62.75}
    # How long it ran is not known, and how long it had waited is.
    assert store.step("lost").data.metrics == {"system/queued_seconds": 7.5}


def test_the_code_as_far_as_it_is_small(folder: RunFolder, store: Store, tmp_path: Path) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    path = attempt(folder, "train")
    (tmp_path / "elsewhere").write_text("not the step's")
    (path / "code/lib/deep.py").unlink()
    (path / "code/lib/deep.py").symlink_to(tmp_path / "elsewhere")
    folder.result("train")
    reconcile(folder.path)
    run = store.step("train")
    assert store.files(run) == {"snapshot/train.py", "snapshot.json", "environment.json"}
    told = json.loads(store.text(run, "snapshot.json"))
    assert told["left_out"] == [{"file": "big.bin", "bytes": 9_000_000}]
    assert told["digest"] == "c" * 64
    assert json.loads(store.text(run, "environment.json"))["digest"] == "sha256:ab"


def test_no_folder_of_this_machine_is_told(folder: RunFolder, store: Store) -> None:
    root = folder.path.parents[2]
    hidden = {"/opt/pipelines": "<pipeline folder>", "/opt": "<machine>"}
    folder.describe("train", hidden=hidden, parameters={"file": f"{root}/x", "other": "/optional /opt/a"})
    open_run(folder.path, folder.uri)
    path = folder.attempt("train", job={
        "command": {"kind": "shell", "line": f"cat {root}/in"},
        "run": {"parameters": {"where": "/opt/pipelines"}},
    })  # fmt: skip
    (path / "logs/std_log.txt").write_text(
        f'  File "{path}/code/train.py", line 1\r\n\xff {root}-other /opt/pipelines.\n'
    )
    folder.result("train", "Failed", error=f"source_directory /opt/pipelines/digits does not exist ({root})")
    reconcile(folder.path)
    run, parent = store.step("train"), store.parent()
    assert run.data.params == {"where": "<pipeline folder>", "command": "cat <run store>/in"}
    assert parent.data.params == {"file": "<run store>/x", "other": "/optional <machine>/a"}
    error = run.data.tags["aml.error"]
    assert error == "source_directory <pipeline folder>/digits does not exist (<run store>)"
    log = store.text(run, "logs/std_log.txt")
    inside = path.relative_to(root).as_posix()
    assert log == f'  File "<run store>/{inside}/code/train.py", line 1\r\n\xff {root}-other <pipeline folder>.\n'


def test_a_retry_has_details_of_its_own(folder: RunFolder, store: Store) -> None:
    folder.describe("train")
    open_run(folder.path, folder.uri)
    attempt(folder, "train")
    reconcile(folder.path)
    compute = facts()["compute"] | {"name": "bigger"}
    attempt(folder, "train", 2, compute=compute, times={"ready": time.time() - 3, "begun": time.time()})
    reconcile(folder.path)
    computes = {run.data.tags["aml.attempt"]: run.data.tags["aml.compute"] for run in store.runs() if run.data.params}
    assert computes == {"1": "cpu-cluster", "2": "bigger"}
