"""Bringing one step's MLflow run up to date with the step's folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aml_provider.runs.layout import RunFolder, run_kind

from . import names
from .attempts import end_of, is_unused, next_run
from .client import patient
from .data import log_inputs, log_outputs
from .details import log_usage, params_of, tags_of, upload_code, upload_log, usage_of
from .hiding import Hiding
from .journal import metrics_of, read_events
from .ledger import Ledger, StepLedger, read_json
from .models import register_event
from .projection import Projection, log_params, set_tags, tolerant
from .reused import recorded_events, reuse_tags
from .sending import JOURNAL, send_journal, send_outside

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Our states, v1's and Airflow's, as MLflow's. A step that did not run was, for MLflow, killed.
_STATUS = {
    "finished": "FINISHED",
    "completed": "FINISHED",
    "success": "FINISHED",
    "failed": "FAILED",
    "upstream_failed": "KILLED",
    "canceled": "KILLED",
    "skipped": "KILLED",
    "removed": "KILLED",
    "killed": "KILLED",
}


def mlflow_status(state: str) -> str | None:
    """MLflow's word for a final state; ``None`` when the state is not final."""
    return _STATUS.get(state.lower())


@dataclass
class StepProjector:
    """Everything there is to do for one step; repeating it is safe at every point.

    :param folder: ``steps/<task_id>`` of the run folder.
    :param save: keeps the ledger; called after each thing that MLflow has accepted.
    """

    client: MlflowClient
    run_folder: Path
    ledger: Ledger
    step: StepLedger
    folder: Path

    def update(self, final_state: str | None) -> None:
        """Send what is new; end the run when the step has ended.

        :param final_state: the step's state where somebody else knows it, such as Airflow's for a task that was
            marked; else the step's own result decides.
        """
        attempts = self._attempts()
        result = self._result(attempts[-1] if attempts else 0)
        if attempts and (result or {}).get("reused") and not self._finished(attempts[-1]):
            # They came to nothing, and the try after them has found an earlier result.
            attempts.append(attempts[-1] + 1)
        self.turn_over(attempts)
        self._send_outside()
        latest = attempts[-1] if attempts else 0
        status = self._final_status(result, final_state)
        if status is None and attempts and self.step.done == latest:
            # Airflow has said how this attempt ended. The worker that was stopped, looking a last time, knows less.
            return
        ended = latest if status is not None else None
        if ended is not None and self.step.done == ended and self.step.status == status:
            return
        if attempts:
            self._start(latest, running=status is None)
            self._send_journal(latest)
        if status is not None:
            self._end(latest, status, result, final_state)

    def _finished(self, attempt: int) -> bool:
        return self.step.done == attempt and self.step.status == "FINISHED"

    def turn_over(self, attempts: list[int]) -> None:
        """Give an attempt that is not the step's first a run of its own; the run of the one before ends as it did."""
        for attempt in attempts:
            before = self.step.attempt
            if is_unused(self.step):
                self.step.attempt = attempt
            elif attempt > (before or 0):
                if before is not None and self.step.done != before:
                    result = end_of(self.run_folder, self.folder.name, before)
                    self._start(before, running=False)
                    self._send_journal(before)
                    self._end(before, mlflow_status(result["state"]) or "FAILED", result, None)
                next_run(self.client, self.run_folder, self.ledger, self.step, self.folder.name, attempt)

    def _attempts(self) -> list[int]:
        return [attempt.number for attempt in RunFolder(self.run_folder).step(self.folder.name).attempts()]

    def _result(self, latest: int) -> dict[str, Any] | None:
        """The committed result, unless a later attempt is under way (the step was cleared or retried)."""
        result = RunFolder(self.run_folder).result(self.folder.name)
        return None if result is None or int(result.get("attempt") or 0) < latest else result

    def _final_status(self, result: dict[str, Any] | None, final_state: str | None) -> str | None:
        own = None if result is None else mlflow_status(str(result.get("state")))
        given = None if final_state is None else mlflow_status(final_state)
        if final_state is not None and final_state.lower() == "skipped" and own == "FINISHED":
            return own  # skipped because its result is there already
        if given == "FAILED" and own == "KILLED":
            return own  # somebody stopped it, for which Airflow has no other word
        return given or own

    def _attempt_folder(self, attempt: int) -> Path:
        return self.folder / "attempts" / str(attempt)

    def _start(self, attempt: int, running: bool) -> None:
        if not self.step.described:
            self._describe(attempt)
        if running and self.step.status != "RUNNING":
            self.client.update_run(self.step.run_id, status="RUNNING")
            self.step.status = "RUNNING"
            if self.ledger.status != "RUNNING" and self.ledger.parent is not None:
                # A step of a run that was over has been cleared.
                self.client.update_run(self.ledger.parent, status="RUNNING")
                self.ledger.status = "RUNNING"
            self._save()

    def _describe(self, attempt: int) -> None:
        """Parameters, the command line, where it runs and what it reads."""
        job, facts = read_json(self._attempt_folder(attempt) / "job.json"), self._facts(attempt)
        if job is None:
            return
        run_id, record = self.step.run_id, self._record
        with tolerant(f"parameters of step {self.folder.name!r}"):
            log_params(self.client, run_id, params_of(job, facts, Hiding.of(self.run_folder, record)))
        if facts is not None:
            set_tags(self.client, run_id, tags_of(facts, record))
            log_inputs(self.client, run_id, facts["inputs"])
        self.step.described = True
        self._save()

    def _facts(self, attempt: int) -> dict[str, Any] | None:
        return read_json(self._attempt_folder(attempt) / "facts.json")

    @cached_property
    def _record(self) -> dict[str, Any]:
        return read_json(self.run_folder / "run.json") or {}

    def _send_journal(self, attempt: int) -> None:
        where = f"step {self.folder.name!r}, attempt {attempt}"
        journal = self._attempt_folder(attempt) / JOURNAL
        send_journal(self.client, self.run_folder, self.ledger, self.step, journal, str(attempt), where)

    def _send_outside(self) -> None:
        """What programs reported through the step's handle, which may come long after the step's end."""
        send_outside(self.client, self.run_folder, self.ledger, self.step, self.folder, f"step {self.folder.name!r}")

    # --- the end --------------------------------------------------------------------------------------------

    def _end(self, attempt: int, status: str, result: dict[str, Any] | None, final_state: str | None) -> None:
        run_id = self.step.run_id
        if attempt and self.step.uploaded != attempt:
            self._upload(attempt)
            self.step.uploaded = attempt
            self._save()
        if attempt and status == "FINISHED":
            self._register_models(attempt)
        tags = {"aml.state": final_state or str((result or {}).get("state")), "aml.attempt": str(attempt)}
        hiding = Hiding.of(self.run_folder, self._record)
        for part in ("exit_code", "error", "seconds"):
            if result is not None and result.get(part) is not None:
                tags[f"aml.{part}"] = names.text(hiding.text(result[part]), names.MAX_TAG)
        reused = (result or {}).get("reused")
        if result is not None and reused:
            tags |= reuse_tags(reused)
            self._send_recorded(result.get("metrics") or {})
        outputs = (result or {}).get("outputs") or {}
        for name, place in outputs.items():
            tags[names.key(f"aml.output.{name}")] = names.text(f"{place['datastore']}:{place['path']}", names.MAX_TAG)
        set_tags(self.client, run_id, tags)
        log_outputs(self.client, run_id, outputs)
        ended = (result or {}).get("ended")
        if attempt and not reused:
            report = read_json(self._attempt_folder(attempt) / "report.json")
            usage = usage_of(report, self._facts(attempt), result or {})
            log_usage(self.client, run_id, usage, float(ended or (report or {}).get("ended") or time.time()))
        self.client.set_terminated(run_id, status, int(float(ended) * 1000) if ended else None)
        self.step.status, self.step.done = status, attempt
        self._save()

    def _send_recorded(self, metrics: dict[str, Any]) -> None:
        """The metrics of the earlier run, whose journal may be gone."""
        Projection(self.client, self.ledger, self.step).send(
            recorded_events(metrics), f"metrics of reused step {self.folder.name!r}"
        )
        if metrics:
            self.client.log_dict(self.step.run_id, metrics, "metrics.json")

    def _upload(self, attempt: int) -> None:
        folder, run_id = self._attempt_folder(attempt), self.step.run_id
        if (folder / "artifacts").is_dir():
            with patient():
                self.client.log_artifacts(run_id, str(folder / "artifacts"))
        if (folder / "logs" / "std_log.txt").is_file():
            upload_log(self.client, run_id, folder / "logs" / "std_log.txt", Hiding.of(self.run_folder, self._record))
        facts = self._facts(attempt)
        if facts is not None:
            upload_code(self.client, run_id, folder, facts)
        metrics = metrics_of(read_events(folder / JOURNAL))
        if metrics:
            self.client.log_dict(run_id, metrics, "metrics.json")

    def _register_models(self, attempt: int) -> None:
        """Register what the script wanted registered; a step that failed has no model to show."""
        for event in read_events(self._attempt_folder(attempt) / JOURNAL):
            if event["type"] == "model":
                with tolerant(f"model {event.get('name')!r} of step {self.folder.name!r}"):
                    identity = f"{attempt}:{event.get('seq')}:{event.get('time')}"
                    register_event(self.client, self.step.run_id, event, identity, run_kind(self._record))

    def _save(self) -> None:
        self.ledger.save(self.run_folder)
