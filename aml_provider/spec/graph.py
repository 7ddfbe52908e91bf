"""Order in a graph of keys. Nothing here recurses, so a chain of thousands of steps is no problem."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import PipelineSpec, StepOutputSource

K = TypeVar("K", bound=Hashable)


def topological_order(nodes: Sequence[K], upstream: Mapping[K, Iterable[K]]) -> list[K] | None:
    """``nodes`` ordered so that each comes after its upstream ones; where there is a choice, the given order stays.

    :param upstream: node -> nodes that must come before it; all of them are in ``nodes``.
    :return: ``None`` when there is a cycle.
    """
    index = {node: i for i, node in enumerate(nodes)}
    waiting = {node: len(set(upstream.get(node, ()))) for node in nodes}
    downstream: dict[K, list[K]] = {node: [] for node in nodes}
    for node in nodes:
        for before in set(upstream.get(node, ())):
            downstream[before].append(node)
    ready = [index[node] for node in nodes if not waiting[node]]
    heapq.heapify(ready)
    order = []
    while ready:
        node = nodes[heapq.heappop(ready)]
        order.append(node)
        for after in downstream[node]:
            waiting[after] -= 1
            if not waiting[after]:
                heapq.heappush(ready, index[after])
    return order if len(order) == len(nodes) else None


def find_cycle(nodes: Sequence[K], upstream: Mapping[K, Iterable[K]]) -> list[K] | None:
    """A cycle in the direction of the data, its first node repeated at the end; ``None`` when there is none."""
    done: set[K] = set()
    for start in nodes:
        if start in done:
            continue
        path: list[K] = [start]
        on_path = {start}
        branches = [iter(upstream.get(start, ()))]
        while path:
            step = next(branches[-1], None)
            if step is None:
                branches.pop()
                on_path.discard(path[-1])
                done.add(path.pop())
            elif step in on_path:
                # The path walks against the data; a reader follows it with the data.
                cycle = path[path.index(step) :]
                return [step, *reversed(cycle)]
            elif step not in done:
                path.append(step)
                on_path.add(step)
                branches.append(iter(upstream.get(step, ())))
    return None


def cycle_message(names: Sequence[str]) -> str:
    """The sentence about a cycle, its first name repeated at the end."""
    if len(names) == 2:
        return f"Step {names[0]!r} depends on itself; remove it from its own inputs or run_after."
    return (
        f"The steps depend on each other in a circle: {' -> '.join(repr(n) for n in names)}. "
        "Remove one of these inputs or run_after calls."
    )


def check_spec(spec: PipelineSpec) -> None:
    """Check that a spec from anywhere (JSON, a designer) is a graph that can run.

    :raises PipelineError: a key twice, an unknown step, output or parameter, or a cycle; names the step.
    """
    steps = {}
    for step in spec.steps:
        if step.key in steps:
            raise PipelineError(f"Two steps have the key {step.key!r}; keys must be unique.")
        steps[step.key] = step
    if not steps:
        raise PipelineError("The pipeline has no steps.")
    for step in spec.steps:
        for before in step.upstream:
            if before not in steps:
                raise PipelineError(f"Step {step.name!r} waits for step {before!r}, which the pipeline does not have.")
        for item in step.inputs:
            source = item.source
            if isinstance(source, StepOutputSource):
                produced = {o.name for o in steps[source.step].outputs}
                if source.output not in produced:
                    raise PipelineError(
                        f"Step {step.name!r} reads output {source.output!r} of step {source.step!r}, "
                        f"which has only {sorted(produced)}."
                    )
    keys = [step.key for step in spec.steps]
    upstream = {step.key: step.upstream for step in spec.steps}
    cycle = find_cycle(keys, upstream)
    if cycle is not None:
        raise PipelineError(cycle_message([steps[key].name for key in cycle]))


def check_step_names(spec: PipelineSpec, wanted: Iterable[str]) -> None:
    """Check names by which a person says whose result to take.

    :raises PipelineError: the pipeline has no step of that name, or several.
    """
    known = Counter(step.name for step in spec.steps)
    for name in wanted:
        if name not in known:
            raise PipelineError(f"there is no step {name!r}; the pipeline has {', '.join(map(repr, known))}")
        if known[name] > 1:
            raise PipelineError(
                f"{known[name]} steps have the name {name!r}, so it says of none of them whose result to take; give "
                "them different names"
            )
