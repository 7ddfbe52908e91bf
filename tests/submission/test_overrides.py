"""``-p name=value``: text becomes a value of the parameter's type, or an error that says why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.spec.errors import ParameterError, UnknownParameterError
from aml_provider.spec.models import Command, Parameter, ParameterType, PipelineSpec, Step, SubmitOptions, Text
from aml_provider.submission.overrides import Overrides, apply_overrides, overriding, parsed


def spec_with(*parameters: Parameter) -> PipelineSpec:
    """A pipeline of one step with these parameters."""
    step = Step(key="say", name="say", type="CommandStep", action=Command(words=(Text(value="true"),)))
    return PipelineSpec(
        workspace="w",
        default_datastore="workspaceblobstore",
        parameters=parameters,
        steps=(step,),
        submit=SubmitOptions(experiment="e"),
    )


@given(st.integers())
def test_integers_survive_their_text(value: int) -> None:
    """What a person types for an integer is that integer."""
    assert parsed(Parameter(name="n", type=ParameterType.INTEGER, default=1), str(value)) == value


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e400"])
def test_numbers_that_json_does_not_have_are_refused(text: str) -> None:
    """They reached scripts as the text None, and one as the other."""
    with pytest.raises(ParameterError, match="'x' cannot be .*: only finite numbers reach a run"):
        parsed(Parameter(name="x", type=ParameterType.NUMBER, default=1.0), text)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_their_text(value: float) -> None:
    """The same for floats."""
    assert parsed(Parameter(name="x", type=ParameterType.NUMBER, default=1.0), repr(value)) == value


@given(st.text())
def test_strings_are_taken_as_they_are(value: str) -> None:
    """A string parameter takes any text, also one that looks like a number."""
    assert parsed(Parameter(name="s", type=ParameterType.STRING, default=""), value) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("1", True),
        ("no", False),
    ],
)
def test_booleans(text: str, value: bool) -> None:
    """The usual words."""
    assert parsed(Parameter(name="b", type=ParameterType.BOOLEAN, default=True), text) is value


@pytest.mark.parametrize("text", ['{"datastore": "store", "path": "a/b"}', "store:a/b"])
def test_data_paths(text: str) -> None:
    """As JSON or as datastore:path."""
    parameter = Parameter(name="d", type=ParameterType.DATAPATH, default={"datastore": "x", "path": ""})
    assert parsed(parameter, text) == {"datastore": "store", "path": "a/b"}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ParameterType.INTEGER, "1.5"),
        (ParameterType.NUMBER, "much"),
        (ParameterType.BOOLEAN, "perhaps"),
        (ParameterType.DATAPATH, "nowhere"),
        (ParameterType.DATAPATH, '{"path": "a"}'),
    ],
)
def test_text_of_another_type_is_refused(kind: ParameterType, text: str) -> None:
    """The message names the parameter, what it takes and what was given."""
    with pytest.raises(ParameterError) as caught:
        parsed(Parameter(name="wanted", type=kind, default=3), text)
    assert "'wanted'" in str(caught.value)
    assert repr(text) in str(caught.value)


def test_overrides_win_over_what_the_file_submits() -> None:
    """Values and the experiment's name."""
    spec = spec_with(Parameter(name="n", type=ParameterType.INTEGER, default=1))
    with overriding(Overrides({"n": "5"}, "other")):
        changed = apply_overrides(spec)
    assert changed.submit.parameters == {"n": 5}
    assert changed.submit.experiment == "other"
    assert apply_overrides(spec) is spec


def test_an_unknown_parameter_is_named_with_the_known_ones() -> None:
    """A typing error is found at once."""
    spec = spec_with(Parameter(name="rate", type=ParameterType.NUMBER, default=0.1))
    with overriding(Overrides({"rat": "1"})), pytest.raises(UnknownParameterError, match=r"'rat'.*rate"):
        apply_overrides(spec)
