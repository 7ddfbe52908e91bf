"""What an attempt leaves for its log, MLflow and lineage before it starts: whole, and without secrets and places."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import airflow.sdk.log  # noqa: F401  (its first import sets up logging anew)
import pytest

from aml_provider.execution.prepare import prepare_attempt
from aml_provider.execution.reusing import Go
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.spec.models import (
    DataLocation,
    DatasetSource,
    InputRef,
    Parameter,
    ParameterRef,
    ParameterType,
    PipelineSpec,
    PythonScript,
    Step,
    StepInput,
    StepOutput,
    SubmitOptions,
    Text,
)
from aml_provider.workspace.discovery import load_workspace

PARAMETERS = {"rate": 0.1, "password": "hunter2 " * 3, "long": "x" * 900}


@pytest.fixture
def run(tmp_path: Path) -> StepRun:
    (tmp_path / "workspace.yaml").write_text("name: lab\ncompute:\n  small: {kind: local, cpus: 2, memory: 4Gi}\n")
    (tmp_path / "code/lib").mkdir(parents=True)
    for name, size in {"train.py": 10, "lib/deep.py": 20, ".env": 5, "lib/server.pem": 5, "big.bin": 1_000_001}.items():
        (tmp_path / "code" / name).write_bytes(b"#" * size)
    workspace = load_workspace(tmp_path / "workspace.yaml")
    root = workspace.folder_of("workspaceblobstore")
    (root / "raw").mkdir(parents=True)
    (root / "raw/a.csv").write_text("1\n")
    step = Step(
        key="train",
        name="train it",
        type="PythonScriptStep",
        source_directory="code",
        compute_target="small",
        action=PythonScript(
            script="train.py", arguments=(Text(value="--data"), InputRef(name="raw"), ParameterRef(name="rate"))
        ),
        inputs=(
            StepInput(
                name="raw",
                source=DatasetSource(
                    locations=(DataLocation(datastore="workspaceblobstore", path="raw"),), name="titanic", version=3
                ),
                is_dataset=True,
            ),
        ),
        outputs=(StepOutput(name="model", datastore="workspaceblobstore", destination="made/{run-id}"),),
    )
    spec = PipelineSpec(
        workspace="lab",
        submit=SubmitOptions(experiment="digits"),
        default_datastore="workspaceblobstore",
        parameters=tuple(Parameter(name=name, type=ParameterType.STRING, default="") for name in PARAMETERS),
        steps=(step,),
    )
    return StepRun(PipelineBinding(spec, tmp_path, workspace), step, "digits", "manual", PARAMETERS, lambda _: {})


def prepared(run: StepRun) -> dict[str, Any]:
    prepare_attempt(
        run, 1, Go("it is the first", begun=5.0), in_place=True, interpreter=sys.executable, variables={"SECRET": "s3"}
    )
    facts: dict[str, Any] = json.loads(run.folder.attempt(1).facts.read_text())
    return facts


def test_a_log_begins_with_a_few_lines_that_say_it_all(run: StepRun, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "aml_provider.execution.header"):
        prepared(run)
    lines = [record.getMessage() for record in caplog.records if record.name == "aml_provider.execution.header"]
    assert lines[0] == f"Step 'train it' of run {run.pipeline_run_id}, attempt 1"
    assert len(lines) <= 15
    assert max(map(len, lines)) < 220
    told = {line[:13].strip(): line[14:] for line in lines[1:]}
    assert told["runs"] == "train.py --data $AZUREML_DATAREFERENCE_raw 0.1"
    assert told["on"] == "small (local), pool aml_small, 2 CPUs, 4 GiB"
    assert told["code"] == "5 files, 1,000,041 bytes"
    assert told["input"] == "raw <- workspaceblobstore:raw (dataset titanic, version 3)"
    assert told["output"] == "model -> workspaceblobstore"
    assert told["parameters"].startswith("rate=0.1, password=***, long=xxx")
    assert told["parameters"].endswith("…")
    assert told["fingerprint"] == "not known, so the result is not kept for reuse"
    assert told["MLflow"].startswith("to look at it: mlflow ui --backend-store-uri sqlite:///")
    assert told["why"] == "it is the first"


def test_facts_name_data_by_its_datastore_and_choose_what_is_published_of_the_code(run: StepRun) -> None:
    facts = prepared(run)
    assert facts["snapshot"] == {
        "digest": None,
        "files": 5,
        "bytes": 1_000_041,
        "kept": ["lib/deep.py", "train.py"],
        "left_out": [
            {"file": ".env", "bytes": 5},
            {"file": "lib/server.pem", "bytes": 5},
            {"file": "big.bin", "bytes": 1_000_001},
        ],
        "left_out_files": 3,
    }
    (raw,) = facts["inputs"]
    assert [raw["dataset"], raw["version"], raw["places"]] == ["titanic", 3, ["workspaceblobstore:raw"]]
    assert facts["times"]["begun"] == 5.0
    assert facts["compute"]["memory_bytes"] == 4 * 2**30
    text = json.dumps(facts)
    assert str(run.binding.folder) not in text
    assert "s3" not in text
