"""The DAG id of a pipeline: the same whether its file is parsed by Airflow or run as a program."""

from __future__ import annotations

from collections.abc import Set

from aml_provider.sdk.source import PipelineSource
from aml_provider.spec.names import legal_key

# Airflow's limit is 250 characters; the rest is for a number.
LONGEST = 245
_used: dict[object, set[str]] = {}


def dag_id_of(experiment: str, taken: Set[str]) -> str:
    """The experiment's name as a DAG id; a file's second pipeline with that name gets ``_2``, and so on."""
    base = legal_key(experiment)[:LONGEST]
    number, name = 1, base
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name


def next_dag_id(experiment: str, source: PipelineSource) -> str:
    """The id that Airflow's parse gives this submission: counted per pipeline file of this process."""
    used = _used.setdefault(source.file or source.folder, set())
    name = dag_id_of(experiment, used)
    used.add(name)
    return name
