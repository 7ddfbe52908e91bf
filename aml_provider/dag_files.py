"""Which files of the dags folder Airflow reads.

In its safe mode (the default) Airflow passes over every file that does not contain both words "dag" and "airflow",
and says nothing. A pipeline written for Azure ML contains neither, so Airflow is told to ask this module instead
(``[core] might_contain_dag_callable``). The scripts of its steps lie beside it and import ``azureml`` too; they are
not for Airflow, which would run them.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

CALLABLE = f"{__name__}.might_contain_dag"
# What a file that submits a pipeline cannot do without: one of these, whoever builds the pipeline.
PIPELINE_WORDS = (b"azureml.pipeline", b"Experiment")


def might_contain_dag(file_path: str, zip_file: zipfile.ZipFile | None = None) -> bool:
    """Whether Airflow should read a file: when it would anyway, or when it speaks of Azure ML's pipelines.

    :param file_path: path of the file, inside ``zip_file`` if that is given.
    """
    if _airflows_own_answer(file_path, zip_file):
        return True
    if zip_file is not None:
        with zip_file.open(file_path) as packed:
            return _speaks_of_pipelines(packed.read())
    return _speaks_of_pipelines(Path(file_path).read_bytes())


def _speaks_of_pipelines(content: bytes) -> bool:
    return b"azureml" in content and any(word in content for word in PIPELINE_WORDS)


def _airflows_own_answer(file_path: str, zip_file: zipfile.ZipFile | None) -> bool:
    """What the callable of ``airflow.cfg`` says, or Airflow's default."""
    from configparser import ConfigParser
    from importlib import import_module

    from airflow.configuration import conf
    from airflow.utils.file import might_contain_dag_via_default_heuristic

    # The environment variable names this module; the file may name somebody's own callable, which stays in force.
    configured = ConfigParser.get(conf, "core", "might_contain_dag_callable", fallback=None)
    if configured and configured != CALLABLE:
        module, _, name = configured.rpartition(".")
        return bool(getattr(import_module(module), name)(file_path=file_path, zip_file=zip_file))
    return bool(might_contain_dag_via_default_heuristic(file_path=file_path, zip_file=zip_file))
