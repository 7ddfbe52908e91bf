"""DAG ids: the experiment's name, the same whether Airflow reads the file or a program runs it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from aml_provider.sdk.source import PipelineSource
from aml_provider.submission.names import dag_id_of, next_dag_id


def test_the_second_pipeline_of_a_name_is_numbered(tmp_path: Path) -> None:
    """Counted per file, so two files do not disturb each other."""
    one = PipelineSource(tmp_path / "one.py", tmp_path)
    other = PipelineSource(tmp_path / "other.py", tmp_path)
    assert [next_dag_id("train", one) for _ in range(3)] == ["train", "train_2", "train_3"]
    assert next_dag_id("train", other) == "train"


@given(st.text(max_size=400), st.sets(st.text(max_size=5), max_size=5))
def test_an_id_is_legal_in_airflow_and_new(experiment: str, taken: set[str]) -> None:
    """Whatever the experiment is called."""
    from airflow.utils.helpers import validate_key

    name = dag_id_of(experiment, taken)
    validate_key(name)
    assert name not in taken
    assert not name.startswith(".")
