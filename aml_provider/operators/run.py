"""The closing task of a pipeline run: however the steps end, the run's record is closed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from aml_provider.links import RUN_LINKS
from aml_provider.runs.binding import PipelineBinding
from aml_provider.spec.names import CLOSED_XCOM, FINAL_STATES

if TYPE_CHECKING:
    from airflow.sdk import Context

_POLL_SECONDS = 2.0


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
        from aml_provider.execution.stopping import await_stopped, await_word, record_stopped
        from aml_provider.operators.leftovers import remove_pods_left

        ti = context["ti"]
        states = self._states(ti)
        # When one step has failed, others may still be running: what comes behind all of them never will.
        ended = {key for key, state in states.items() if state in FINAL_STATES}
        of = (self.binding, ti.dag_id, str(ti.run_id))
        stopped = await_word(*of, ended)
        out_of_sight = remove_pods_left(*of, ended)
        await_stopped(*of, ended)
        record_stopped(*of, stopped)
        ending = end_run(*of, states, out_of_sight)
        ti.xcom_push(CLOSED_XCOM, ending.state)
        # Airflow takes a run whose last steps were skipped for a success; this task's own failure corrects that.
        if ending.failed:
            raise AirflowFailException(f"the pipeline failed: step {ending.failed[0]!r} failed")
        if ending.missing:
            raise AirflowFailException(f"the pipeline did not finish: step {ending.missing[0]!r} was not run")

    def _states(self, ti: Any) -> dict[str, str | None]:
        """The states of the run's tasks, once no step goes on before others that have ended well.

        So it is when a person clears a step in the middle, and this task with it.
        """
        steps = self.binding.spec.steps
        said = False
        while True:
            states: dict[str, str | None] = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
            waited = [step.name for step in steps if states.get(step.key) not in FINAL_STATES]
            if not waited or not all(states.get(key) in ("success", "skipped") for key in self.upstream_task_ids):
                return states
            if not said:
                self.log.info("Waiting for %s", ", ".join(map(repr, waited)))
                said = True
            time.sleep(_POLL_SECONDS)
