"""What a terminal shows while a run is followed: a line for each change, a table at the end."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from aml_provider.sdk.backend import RunBackend, RunKind, RunState, StepInfo

LOG_LINES = 20
#: How often the run is looked at, in seconds.
INTERVAL = 0.5
_WORD = {RunKind.PIPELINE: "Pipeline run", RunKind.SCRIPT: "Run", RunKind.INTERACTIVE: "Run"}


def follow(backend: RunBackend, show: bool = True, timeout_seconds: float | None = None) -> RunState:
    """Wait until the run is final, or the time is over; the state then.

    :param show: print a line for each step whose state changes, what the steps print, and a table at the end.
    """
    end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    shown = Shown(backend)
    if show:
        print(f"{_WORD[backend.kind]} {backend.pipeline_run_id}", flush=True)
        if backend.portal_url:
            print(f"Link: {backend.portal_url}", flush=True)
    while True:
        left = None if end is None else max(end - time.monotonic(), 0.0)
        if show:
            state = backend.wait(INTERVAL if left is None else min(INTERVAL, left))
            shown.update()
        else:
            state = backend.wait(left)
        if state.is_final or (left is not None and left <= 0):
            break
    if show and state.is_final:
        table(backend, state, sys.stdout)
    return state


class Shown:
    """What a terminal has been shown of a run's steps: their states, and what they print."""

    def __init__(self, backend: RunBackend) -> None:
        self._backend = backend
        self._states: dict[str, RunState] = {}
        self._seen: dict[str, int] = {}

    def update(self) -> None:
        """Print what is new."""
        for step in self._backend.steps():
            before = self._states.get(step.key, RunState.NOT_STARTED)
            changed = step.state is not before
            self._states[step.key] = step.state
            if changed and not step.state.is_final:
                print(f"  {step.name}: {step.state.value}", flush=True)
            if step.reused is None and (step.state is RunState.RUNNING or (changed and step.state.is_final)):
                self._print_log(step)
            if changed and step.state.is_final:
                print(f"  {step.name}: {step.state.value}{_after(step)}", flush=True)

    def _print_log(self, step: StepInfo) -> None:
        """What the step printed; of several steps, each line says whose it is."""
        mark = "" if self._backend.kind is RunKind.SCRIPT else f"  {step.name} | "
        while True:
            text, seen = self._backend.new_log(step.key, self._seen.get(step.key, 0))
            if seen == self._seen.get(step.key, 0):
                return
            self._seen[step.key] = seen
            for line in text.splitlines():
                print(f"{mark}{line}", flush=True)


def _after(step: StepInfo) -> str:
    if step.reused is not None:
        return f", reused from run {step.reused.pipeline_run_id}: {step.reused.reason}"
    return "" if step.seconds is None or not step.state.is_final else f" after {step.seconds:.1f} s"


def table(backend: RunBackend, state: RunState, out: TextIO) -> None:
    """Print every step with its state, its seconds, what reuse saved and its metrics."""
    steps = backend.steps()
    width = max([len("step"), *(len(step.name) for step in steps)])
    print(f"\n  {'step':<{width}}  {'state':<10}  {'seconds':>8}  {'saved':>8}  metrics", file=out)
    for step in steps:
        how, seconds, saved = step.state.value, "" if step.seconds is None else f"{step.seconds:.1f}", ""
        if step.reused is not None:
            how, seconds, saved = "Reused", "", f"{step.reused.seconds:.1f}"
        print(f"  {step.name:<{width}}  {how:<10}  {seconds:>8}  {saved:>8}  {_metrics(step)}".rstrip(), file=out)
    for step in steps:
        if step.unrecorded:
            print(f"the result of step {step.name!r} will not be reused: {step.unrecorded}", file=out)
    reused = [step.reused for step in steps if step.reused is not None]
    if reused:
        seconds = f"{sum(r.seconds for r in reused):.1f}"
        print(f"{len(reused)} of {len(steps)} steps reused, saving {seconds} s", file=out)
    print(f"{_WORD[backend.kind]} {backend.pipeline_run_id} {state.value}", file=out, flush=True)


def _metrics(step: StepInfo) -> str:
    numbers = {k: v for k, v in step.metrics.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    shown = [f"{name}={value:.6g}" for name, value in list(numbers.items())[:4]]
    return ", ".join([*shown, "..."] if len(numbers) > 4 else shown)


def failure_text(backend: RunBackend, state: RunState, *, logs: bool = True) -> str:
    """What went wrong.

    :param logs: with the last log lines of every step that failed by itself, for who has not seen them.
    """
    parts = [f"{_WORD[backend.kind]} {backend.pipeline_run_id} ended as {state.value}."]
    parts += [step_failure_text(backend, step, logs=logs) for step in backend.steps() if step.state is RunState.FAILED]
    if len(parts) == 1 and backend.error:
        parts.append(backend.error)
    return "\n".join(parts)


def step_failure_text(backend: RunBackend, step: StepInfo, *, logs: bool = True) -> str:
    """What went wrong in a step.

    :param logs: with its last log lines.
    """
    error = step.error or "Airflow's log of its task says why"
    # What the step's result records names the step itself.
    named = error.startswith(f"step {step.name!r}")
    text = error[:1].upper() + error[1:] if named else f"Step {step.name!r} failed{_after(step)}: {error}"
    if not logs:
        return text
    lines = backend.log(step.key).splitlines()[-LOG_LINES:]
    if not lines:
        return f"{text}\n  (it printed nothing)"
    return "\n".join([text, f"The last {len(lines)} lines of its log:", *(f"  | {line}" for line in lines)])
