"""The head and the closing task of a pipeline run: its record is opened and, however the steps end, closed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from aml_provider.runs.binding import PipelineBinding, StepRun, pipeline_run_id, step_run_id
from aml_provider.runs.layout import write_json
from aml_provider.spec.errors import AmlError

if TYPE_CHECKING:
    from airflow.sdk import Context


class PipelineStartOperator(BaseOperator):
    """Checks the run's parameters, writes its record and opens its MLflow runs.

    :param binding: the pipeline on this machine.
    """

    def __init__(self, *, binding: PipelineBinding, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.binding = binding

    def execute(self, context: Context) -> None:
        """Open the run."""
        from aml_provider.tracking.recorder import open_run

        ti, spec = context["ti"], self.binding.spec
        dag_id, run_id = ti.dag_id, str(ti.run_id)
        self._refuse_unknown(context["dag_run"].conf or {})
        folder = self.binding.store.run(dag_id, run_id).path
        try:
            write_json(
                folder / "run.json",
                {
                    "dag_id": dag_id,
                    "run_id": run_id,
                    "pipeline_run_id": pipeline_run_id(dag_id, run_id),
                    "experiment": spec.submit.experiment,
                    "workspace": self.binding.workspace.name,
                    "parameters": dict(context["params"]),
                    "tags": dict(spec.submit.tags),
                    "steps": [
                        {"task_id": s.key, "name": s.name, "step_run_id": step_run_id(dag_id, run_id, s.key)}
                        for s in spec.steps
                    ],
                    "started": time.time(),
                },
            )
            open_run(folder, self.binding.workspace.tracking_uri)
            pools = sorted({self.binding.compute_of(step).pool for step in spec.steps})
            self.log.info("The steps wait for Airflow pools: %s. `aml pools` creates missing ones", ", ".join(pools))
        except AmlError as e:
            raise AirflowFailException(str(e)) from None
        except OSError as e:
            raise AirflowFailException(
                f"the run's records cannot be written: {e.filename or folder}: {e.strerror}. They are kept in the "
                f"default datastore {self.binding.store.datastore!r}: make room in it, check the rights of its "
                "folder, or name another as default_datastore in the workspace file."
            ) from None

    def _refuse_unknown(self, conf: dict[str, Any]) -> None:
        known = [p.name for p in self.binding.spec.parameters]
        unknown = sorted(set(conf) - set(known))
        if unknown:
            raise AirflowFailException(
                f"unknown pipeline parameter {unknown[0]!r} in the run's conf; this pipeline has "
                f"{', '.join(known) if known else 'no parameters'}"
            )


class PipelineEndOperator(BaseOperator):
    """Ends the run's record: whatever the steps did, none of its MLflow runs stays open.

    :param binding: the pipeline on this machine.
    """

    def __init__(self, *, binding: PipelineBinding, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.binding = binding

    def execute(self, context: Context) -> None:
        """Close the run with the states Airflow has for the steps."""
        from aml_provider.tracking.recorder import close_run

        ti = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        steps = {s.key: states.get(s.key) or "removed" for s in self.binding.spec.steps}
        failed = [key for key, state in steps.items() if state == "failed"]
        missing = [key for key, state in steps.items() if state != "success"]
        folder = self.binding.store.run(ti.dag_id, str(ti.run_id)).path
        if folder.is_dir():
            state = "Failed" if failed else "Canceled" if missing else "Finished"
            write_json(folder / "end.json", {"state": state, "ended": time.time(), "steps": steps})
            close_run(folder, state, steps)
            self._discard(ti.dag_id, str(ti.run_id))
        # Airflow takes a run whose last steps were skipped for a success; this task's own failure corrects that.
        if failed:
            raise AirflowFailException(f"the pipeline failed: step {failed[0]!r} failed")
        if missing:
            raise AirflowFailException(f"the pipeline did not finish: step {missing[0]!r} was not run")

    def _discard(self, dag_id: str, run_id: str) -> None:
        """Remove what steps staged whose own workers had no time for it: killed, or stopped while deferred."""
        from aml_provider.execution.prepare import discard_attempts

        for step in self.binding.spec.steps:
            try:
                discard_attempts(StepRun(self.binding, step, dag_id, run_id, {}, lambda _: {}))
            except (AmlError, OSError) as e:
                self.log.warning("What step %r had staged could not be removed: %s", step.name, e)
