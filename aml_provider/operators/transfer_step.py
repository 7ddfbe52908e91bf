"""A step that moves data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from aml_provider.operators.base import StepTask
from aml_provider.operators.stopping import Stoppable, Stopped
from aml_provider.runs.binding import PipelineBinding
from aml_provider.spec.models import Step

if TYPE_CHECKING:
    from airflow.sdk import Context

SUMMARY_XCOM = "transfer"


class TransferStepOperator(Stoppable, StepTask, BaseOperator):
    """Moves a step's input to where its output is to be, on the worker itself.

    :param step: the step.
    :param binding: its pipeline on this machine.
    """

    def __init__(self, *, step: Step, binding: PipelineBinding, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step = step
        self.binding = binding

    def execute(self, context: Context) -> None:
        """Move the data, and push where it is and a summary."""
        from aml_provider.execution.transferring import move_step

        with self.running(context) as run:
            number = context["ti"].try_number
            try:
                with self.stoppable():
                    moved = move_step(run, number, self.go, self.log.info)
            except Stopped:
                raise self.stopped(run, run.folder.attempt(number)) from None
        self.push(context, run, moved.outputs)
        context["ti"].xcom_push(SUMMARY_XCOM, moved.summary.as_dict())
