"""What all step operators share: from Airflow's context to a step run, and from our errors to Airflow's.

Airflow imports the operators' modules at every parse and again when each task starts, so what only a running step needs
is imported in the functions that run it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from aml_provider.links import STEP_LINKS, MLflowRunLink, mlflow_page
from aml_provider.operators.claiming import ClaimedTask, TakenOverError
from aml_provider.runs.binding import StepRun
from aml_provider.runs.embedded import CANCEL_FILE, EMBEDDED_VARIABLE
from aml_provider.runs.errors import (
    StepError,
    StepFailedError,
    StepInterruptedError,
    StepOutOfSightError,
    StepProblem,
)
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import Step, StoredOutput
from aml_provider.spec.names import HEAD_KEY, METRICS_XCOM, asset_name

if TYPE_CHECKING:
    from airflow.sdk import BaseOperatorLink, Context

    from aml_provider.execution.prepare import PreparedAttempt
    from aml_provider.reuse.claims import Lease
    from aml_provider.runs.layout import AttemptFolder


class StepTask(ClaimedTask):
    """Mixed into an Airflow operator: runs one step of a pipeline.

    Nothing of the step is a template field: an author's ``{{`` is his own, and values are resolved by the
    execution layer when the task starts.
    """

    operator_extra_links: Collection[BaseOperatorLink] = STEP_LINKS

    step: Step
    killed: bool = False
    _begun: float = 0.0

    if TYPE_CHECKING:
        task_id: str
        image: Any
        retries: int | None

    def step_run(self, context: Context) -> StepRun:
        """The step run that this task instance is."""
        ti = context["ti"]

        def outputs_of(key: str) -> Mapping[str, StoredOutput]:
            # A step that the head task skipped has pushed nothing itself.
            value = ti.xcom_pull(task_ids=key) or (ti.xcom_pull(task_ids=HEAD_KEY) or {}).get(key) or {}
            return {name: StoredOutput.model_validate(place) for name, place in value.items()}

        # Airflow's params hold everything in the run's conf, which may say more than values.
        parameters = {p.name: p.taken(context["params"].get(p.name, p.default)) for p in self.binding.spec.parameters}
        return StepRun(self.binding, self.step, ti.dag_id, str(ti.run_id), parameters, outputs_of)

    @contextmanager
    def running(self, context: Context) -> Iterator[StepRun]:
        """Around everything a step does: refuse to start after a failure, reuse, follow metrics, translate errors.

        :raises AirflowSkipException: an earlier result stands for the step's; it is pushed as the step's own would be.
        :raises TaskDeferred: another run is computing the same; the step goes on when that has ended.
        """
        from aml_provider.tracking.follower import Follower

        self._begun = time.time()
        self.taken_over = False
        run = self.step_run(context)
        self._stop_after_cancel()
        self._stop_after_failure(context)
        with self.translated_errors(run, context):
            lease = self._settle(run, context)
            try:
                with self.holding(lease), Follower(run.run_folder.path, self.binding.workspace.tracking_uri):
                    self._link(context)
                    yield run
            except TakenOverError:
                assert lease is not None
                self.wait_for(lease.claim.key)
            except StepOutOfSightError:
                # This try may have begun nothing: what shows that the step lives is an earlier one's.
                if latest := run.folder.latest:
                    self.lives_in(run, latest)
                raise

    def _link(self, context: Context) -> None:
        """Have the task's page show the MLflow run while the step runs; Airflow itself asks only at the end."""
        page = mlflow_page(self.binding, context["ti"], self.step.key)
        if page:
            context["ti"].xcom_push(MLflowRunLink().xcom_key, page)

    def _settle(self, run: StepRun, context: Context) -> Lease | None:
        """Look for an earlier result, or for somebody who is computing it; else claim the step."""
        from aml_provider.execution.reusing import Reused, Wait, settle
        from aml_provider.reuse.claims import Claim

        event = self._event or {}
        stale = Claim.from_text(event["key"], event["claim"]) if event.get("claim") else None
        outcome = settle(run, context["ti"].try_number, self._forced(run, context), stale, lambda: self.learn(run))
        if isinstance(outcome, Reused):
            self.abandon_earlier(run)
            self.push(context, run, outcome.decision.outputs)
            raise AirflowSkipException(f"reused: {outcome.decision.told}")
        if isinstance(outcome, Wait):
            claim = outcome.claim
            self.log.info("Run %s is computing the same; waiting for its result", claim.pipeline_run_id or "of another")
            self.abandon_earlier(run)
            self.wait_for(claim.key)
        assert not isinstance(outcome, Wait)
        self.go = replace(outcome, begun=self._begun)
        return outcome.lease

    def _forced(self, run: StepRun, context: Context) -> str | None:
        """Why the step runs whatever has been computed before, ``None``: it need not."""
        plan = run.run_folder.plan()
        if (plan.get("options") or {}).get("regenerate"):
            return "this run regenerates all outputs"
        if "result" in ((plan.get("steps") or {}).get(run.step.key) or {}):
            return "it was cleared, so it runs although there is an earlier result"
        # Airflow gives a task new tries when a person clears it. If the head task was cleared too, it has decided anew.
        if context["ti"].max_tries > (self.retries or 0) and run.folder.touched() > float(plan.get("decided") or 0):
            return "it was cleared, so it runs although there may be an earlier result"
        return None

    @property
    def image_to_start(self) -> Any:
        """The step's image, by its digest where that is known: what runs is what the fingerprint says."""
        fingerprint = self.go.fingerprint
        return fingerprint.image if fingerprint is not None and fingerprint.image else self.image

    def learn(self, run: StepRun) -> bool:
        """Find out what could not be known about the step's environment; whether that changed anything."""
        return False

    def abandon_earlier(self, run: StepRun) -> None:
        """Remove what earlier attempts left running: nobody needs it any more."""

    @contextmanager
    def translated_errors(self, run: StepRun, context: Context) -> Iterator[None]:
        """Turn our errors into Airflow's: what starting again may mend is retried, what it cannot is not.

        The step's result says what was wrong, for those who do not look into Airflow's log.
        """
        from aml_provider.execution.commit import record_problem

        number = context["ti"].try_number
        try:
            yield
        except StepInterruptedError as e:
            record_problem(run, number, e.sentence, final=False)
            raise AirflowException(str(e)) from None
        except StepFailedError as e:
            # Its result is written: it was judged by its report.
            if run.compute.settings.retry_failed_scripts:
                raise AirflowException(str(e)) from None
            raise AirflowFailException(str(e)) from None
        except AmlError as e:
            record_problem(run, number, e.sentence if isinstance(e, StepProblem) else str(e), final=True)
            raise AirflowFailException(str(e)) from None
        except (AirflowFailException, AirflowSkipException):
            raise
        except Exception as e:
            sentence = f"step {self.step.name!r} failed outside its script, {type(e).__name__}: {e}"
            record_problem(run, number, sentence, final=False)
            raise

    def _stop_after_cancel(self) -> None:
        """An embedded run goes through a list of tasks that it made before it was cancelled: none of them starts."""
        folder = os.environ.get(EMBEDDED_VARIABLE)
        if folder and os.path.exists(os.path.join(folder, CANCEL_FILE)):
            raise AirflowSkipException("not started: the run was cancelled")

    def _stop_after_failure(self, context: Context) -> None:
        """v1's ``continue_on_step_failure=False``: once a step failed, none that has not started is started."""
        if self.binding.spec.submit.continue_on_step_failure:
            return
        ti = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
        failed = sorted(k for k, state in states.items() if state == "failed" and k != ti.task_id)
        if failed:
            raise AirflowSkipException(
                f"not started: step {failed[0]!r} failed, and continue_on_step_failure is false for this pipeline"
            )

    def variables(self, run: StepRun, number: int, *, in_place: bool) -> dict[str, str]:
        """Environment variables by which a script's own ``mlflow`` calls land in the run of attempt ``number``."""
        from aml_provider.tracking.attempts import open_attempt
        from aml_provider.tracking.environment import mlflow_variables

        uri, folder = self.binding.workspace.tracking_uri, run.run_folder.path
        open_attempt(folder, self.step.key, number)
        return mlflow_variables(folder, self.step.key, uri, attempt=number, same_machine=in_place)

    def prepared_for_container(self, run: StepRun, context: Context, *, fetches: bool = False) -> PreparedAttempt:
        """Lay out the next attempt of a step that runs in a container of its image.

        :param fetches: the step's pod fetches by itself what is in object stores.
        :raises StepError: there is no image, or code or input data is missing.
        """
        from aml_provider.execution.prepare import prepare_attempt

        if not self.image:
            kind = run.compute.kind.value
            raise StepError(
                f"step {self.step.name!r}: no image. Compute target {run.compute.name!r} is of kind {kind}; "
                f"give it an image in the workspace file ({kind}: image:), or set environment.docker.base_image."
            )
        python = self.step.environment.python if self.step.environment else None
        named = python is not None and python.user_managed and python.interpreter != "python"
        return prepare_attempt(
            run,
            context["ti"].try_number,
            self.go,
            in_place=False,
            # Without a name, the launcher takes the Python that the image has.
            interpreter=python.interpreter if python is not None and named else "",
            variables=self.variables(run, context["ti"].try_number, in_place=False),
            fetches=fetches,
        )

    def push(self, context: Context, run: StepRun, outputs: Mapping[str, StoredOutput]) -> None:
        """Give downstream steps the outputs, and readers of the run its metrics."""
        ti = context["ti"]
        ti.xcom_push("return_value", {name: place.model_dump() for name, place in outputs.items()})
        result = run.folder.result() or {}
        if result.get("metrics"):
            ti.xcom_push(METRICS_XCOM, result["metrics"])
        self._tell_versions(context, result.get("registered") or {})

    def _tell_versions(self, context: Context, registered: Mapping[str, Any]) -> None:
        """Have the events of the datasets' assets say which version was made, and of what content."""
        names = {asset_name(self.binding.spec.workspace, dataset): dataset for dataset in registered}
        for outlet in context["task"].outlets:
            dataset = names.get(getattr(outlet, "name", ""))
            if dataset is not None:
                context["outlet_events"][outlet].extra = {"dataset": dataset, **registered[dataset]}

    def stopped(self, run: StepRun, attempt: AttemptFolder) -> AirflowException:
        """The error of a step that somebody stopped: marked, cleared or cancelled in Airflow."""
        from aml_provider.execution.commit import STOPPED, commit_failure

        commit_failure(run, attempt, attempt.report(), STOPPED, canceled=True)
        return AirflowFailException(f"step {self.step.name!r} was {STOPPED}")
