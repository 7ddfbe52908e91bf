"""The parse life of ``submit``: the pipeline becomes a DAG of the file that Airflow is reading."""

from __future__ import annotations

from airflow.sdk.definitions._internal.contextmanager import DagContext

from aml_provider.sdk.source import PipelineSource
from aml_provider.spec.models import PipelineSpec
from aml_provider.submission.names import dag_id_of
from aml_provider.translate.dag import build_dag
from aml_provider.uncollected import uncollected
from aml_provider.workspace.resolved import LoadedWorkspace


def declare(spec: PipelineSpec, source: PipelineSource, workspace: LoadedWorkspace) -> None:
    """Build the DAG; leaving its context registers it with the module that is being parsed."""
    module = DagContext.current_autoregister_module_name
    taken = {dag.dag_id for dag, owner in DagContext.autoregistered_dags if owner.__name__ == module}
    with uncollected():
        build_dag(spec, source.folder, workspace, dag_id_of(spec.submit.experiment, taken))
