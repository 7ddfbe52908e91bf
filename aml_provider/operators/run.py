"""The closing task of a pipeline run: however the steps end, the run's record is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from aml_provider.links import RUN_LINKS
from aml_provider.runs.binding import PipelineBinding
from aml_provider.spec.names import CLOSED_XCOM, FINAL_STATES

if TYPE_CHECKING:
    from airflow.sdk import Context


class PipelineEndOperator(BaseOperator):
    """Ends the run's record: whatever the steps did, none of its MLflow runs stays open.

    :param binding: the pipeline on this machine.
    """

    operator_extra_links = RUN_LINKS

    def __init__(self, *, binding: PipelineBinding, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.binding = binding

    def execute(self, context: Context) -> None:
        """Close the run with the states Airflow has for the steps."""
        from aml_provider.execution.lifecycle import end_run
        from aml_provider.execution.stopping import await_stopped
        from aml_provider.operators.leftovers import remove_pods_left

        ti = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        # When one step has failed, others may still be running: what comes behind all of them never will.
        ended = {key for key, state in states.items() if state in FINAL_STATES}
        remove_pods_left(self.binding, ti.dag_id, str(ti.run_id), ended)
        await_stopped(self.binding, ti.dag_id, str(ti.run_id), ended)
        ending = end_run(self.binding, ti.dag_id, str(ti.run_id), states)
        ti.xcom_push(CLOSED_XCOM, ending.state)
        # Airflow takes a run whose last steps were skipped for a success; this task's own failure corrects that.
        if ending.failed:
            raise AirflowFailException(f"the pipeline failed: step {ending.failed[0]!r} failed")
        if ending.missing:
            raise AirflowFailException(f"the pipeline did not finish: step {ending.missing[0]!r} was not run")
