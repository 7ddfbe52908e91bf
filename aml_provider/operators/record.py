"""Making the result of a task of a hand-written DAG known for reuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from aml_provider.execution.handwritten import DescribedTask
from aml_provider.spec.errors import AmlError

if TYPE_CHECKING:
    from airflow.sdk import Context


class StepRecordOperator(DescribedTask, BaseOperator):
    """Records what the tasks before it have written, so that a later run's sensor can skip them.

    It also runs when they fail, to let go of the claim that other runs wait for, and then fails itself.

    :param sensor: the :class:`~aml_provider.sensors.reuse.StepReuseSensor` before the tasks.
    """

    template_fields = ("code", "parameters", "inputs", "outputs", "image", "version")

    def __init__(self, *, sensor: Any, **kwargs: Any) -> None:
        super().__init__(trigger_rule="all_done", **kwargs)
        self.recorded_for: str = sensor.task_id
        for name in self.DESCRIPTION:
            setattr(self, name, getattr(sensor, name))

    def execute(self, context: Context) -> dict[str, Any]:
        """Record the outputs; they are this task's XCom, with their digests."""
        from aml_provider.execution.described import record, release

        ti = context["ti"]
        states = ti.get_task_states(
            dag_id=ti.dag_id, task_ids=sorted({*self.upstream_task_ids, self.recorded_for}), run_ids=[ti.run_id]
        ).get(ti.run_id, {})
        try:
            run = self.step_run(ti.dag_id, str(ti.run_id))
            number = run.folder.latest
            failed = sorted(task for task in self.upstream_task_ids if states.get(task) != "success")
            if failed:
                if number:
                    release(run, run.folder.attempt(number))
                raise AirflowFailException(
                    f"nothing is recorded for step {self.step!r}: task {failed[0]!r} is {states.get(failed[0])}"
                )
            if not number:
                raise AirflowFailException(
                    f"nothing is recorded for step {self.step!r}: its sensor {self.recorded_for!r} has not run"
                )
            return record(run, number)
        except AmlError as e:
            raise AirflowFailException(str(e)) from None
