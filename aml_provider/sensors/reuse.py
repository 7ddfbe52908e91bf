"""Reuse in hand-written DAGs: a sensor before any task skips it when its result is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import conf
from airflow.sdk.bases.sensor import BaseSensorOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, DownstreamTasksSkipped

from aml_provider.execution.handwritten import DescribedTask
from aml_provider.runs.binding import step_run_id
from aml_provider.spec.errors import AmlError
from aml_provider.spec.names import CLAIM_XCOM

if TYPE_CHECKING:
    from airflow.sdk import Context

    from aml_provider.reuse.claims import Claim, Observer
    from aml_provider.runs.binding import StepRun

#: How long a task may take, by default, before another run may compute the same.
LEASE_SECONDS = 3600.0


class StepReuseSensor(DescribedTask, BaseSensorOperator):
    """Skips the tasks behind it when what they would compute is there, and waits while another run computes it.

    A :class:`~aml_provider.operators.record.StepRecordOperator` behind the task makes its result known. The sensor's
    XCom says in both cases where the outputs are: ``{name: {"datastore", "path", ...}}``. Tasks that go on with them
    need ``trigger_rule="none_failed"``, so that they run behind a skipped task. It cannot be mapped.

    The other parameters are those of :class:`~aml_provider.execution.handwritten.DescribedTask`.

    :param skips: ids of the tasks to skip, the recording one included; default: the recording task and all between it
        and the sensor, or without one all tasks directly behind the sensor.
    :param lease_seconds: how long the task may take before another run may compute the same.
    :param deferrable: wait without a worker slot; default: Airflow's ``[operators] default_deferrable``.
    """

    template_fields = ("code", "parameters", "inputs", "outputs", "image", "version")

    def __init__(
        self,
        *,
        step: str,
        outputs: Mapping[str, str],
        code: str | None = None,
        include: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        image: str | None = None,
        compute_target: str | None = None,
        version: str | None = None,
        workspace: str | None = None,
        skips: Sequence[str] | None = None,
        lease_seconds: float = LEASE_SECONDS,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        if self.mode == "reschedule":
            raise ValueError(
                f"{self.task_id}: mode='reschedule' cannot tell a run that is computing from one that died; use "
                "deferrable=True to wait without a worker slot"
            )
        self.step = step
        self.outputs = outputs
        self.code = code
        self.include = (include,) if isinstance(include, str) else include
        self.parameters = parameters or {}
        self.inputs = inputs or {}
        self.image = image
        self.compute_target = compute_target
        self.version = version
        self.workspace = workspace
        self.skips = skips
        self.lease_seconds = lease_seconds
        self.deferrable = deferrable
        self._skip = False
        self._claimed: dict[str, Any] | None = None
        self._observer: Observer | None = None
        self._stale: Claim | None = None
        self.check_types()
        if isinstance(skips, str):
            raise ValueError(f"{self.task_id}: skips={skips!r} is text; give a list of task ids")
        if isinstance(lease_seconds, bool) or not isinstance(lease_seconds, (int, float)) or lease_seconds <= 0:
            raise ValueError(f"{self.task_id}: lease_seconds={lease_seconds!r} is no number of seconds above 0")

    def execute(self, context: Context) -> Any:
        """Look for the result, wait for it, or claim it.

        :raises DownstreamTasksSkipped: it is there.
        """
        super().execute(context)
        return self._done(context)

    def resume_after_claim(self, context: Context, event: dict[str, Any]) -> Any:
        """Come back from waiting: look again."""
        from aml_provider.reuse.claims import Claim

        if event.get("claim"):
            self._stale = Claim.from_text(event["key"], event["claim"])
        return self.execute(context)

    def poke(self, context: Context) -> bool:
        """Whether it is decided what happens to the tasks behind the sensor."""
        from aml_provider.execution.described import Decided, decide

        ti = context["ti"]
        if ti.map_index is not None and ti.map_index >= 0:
            raise AirflowFailException(
                f"step {self.step!r}: its sensor {self.task_id!r} is mapped, and a skip is one of whole tasks; write a "
                "sensor for each step, in a loop"
            )
        self._check_skips()
        if self._observer is not None:
            if self._observer.look() == "held":
                return False
            self._stale, self._observer = self._observer.claim, None
        try:
            run = self.step_run(self.task_id, ti.dag_id, str(ti.run_id))
            outcome = decide(run, ti.try_number, self.lease_seconds, self._stale)
        except AmlError as e:
            raise AirflowFailException(str(e)) from None
        except OSError as e:
            where = f"{e.filename}: " if e.filename else ""
            raise AirflowException(f"step {self.step!r} cannot be looked up: {where}{e.strerror or e}") from None
        if isinstance(outcome, Decided):
            self._skip, self._places = outcome.reused, outcome.outputs
            self._claimed = None if outcome.claimed is None else _told(run, outcome.claimed)
            first, *more = outcome.why
            self.log.info("%s: %s: %s", self.step, "reused" if outcome.reused else "runs", first)
            for line in more:
                self.log.info("%s:   %s", self.step, line)
            return True
        self._check_owner(outcome, run)
        self.log.info("Run %s is computing the same; waiting for its result", outcome.pipeline_run_id or "of another")
        self._wait(outcome, run)
        return False

    def _check_skips(self) -> None:
        """Refuse to skip what could not be skipped: the task would run, though its result is reused."""
        behind = self.get_flat_relative_ids(upstream=False) if self.skips else set()
        for task in self.skips or ():
            if task not in behind:
                known = ", ".join(sorted(behind)) or "none"
                raise AirflowFailException(
                    f"step {self.step!r}: skips names {task!r}, which is no task behind {self.task_id!r}; these are: "
                    f"{known}"
                )

    def _check_owner(self, claim: Claim, run: StepRun) -> None:
        """Refuse to wait for a result that this run cannot have before the wait is over."""
        before = self.get_flat_relative_ids(upstream=True)
        tasks = self.dag.task_dict
        recorded = {getattr(tasks[task], "recorded_for", None) for task in before}
        for task in before - recorded:
            if claim.owner == step_run_id(run.dag_id, run.run_id, task):
                raise AirflowFailException(
                    f"step {self.step!r}: sensor {task!r}, which is before {self.task_id!r} in this run, has the same "
                    f"description, and its result is recorded later; put {self.task_id!r} behind the recording task of "
                    f"{task!r}, or describe what differs"
                )

    def _wait(self, claim: Claim, run: StepRun) -> None:
        from aml_provider.reuse.claims import Claims, Observer

        store = run.binding.store
        if self.deferrable:
            from aml_provider.triggers.claim import ClaimTrigger

            trigger = ClaimTrigger.at(store, claim.key, self.poke_interval)
            self.defer(trigger=trigger, method_name="resume_after_claim", timeout=timedelta(seconds=self.timeout))
        self._observer = Observer(Claims.of(store), claim.key)
        self._observer.look()

    def _done(self, context: Context) -> dict[str, Any]:
        if self._skip:
            context["ti"].xcom_push("return_value", self._places)
            raise DownstreamTasksSkipped(tasks=self._to_skip())  # type: ignore[no-untyped-call]
        if self._claimed is not None:
            # For who ends the claim when the run is ended from outside, and nothing behind this sensor runs any more.
            context["ti"].xcom_push(CLAIM_XCOM, self._claimed)
        return self._places

    def _to_skip(self) -> list[str]:
        if self.skips is not None:
            return list(self.skips)
        behind = self.get_flat_relative_ids(upstream=False)
        tasks = self.dag.task_dict
        recording = {t for t in behind if getattr(tasks[t], "recorded_for", None) == self.task_id}
        if not recording:
            return sorted(task.task_id for task in self.get_direct_relatives(upstream=False))
        before = set().union(*(tasks[t].get_flat_relative_ids(upstream=True) for t in recording))
        return sorted(recording | (behind & before))


def _told(run: StepRun, key: str) -> dict[str, Any]:
    """A claim as JSON."""
    from aml_provider.reuse.keeping import index_told

    return {"key": key, "owner": run.step_run_id, **index_told(run.binding.store)}
