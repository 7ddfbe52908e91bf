"""Making the result of a task of a hand-written DAG known for reuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from aml_provider.execution.handwritten import DescribedTask
from aml_provider.spec.errors import AmlError

if TYPE_CHECKING:
    from airflow.sdk import Context


class StepRecordOperator(DescribedTask, BaseOperator):
    """Records what the tasks before it have written, so that a later run's sensor can skip them.

    It also runs when they fail, to give back the claim that other runs wait for, and then fails itself.

    :param sensor: the :class:`~aml_provider.sensors.reuse.StepReuseSensor` before the tasks.
    """

    template_fields = ("code", "parameters", "inputs", "outputs", "image", "version")

    def __init__(self, *, sensor: Any, **kwargs: Any) -> None:
        super().__init__(trigger_rule="all_done", **kwargs)
        if not isinstance(sensor, DescribedTask):
            raise ValueError(f"{kwargs.get('task_id')}: sensor is {sensor!r}; give the StepReuseSensor itself")
        self.recorded_for: str = sensor.task_id
        for name in self.DESCRIPTION:
            setattr(self, name, getattr(sensor, name))

    def execute(self, context: Context) -> dict[str, Any]:
        """Record the outputs; they are this task's XCom, with their digests."""
        from aml_provider.execution.described import record
        from aml_provider.execution.reusing import release

        ti = context["ti"]
        try:
            run = self.step_run(self.recorded_for, ti.dag_id, str(ti.run_id))
            number = run.folder.latest
            try:
                self._check_tasks(ti, number)
                return record(run, number, ti.xcom_pull(task_ids=self.recorded_for) or {})
            finally:
                if number:
                    release(run, run.folder.attempt(number))
        except AmlError as e:
            raise AirflowFailException(str(e)) from None

    def _check_tasks(self, ti: Any, number: int) -> None:
        """Refuse to record anything unless the tasks have run after the sensor.

        :param number: the sensor's latest attempt that has decided; 0: none has.
        """
        tasks = sorted(self.upstream_task_ids - {self.recorded_for})
        # By their trigger rules, the last ones may have run though others have failed or are still at it.
        step = sorted({*tasks, *self._between()})
        states = {task: self._states(ti, task) for task in (*step, self.recorded_for)}
        bad = {(str(state), task) for task in step for state in states[task] - {"success", "skipped"}}
        if bad:
            # What has failed is the cause of the rest.
            state, task = min(bad, key=lambda one: (one[0] != "failed", one))
            raise AirflowFailException(f"nothing is recorded for step {self.step!r}: task {task!r} is {state}")
        for task in (self.recorded_for, *tasks):
            if "skipped" in states[task]:
                raise AirflowSkipException(f"nothing is recorded for step {self.step!r}: task {task!r} is skipped")
        if not tasks:
            raise AirflowFailException(
                f"nothing is recorded for step {self.step!r}: no task is between {self.recorded_for!r} and "
                f"{self.task_id!r}; put {self.task_id!r} behind the task that writes the outputs"
            )
        if not number:
            raise AirflowFailException(
                f"nothing is recorded for step {self.step!r}: its sensor {self.recorded_for!r} has not run"
            )

    def _between(self) -> set[str]:
        """The tasks that are behind the sensor and before this one: together they are the step."""
        behind: set[str] = self.dag.task_dict[self.recorded_for].get_flat_relative_ids(upstream=False)
        return behind & self.get_flat_relative_ids(upstream=True)

    def _states(self, ti: Any, task_id: str) -> set[str | None]:
        """The states of a task, which has several when it is mapped."""
        found = ti.get_task_states(dag_id=ti.dag_id, task_ids=[task_id], run_ids=[ti.run_id])
        return set(found.get(ti.run_id, {}).values())
