"""Airflow reads pipeline files, and leaves the scripts of their steps alone."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from aml_provider.dag_files import might_contain_dag

PIPELINE = "from azureml.pipeline.core import Pipeline\n"
SUBMITS = "from azureml.core import Experiment\nfrom mine import pipeline\n"
STEP = "from azureml.core import Run\nRun.get_context().log('a', 1)\n"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (PIPELINE, True),
        (SUBMITS, True),
        (STEP, False),
        ("print('hello')\n", False),
        ("from airflow.sdk import DAG\n", True),
    ],
)
def test_what_airflow_reads(tmp_path: Path, text: str, read: bool) -> None:
    (tmp_path / "file.py").write_text(text)
    assert might_contain_dag(str(tmp_path / "file.py")) is read
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.writestr("file.py", text)
        assert might_contain_dag("file.py", packed) is read


def test_of_the_samples_it_reads_only_the_pipelines(repository: Path) -> None:
    files = [file for file in (repository / "dags").rglob("*.py") if might_contain_dag(str(file))]
    assert sorted(file.name for file in files) == ["digits_pipeline.py", "fan_out_pipeline.py"]
