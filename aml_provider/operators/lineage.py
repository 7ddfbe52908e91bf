"""A step's data for OpenLineage, where its provider is installed: it calls these methods, and nobody else does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aml_provider.runs.binding import PipelineBinding
from aml_provider.spec.models import Step

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


class LineageTask:
    """Mixed into step operators."""

    step: Step
    binding: PipelineBinding

    def get_openlineage_facets_on_start(self) -> OperatorLineage:
        """The data that the pipeline's file itself names; what a run chooses is not known yet."""
        from aml_provider.operators.lineage_facets import declared_lineage

        return declared_lineage(self.binding, self.step)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage:
        """The data that the step has read and written, with digests, and its MLflow run; also for one that failed."""
        from aml_provider.operators.lineage_facets import lineage

        return lineage(self.binding, self.step, task_instance.dag_id, str(task_instance.run_id))
