"""``aml plan``: for every step of a file's pipelines whether it would run, and why, without running anything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aml_provider.cli.inspect import collect
from aml_provider.cli.table import print_table
from aml_provider.reuse.plan import Decision, Options, Plan, Planner, Verdict
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import PipelineSpec, Step
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.submission.overrides import Overrides, apply_overrides, overriding

if TYPE_CHECKING:
    from aml_provider.reuse.explain import Difference

COLORS = {"reuse": "green", "run": "yellow", "depends": "cyan"}
# Of what has changed, so much is shown; `aml explain` tells the rest.
SHOWN_CHANGES = 5


@dataclass(frozen=True)
class Planned:
    """A pipeline of a file and what would happen to its steps.

    :param parameters: the values that the run would have.
    """

    binding: PipelineBinding
    parameters: dict[str, Any]
    planner: Planner
    plan: Plan

    @property
    def spec(self) -> PipelineSpec:
        """The pipeline as the command line changed it."""
        return self.binding.spec

    @property
    def experiment(self) -> str:
        """The experiment that it would run in."""
        return self.spec.submit.experiment

    def step_run(self, step: Step) -> StepRun:
        """A step in the run that is planned."""
        return StepRun(self.binding, step, "", "", self.parameters, lambda key: self.plan.decisions[key].outputs)

    def difference(self, decision: Decision) -> Difference | None:
        """What a step's ingredients differ in from its nearest earlier result; ``None``: that is not why it runs."""
        fingerprint, index = decision.fingerprint, self.planner.index
        if decision.verdict is not Verdict.RUN or fingerprint is None or index.read(fingerprint.key) is not None:
            return None
        from aml_provider.reuse.explain import nearest

        return nearest(fingerprint, decision.step.name, index)

    def assuming(self, names: Sequence[str]) -> Planned:
        """The same, if steps with these names wrote what they wrote last time."""
        options = Options(assume_unchanged=tuple(names))
        planner = Planner(self.binding, self.parameters, options, cache=self.planner.contents.cache)
        return Planned(self.binding, self.parameters, planner, planner.plan())

    def steps_called(self, name: str) -> list[Step]:
        """The steps with this name or key."""
        return [step for step in self.spec.steps if name in (step.name, step.key)]


@contextmanager
def planned(file: Path, overrides: Overrides) -> Iterator[list[Planned]]:
    """The plans of the pipelines that ``file`` submits.

    :raises PipelineError: it submits none, or has no step of a name that was given.
    """
    found = collect(file)
    with overriding(overrides):
        specs = [(apply_overrides(spec), source, workspace) for spec, source, workspace in found]
    with ExitStack() as stack:
        plans = []
        for spec, source, workspace in specs:
            binding = PipelineBinding(spec, source.folder.resolve(), workspace)
            cache = stack.enter_context(DigestCache(binding.digest_cache))
            values = {p.name: spec.submit.parameters.get(p.name, p.default) for p in spec.parameters}
            options = Options(spec.submit.regenerate_outputs, spec.submit.assume_unchanged)
            planner = Planner(binding, values, options, cache=cache)
            plans.append(Planned(binding, values, planner, planner.plan()))
        yield plans


def check_step(pipelines: list[Planned], name: str) -> None:
    """Check the name of a step that a person has typed.

    :raises PipelineError: none of the pipelines has such a step.
    """
    if not any(pipeline.steps_called(name) for pipeline in pipelines):
        known = dict.fromkeys(step.name for pipeline in pipelines for step in pipeline.spec.steps)
        raise PipelineError(f"there is no step {name!r}; the file has {', '.join(map(repr, known))}")


def print_plans(file: Path, overrides: Overrides, as_json: bool) -> None:
    """Print what would happen to every step of every pipeline in ``file``."""
    with planned(file, overrides) as pipelines:
        if as_json:
            print(json.dumps([_as_json(pipeline) for pipeline in pipelines], indent=2))
            return
        for number, pipeline in enumerate(pipelines):
            if len(pipelines) > 1:
                print(f"{'' if number == 0 else chr(10)}experiment {pipeline.experiment}")
            rows = [_row(file, pipeline, decision) for decision in pipeline.plan.decisions.values()]
            print_table(("step", "verdict", "why"), rows, COLORS)
            print(pipeline.plan.summary)


def _row(file: Path, pipeline: Planned, decision: Decision) -> tuple[str, str, str]:
    lines = [decision.told]
    difference = pipeline.difference(decision)
    if difference is not None:
        lines += [f"  {change}" for change in difference.changes[:SHOWN_CHANGES]]
        more = len(difference.changes) - SHOWN_CHANGES
        if more > 0:
            lines.append(f"  and {more} more: aml explain {file} {decision.step.name}")
    lines += [f"  note: {note}" for note in decision.notes]
    return decision.step.name, decision.verdict.value, "\n".join(lines)


def _as_json(pipeline: Planned) -> dict[str, Any]:
    decisions = pipeline.plan.decisions.values()
    return {"experiment": pipeline.experiment, "steps": [_step_as_json(pipeline, decision) for decision in decisions]}


def _step_as_json(pipeline: Planned, decision: Decision) -> dict[str, Any]:
    record, difference = decision.record, pipeline.difference(decision)
    return {
        "name": decision.step.name,
        "key": decision.step.key,
        "verdict": decision.verdict.value,
        "reason": decision.reason,
        "fingerprint": fingerprint_of(decision),
        "changes": changes_as_json(difference),
        "source_run": record.run.get("pipeline_run_id") if record is not None else None,
        "saved_seconds": record.seconds if record is not None else None,
        "outputs": {name: place.model_dump(mode="json") for name, place in decision.outputs.items()},
        "notes": list(decision.notes),
    }


def fingerprint_of(decision: Decision) -> str | None:
    """The key of a step's ingredients, or of the result that a person has chosen for it."""
    if decision.fingerprint is not None:
        return decision.fingerprint.key
    return decision.record.fingerprint if decision.record is not None else None


def changes_as_json(difference: Difference | None) -> list[dict[str, Any]]:
    """What differs, as every ``--json`` says it."""
    changes = difference.changes if difference is not None else ()
    return [{"part": c.part, "name": c.name, "old": c.old, "new": c.new} for c in changes]
