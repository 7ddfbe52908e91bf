"""A step as a process on the worker."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from aml_provider.operators.base import StepTask
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.spec.models import Step

if TYPE_CHECKING:
    from airflow.providers.standard.hooks.subprocess import SubprocessHook
    from airflow.sdk import Context

    from aml_provider.reuse.locks import EnvironmentLocks

# The step gets the worker's environment without what tells Airflow's own secrets and settings.
HIDDEN_PREFIXES = ("AIRFLOW", "_AIRFLOW")
HIDDEN_NAMES = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}


class LocalStepOperator(StepTask, BaseOperator):
    """Runs a step on the worker itself, in a virtual environment made from the step's Environment.

    The process ends with the worker: nothing is left running that nobody follows.

    :param step: the step.
    :param binding: its pipeline on this machine.
    """

    def __init__(self, *, step: Step, binding: PipelineBinding, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.step = step
        self.binding = binding

    @cached_property
    def hook(self) -> SubprocessHook:
        """What starts the step's process; only a task that runs needs it."""
        from airflow.providers.standard.hooks.subprocess import SubprocessHook

        return SubprocessHook()

    def execute(self, context: Context) -> None:
        """Run the step and push its outputs."""
        from aml_provider.execution.environments import interpreter_for
        from aml_provider.execution.outcome import conclude
        from aml_provider.execution.prepare import prepare_attempt
        from aml_provider.reuse.locks import EnvironmentLocks

        with self.running(context) as run:
            locks = EnvironmentLocks.of(self.binding)
            folder = self.binding.workspace.state / "environments"
            with interpreter_for(self.step.environment, locks, folder, self.log.info) as interpreter:
                self._check_fingerprint(locks)
                prepared = prepare_attempt(
                    run,
                    context["ti"].try_number,
                    self.go,
                    in_place=True,
                    interpreter=interpreter,
                    variables=self.variables(run, context["ti"].try_number, in_place=True),
                )
                environment = {
                    name: value
                    for name, value in os.environ.items()
                    if name not in HIDDEN_NAMES and not name.startswith(HIDDEN_PREFIXES)
                }
                environment |= prepared.environment | {"AML_DIE_WITH_PARENT": "1"}
                self.check_still_ours(run, prepared.folder)
                done = self.hook.run_command(list(prepared.command), env=environment, cwd=str(prepared.folder.code))
            if self.killed:
                raise self.stopped(run, prepared.folder)
            self.check_still_ours(run, prepared.folder)
            outputs = conclude(run, prepared.folder, f"its process ended with exit code {done.exit_code}")
        self.push(context, run, outputs)

    def learn(self, run: StepRun) -> bool:
        """Resolve the packages of the step's environment if nobody has; whether that was so."""
        from aml_provider.execution.environments import resolve
        from aml_provider.reuse.locks import EnvironmentLocks

        if run.compute.settings.reuse_as is not None:
            return False
        return resolve(self.step.environment, EnvironmentLocks.of(self.binding), self.log.info)

    def _check_fingerprint(self, locks: EnvironmentLocks) -> None:
        """Keep no result under a fingerprint that speaks of other packages than the step has got."""
        from aml_provider.execution.environments import is_as_fingerprinted
        from aml_provider.storage.digest_cache import DigestCache

        fingerprint = self.go.fingerprint
        if fingerprint is None:
            return
        with DigestCache(self.binding.digest_cache) as cache:
            same = is_as_fingerprinted(fingerprint, self.step.environment, locks, cache)
        if not same:
            self.log.warning(
                "the environment of step %r has just been changed, so its result will not be reused", self.step.name
            )
            self.go = replace(self.go, fingerprint=None, unrecorded="its environment was changed when it began")

    def on_kill(self) -> None:
        """Stop the step: the task was marked, cleared or cancelled."""
        self.killed = True
        self.stop_computing()

    def stop_computing(self) -> None:
        """Stop the step's process; the runtime passes the signal on and kills what does not end."""
        process = self.hook.sub_process
        if process is not None and process.poll() is None:
            self.hook.send_sigterm()  # type: ignore[no-untyped-call]
