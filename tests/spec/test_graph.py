"""Order in a graph: upstream first, the author's order where there is a choice, cycles found and named."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.spec.errors import PipelineError
from aml_provider.spec.graph import check_spec, cycle_message, find_cycle, topological_order
from aml_provider.spec.models import Command, PipelineSpec, Step, StepInput, StepOutputSource, SubmitOptions, Text

Edges = dict[int, list[int]]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[int], Edges]:
    """Any directed graph, cycles and loops included."""
    size = draw(st.integers(0, 12))
    nodes = list(range(size))
    if not nodes:
        return nodes, {}
    pairs = draw(st.lists(st.tuples(st.sampled_from(nodes), st.sampled_from(nodes)), max_size=30))
    upstream: Edges = {}
    for node, before in pairs:
        upstream.setdefault(node, []).append(before)
    return nodes, upstream


@given(graphs())
def test_there_is_an_order_exactly_when_there_is_no_cycle(graph: tuple[list[int], Edges]) -> None:
    nodes, upstream = graph
    order, cycle = topological_order(nodes, upstream), find_cycle(nodes, upstream)
    assert (order is None) == (cycle is not None)
    if order is not None:
        assert sorted(order) == nodes
        place = {node: i for i, node in enumerate(order)}
        assert all(place[before] < place[node] for node in nodes for before in upstream.get(node, ()))
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(before in upstream[after] for before, after in pairwise(cycle))


@given(st.lists(st.integers(), unique=True))
def test_independent_nodes_keep_their_order(nodes: list[int]) -> None:
    assert topological_order(nodes, {}) == nodes


def test_a_long_chain_is_no_problem() -> None:
    nodes = list(range(20_000))
    upstream = {n: [n - 1] for n in nodes[1:]}
    assert topological_order(nodes, upstream) == nodes
    assert find_cycle(nodes, upstream) is None
    assert find_cycle(nodes, {**upstream, 0: [19_999]}) is not None


def test_a_cycle_is_told_as_a_path() -> None:
    assert "'a' -> 'b' -> 'a'" in cycle_message(["a", "b", "a"])
    assert "'a' depends on itself" in cycle_message(["a", "a"])


def step(key: str, after: tuple[str, ...] = (), reads: tuple[tuple[str, str], ...] = ()) -> Step:
    inputs = tuple(StepInput(name=f"i{n}", source=StepOutputSource(step=s, output=o)) for n, (s, o) in enumerate(reads))
    words = (Text(value="true"),)
    return Step(key=key, name=key, type="CommandStep", action=Command(words=words), after=after, inputs=inputs)


def spec(*steps: Step) -> PipelineSpec:
    return PipelineSpec(workspace="w", default_datastore="d", steps=steps, submit=SubmitOptions(experiment="e"))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((), "no steps"),
        ((step("a"), step("a")), "Two steps have the key 'a'"),
        ((step("a", after=("b",)),), "waits for step 'b'"),
        ((step("a"), step("b", reads=(("a", "x"),))), "reads output 'x' of step 'a'"),
        ((step("a", after=("b",)), step("b", after=("a",))), "'a' -> 'b' -> 'a'"),
    ],
)
def test_a_spec_from_anywhere_is_checked(steps: tuple[Step, ...], message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        check_spec(spec(*steps))


def test_a_spec_is_the_same_after_a_trip_through_json() -> None:
    before = spec(step("a"), step("b", after=("a",)))
    assert PipelineSpec.model_validate_json(before.to_json()) == before
    assert PipelineSpec.model_validate_json(before.to_json()).to_json() == before.to_json()
