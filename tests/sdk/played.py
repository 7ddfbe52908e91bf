"""A run whose course is given, for what is about handles and not about running."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from aml_provider.sdk.backend import OutputInfo, RunKind, RunState, StepInfo
from aml_provider.spec.models import PipelineSpec


class InMemory:
    """Reports of a run whose course is given."""

    def __init__(self, run: Played, key: str | None) -> None:
        self._run, self._key = run, key
        self._events: list[dict[str, Any]] = []

    def append(self, event: dict[str, Any]) -> None:
        self._events.append(event)

    def events(self) -> Iterator[dict[str, Any]]:
        if self._key is None or self._run.kind is RunKind.SCRIPT:
            for name, value in self._run._spec.submit.tags.items():
                yield {"type": "tag", "key": name, "value": value, "child": None}
        for step in self._run.steps():
            if step.key == self._key:
                for name, value in step.metrics.items():
                    yield {"type": "metric", "kind": "scalar", "name": name, "value": value, "child": None}
        yield from self._events

    def in_mlflow(self) -> dict[str, Any]:
        return {}


class Played:
    """A run whose course is given: each look at it is the next scene; the last one stays."""

    def __init__(self, spec: PipelineSpec, failing: str | None = None) -> None:
        self.dag_id, self.run_id, self.pipeline_run_id, self.portal_url = "exp", "run_1", f"id-{id(self)}", None
        self.error: str | None = None
        self._spec = spec
        self._reports: dict[str | None, InMemory] = {}
        self._scenes = self._play(spec, failing)
        self._steps: list[StepInfo] = []
        self._state = RunState.NOT_STARTED
        self.canceled = False
        self._next()

    def _play(self, spec: PipelineSpec, failing: str | None) -> Iterator[tuple[RunState, list[StepInfo]]]:
        steps = [StepInfo(s.key, s.name, f"run-of-{s.key}", RunState.NOT_STARTED) for s in spec.steps]
        yield RunState.RUNNING, steps
        for i, step in enumerate(spec.steps):
            steps = list(steps)
            steps[i] = dataclasses.replace(steps[i], state=RunState.RUNNING, started=100.0 + i)
            yield RunState.RUNNING, steps
            steps = list(steps)
            if step.key == failing:
                error = "the script ended with exit code 3"
                steps[i] = dataclasses.replace(steps[i], state=RunState.FAILED, ended=101.5 + i, error=error)
                break
            outputs = {o.name: OutputInfo(o.datastore, f"azureml/{step.key}/{o.name}") for o in step.outputs}
            steps[i] = dataclasses.replace(
                steps[i], state=RunState.FINISHED, ended=101.5 + i, outputs=outputs, metrics={"accuracy": 0.97}
            )
        yield RunState.FAILED if failing else RunState.FINISHED, steps

    def _next(self) -> None:
        self._state, self._steps = next(self._scenes, (self._state, self._steps))

    def state(self) -> RunState:
        return RunState.CANCELED if self.canceled else self._state

    def steps(self) -> list[StepInfo]:
        return self._steps

    @property
    def kind(self) -> RunKind:
        return RunKind.SCRIPT if self._spec.submit.script else RunKind.PIPELINE

    def reports(self, step_key: str | None) -> InMemory:
        return self._reports.setdefault(step_key, InMemory(self, step_key))

    def parameters(self) -> dict[str, Any]:
        return {}

    def span(self) -> tuple[float | None, float | None]:
        return 100.0, 102.5

    def new_log(self, step_key: str, seen: int) -> tuple[str, int]:
        text = self.log(step_key)
        return text[seen:], len(text)

    def log(self, step_key: str) -> str:
        return "".join(f"line {n} of {step_key}\n" for n in range(1, 31))

    def cancel(self) -> None:
        self.canceled = True

    def wait(self, timeout_seconds: float | None) -> RunState:
        while True:
            self._next()
            if timeout_seconds is not None or self.state().is_final:
                return self.state()
