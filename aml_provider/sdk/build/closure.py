"""Which steps a pipeline has, and in which order they run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aml_provider.sdk.consumption import DatasetConsumptionConfig, unwrapped
from aml_provider.sdk.identity import Identity
from aml_provider.sdk.outputs import OutputDatasetConfig
from aml_provider.sdk.steps.base import PipelineStep, StepSequence
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.graph import cycle_message, find_cycle, topological_order


@dataclass
class Members:
    """The steps of a pipeline.

    :param steps: in the author's order, each behind the steps that were only found through it.
    :param named: the steps that the author gave to ``Pipeline``.
    :param sequenced: step -> steps that must end first because of a ``StepSequence``.
    """

    steps: list[PipelineStep]
    named: set[PipelineStep]
    sequenced: dict[PipelineStep, list[PipelineStep]]
    _producers: dict[Identity, PipelineStep | None] = field(default_factory=dict)

    def after(self, step: PipelineStep) -> list[PipelineStep]:
        """Steps that must end before this one for other reasons than data, each once."""
        return list(dict.fromkeys((*step.after, *self.sequenced.get(step, ()))))

    def producer(self, identity: Identity) -> PipelineStep | None:
        """The step that writes the data, ``None`` when there is none.

        Steps that the author named come first; after them the newest, because a notebook cell that is run again makes
        new steps, and the old ones still say that they produce the data.
        """
        if identity not in self._producers:
            self._producers[identity] = self._choose(identity)
        return self._producers[identity]

    def _choose(self, identity: Identity) -> PipelineStep | None:
        if identity.producers:
            declared = [step for step in identity.producers if step in self.named]
            return (declared or identity.producers)[-1]
        # Nobody lists it as an output: of the steps that have it in their arguments, the first one writes it.
        live = [step for step in identity.mentions if step in self.named]
        newest = {step.name: step for step in identity.mentions if step not in self.named}
        live += [step for name, step in newest.items() if name not in {s.name for s in live}]
        return min(live, key=lambda step: step.number, default=None)

    def reads(self, step: PipelineStep) -> Iterator[tuple[Any, Identity]]:
        """``(data object, identity)`` of what the step reads of other steps' data."""
        for item in step.inputs:
            identity = getattr(unwrapped(item), "identity", None)
            if isinstance(identity, Identity):
                yield item, identity
        declared = {id(getattr(output, "identity", None)) for output in step.outputs}
        for item in step.arguments:
            identity = getattr(unwrapped(item), "identity", None)
            if not isinstance(identity, Identity):
                continue
            if isinstance(item, DatasetConsumptionConfig) or (
                isinstance(item, OutputDatasetConfig)
                and id(identity) not in declared
                and self.producer(identity) is not step
            ):
                yield item, identity


def collect(steps: Any, resolve_closure: bool) -> Members:
    """The steps of a pipeline, those found backwards included.

    :param steps: what an author gave to ``Pipeline``: steps, ``StepSequence`` objects, lists of them.
    :raises PipelineError: no steps, something that is no step, or data that no step produces.
    """
    sequenced: dict[PipelineStep, list[PipelineStep]] = {}
    given = list(dict.fromkeys(_flatten(steps, sequenced)))
    if not given:
        raise PipelineError("The pipeline has no steps; pass at least one in Pipeline(workspace, steps=[...]).")
    members = Members([], set(given), sequenced)
    found: dict[PipelineStep, None] = {}
    entered: set[PipelineStep] = set()
    # Depth first with a stack of our own: a chain may be longer than Python's recursion allows.
    for start in given:
        entered.add(start)
        stack = [(start, _upstream(start, members, resolve_closure))]
        while stack:
            step, rest = stack[-1]
            before = next(rest, None)
            if before is None:
                found[step] = None
                stack.pop()
            elif before not in entered and before not in members.named:
                entered.add(before)
                stack.append((before, _upstream(before, members, resolve_closure)))
    members.steps = list(found)
    _check_one_producer(members)
    return members


def ordered(members: Members) -> list[PipelineStep]:
    """The steps in topological order; independent steps keep the author's order.

    :raises PipelineError: there is a cycle; names its steps.
    """
    upstream = {step: list(dict.fromkeys(_upstream(step, members, True))) for step in members.steps}
    order = topological_order(members.steps, upstream)
    if order is None:
        cycle = find_cycle(members.steps, upstream) or []
        raise PipelineError(cycle_message([step.name for step in cycle]))
    return order


def _flatten(steps: Any, sequenced: dict[PipelineStep, list[PipelineStep]]) -> Iterator[PipelineStep]:
    if isinstance(steps, PipelineStep):
        yield steps
    elif isinstance(steps, StepSequence):
        before: list[PipelineStep] = []
        for group in steps.steps:
            inside = list(_flatten(group, sequenced))
            for step in inside:
                sequenced.setdefault(step, []).extend(before)
            yield from inside
            before = inside or before
    elif isinstance(steps, (list, tuple)):
        for step in steps:
            yield from _flatten(step, sequenced)
    else:
        raise PipelineError(f"Pipeline: {steps!r} is no step; pass steps, lists of steps or a StepSequence.")


def _upstream(step: PipelineStep, members: Members, resolve_closure: bool) -> Iterator[PipelineStep]:
    """The steps that must end before this one; some may come twice."""
    for item, identity in members.reads(step):
        producer = members.producer(identity)
        if producer is None:
            raise PipelineError(
                f"Step {step.name!r} reads {label(item, identity)}, which no step produces; "
                "add it to the outputs of the step that writes it."
            )
        if not resolve_closure and producer not in members.named:
            raise PipelineError(
                f"Step {step.name!r} reads {label(item, identity)} of step {producer.name!r}, which is not in the "
                "pipeline; add that step, or leave resolve_closure=True."
            )
        yield producer
    for before in members.after(step):
        if not resolve_closure and before not in members.named:
            raise PipelineError(
                f"Step {step.name!r} runs after step {before.name!r}, which is not in the pipeline; add that step, or "
                "leave resolve_closure=True."
            )
        yield before


def _check_one_producer(members: Members) -> None:
    producers: dict[Identity, PipelineStep] = {}
    for step in members.steps:
        seen = set()
        for output in step.outputs:
            identity = getattr(output, "identity", None)
            if not isinstance(identity, Identity):
                continue  # the builder refuses it with the step's name
            if identity in seen:
                raise PipelineError(f"Step {step.name!r} lists output {identity.name!r} twice; remove one of them.")
            seen.add(identity)
            other = producers.setdefault(identity, step)
            if other is not step:
                raise PipelineError(
                    f"Output {identity.name!r} is produced by two steps, {other.name!r} and {step.name!r}; "
                    "give each step an output of its own."
                )


def label(item: Any, identity: Identity) -> str:
    """A data object in a message."""
    if isinstance(item, DatasetConsumptionConfig) and item.name:
        return f"input {item.name!r}"
    return f"{identity.name!r}" if identity.name else "an output dataset"
