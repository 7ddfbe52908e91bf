"""The head task of a pipeline: opens the run and skips, in one go, every step whose result there is already."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink, BaseXCom
from airflow.sdk.bases.sensor import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped

from aml_provider.links import (
    RUN_LINKS,
    MLflowRunLink,
    OutputsLink,
    ReusedFromLink,
    mlflow_page,
    outputs_page,
    source_page,
)
from aml_provider.runs.binding import PipelineBinding
from aml_provider.spec.errors import AmlError
from aml_provider.spec.names import CLOSED_XCOM, END_KEY, RECORD_XCOM

if TYPE_CHECKING:
    from airflow.sdk import Context

    from aml_provider.execution.lifecycle import Ending
    from aml_provider.reuse.plan import Options, Plan

# As `nice` has it: from -20 to 19.
_LAZY = 15


class PipelineReuseSensor(BaseSensorOperator):
    """Writes the run's record, decides about every step, and skips those that are reused by one call.

    Its XCom has the outputs of the skipped steps, ``{step key: {output: place}}``. When nothing is left to run, it
    closes the run as well and skips the closing task, so that a fully cached run is one task. MLflow is told after the
    task's success, in the seconds that Airflow leaves it then (``[core] task_success_overtime``).

    :param binding: the pipeline on this machine.
    """

    operator_extra_links = RUN_LINKS

    def __init__(self, *, binding: PipelineBinding, **kwargs: Any) -> None:
        # Called when Airflow knows that the task has succeeded: no run lasts longer for what MLflow needs.
        super().__init__(on_success_callback=_succeeded, **kwargs)
        self.binding = binding
        self.ending: Ending | None = None
        #: The steps that were skipped because they are reused.
        self.skipped: list[str] = []

    def poke(self, context: Context) -> PokeReturnValue:
        """Decide; there is nothing to wait for, because a step itself waits for whoever is computing it."""
        from aml_provider.execution.lifecycle import begin_run

        ti = context["ti"]
        self._refuse_unknown(context["dag_run"].conf or {})
        try:
            begun = begin_run(
                self.binding, ti.dag_id, str(ti.run_id), self._parameters(context), self._options(context["params"])
            )
        except AmlError as e:
            raise AirflowFailException(str(e)) from None
        except OSError as e:
            store = self.binding.store
            raise AirflowFailException(
                f"the run's records cannot be written: {e.filename or store.root}: {e.strerror}. They are kept in the "
                f"default datastore {store.datastore!r}: make room in it, check the rights of its folder, or name "
                "another as default_datastore in the workspace file."
            ) from None
        self._tell(begun.plan)
        return PokeReturnValue(True, begun.skipped)

    def execute(self, context: Context) -> None:
        """Decide, give the outputs of reused steps to the others, and skip.

        :raises DownstreamTasksSkipped: there are steps to skip.
        """
        ti = context["ti"]
        ti.xcom_push(RECORD_XCOM, self._record(ti))
        skipped: dict[str, Mapping[str, Any]] = super().execute(context)
        self.skipped = list(skipped)
        ti.xcom_push("return_value", skipped)
        tasks = list(skipped)
        if len(skipped) == len(self.binding.spec.steps):
            from aml_provider.execution.lifecycle import record_end

            self.ending = record_end(self.binding, ti.dag_id, str(ti.run_id), dict.fromkeys(skipped, "skipped"))
            tasks.append(END_KEY)
        else:
            from aml_provider.tracking.recorder import open_run

            open_run(self.binding.store.run(ti.dag_id, str(ti.run_id)).path, self.binding.workspace.tracking_uri)
            pools = sorted({self.binding.compute_of(step).pool for step in self.binding.spec.steps})
            self.log.info("The steps wait for Airflow pools: %s. `aml pools` creates missing ones", ", ".join(pools))
        if tasks:
            raise DownstreamTasksSkipped(tasks=tasks)  # type: ignore[no-untyped-call]

    def _record(self, ti: Any) -> dict[str, Any]:
        """What closes the run from outside, see :mod:`aml_provider.plugin.closing`. It is no place for credentials."""
        workspace, spec = self.binding.workspace, self.binding.spec
        uri = workspace.tracking_uri
        server = uri if uri.startswith(("http://", "https://")) and "@" not in uri else None
        folder = self.binding.store.run(ti.dag_id, str(ti.run_id)).path
        return {"folder": str(folder), "server": server, "experiment": spec.submit.experiment}

    def _parameters(self, context: Context) -> dict[str, Any]:
        return {p.name: p.taken(context["params"].get(p.name, p.default)) for p in self.binding.spec.parameters}

    def _options(self, params: Mapping[str, Any]) -> Options:
        from aml_provider.reuse.plan import Options

        asked = {name: params.get(name) for name in self.binding.spec.run_options}
        return Options(bool(asked.get("regenerate_outputs")), tuple(asked.get("assume_unchanged") or ()))

    def _refuse_unknown(self, conf: Mapping[str, Any]) -> None:
        known = [p.name for p in self.binding.spec.parameters]
        options = list(self.binding.spec.run_options)
        unknown = sorted(set(conf) - set(known) - set(options))
        if unknown:
            raise AirflowFailException(
                f"unknown pipeline parameter {unknown[0]!r} in the run's conf; this pipeline has "
                f"{', '.join(known) if known else 'no parameters'}, and every run takes {' and '.join(options)}"
            )

    def _tell(self, plan: Plan) -> None:
        from aml_provider.reuse.decisions import told

        # A line for each step of a wide pipeline takes longer than the plan.
        for alike in plan.alike:
            names = ", ".join(decision.step.name for decision in alike)
            self.log.info("%s: %s: %s", names, alike[0].verdict.value, told(alike))
        for decision in plan.decisions.values():
            for note in decision.notes:
                self.log.warning("%s: %s", decision.step.name, note)
        self.log.info("%s", plan.summary)


def _succeeded(context: Context) -> None:
    """What no run waits for: links of reused steps, and MLflow's part of a run that was reused as a whole."""
    from aml_provider.execution.lifecycle import close_records
    from aml_provider.tracking.reused import MAX_RUNS

    ti = context["ti"]
    head = ti.task
    if not isinstance(head, PipelineReuseSensor):
        return
    linked = head.skipped if len(head.skipped) <= MAX_RUNS else []
    _push_links(ti, head, linked, OutputsLink(), outputs_page)
    _push_links(ti, head, linked, ReusedFromLink(), source_page)
    ending = head.ending
    if ending is not None:
        # Of any other run, the closing task tells MLflow.
        _give_way(lambda: close_records(head.binding, ti.dag_id, str(ti.run_id), ending))
    _push_links(ti, head, linked, MLflowRunLink(), mlflow_page)
    if ending is not None:
        # Airflow may have ended this process before, for taking too long: then the plugin has the run closed.
        ti.xcom_push(CLOSED_XCOM, ending.state)
        # Airflow has asked for this before there was one.
        ti.xcom_push(MLflowRunLink().xcom_key, mlflow_page(head.binding, ti, None))


def _push_links(
    ti: Any,
    head: PipelineReuseSensor,
    keys: list[str],
    link: BaseOperatorLink,
    page: Callable[[PipelineBinding, Any, str], str],
) -> None:
    """Give skipped steps their links: no task of theirs runs that could."""
    for key in keys:
        address = page(head.binding, ti, key)
        if address:
            BaseXCom.set(link.xcom_key, address, dag_id=ti.dag_id, task_id=key, run_id=str(ti.run_id))


def _give_way(work: Callable[[], object]) -> None:
    """Do something that nobody waits for, after all who need the processor now: the scheduler is ending the run."""

    def lazily() -> None:
        # On Linux this is of the thread alone, and so of nothing that the process does afterwards.
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LAZY)
        work()

    thread = threading.Thread(target=lazily, name="aml-close")
    thread.start()
    thread.join()
