"""Arguments and commands as the step sees them: the author's text unchanged, values as one word."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aml_provider.execution.values import Values
from aml_provider.runs.errors import StepError
from aml_provider.spec.models import Command, Concat, InputRef, OutputRef, ParameterRef, PythonScript, Step, Text

# What a process argument can hold.
WORDS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))


def values(action: Any, run: dict[str, Any] | None = None, **more: Any) -> Values:
    step = Step(key="train", name="train", type="PythonScriptStep", action=action, **more)
    return Values(step, run or {}, {"raw": "/data/ra w"}, {"model": "/out/mo'del"})


@given(st.lists(WORDS), st.one_of(st.booleans(), st.integers(), st.floats(), WORDS))
def test_a_scripts_arguments_are_text_as_written_and_values_as_str(texts: list[str], value: Any) -> None:
    arguments = (*(Text(value=t) for t in texts), ParameterRef(name="p"), InputRef(name="raw"), OutputRef(name="model"))
    command = values(PythonScript(script="t.py", arguments=arguments), {"p": value}).command("python3")
    assert command["arguments"] == [*texts, str(value), "/data/ra w", "/out/mo'del"]


@given(WORDS)
def test_in_a_command_a_value_is_one_word_whatever_it_holds(value: str) -> None:
    words = (
        Text(value="printf '%s|'"),
        ParameterRef(name="p"),
        Concat(parts=(Text(value="--x="), ParameterRef(name="p"))),
    )
    line = values(Command(words=words), {"p": value}).command("")["line"]
    said = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=True).stdout
    assert said == f"{value}|--x={value}|".encode()


def test_the_authors_own_text_is_shell_language() -> None:
    words = (Text(value='echo "$HOME" {{ ds }} &&'), Text(value="ls"), InputRef(name="raw"))
    assert values(Command(words=words)).command("")["line"] == "echo \"$HOME\" {{ ds }} && ls '/data/ra w'"


def test_params_follow_the_arguments_and_are_variables() -> None:
    action = PythonScript(script="t.py", arguments=(Text(value="-v"),))
    rendered = values(action, {"lr": 0.1}, parameters={"rate": ParameterRef(name="lr"), "mode": Text(value="fast")})
    assert rendered.command("python3")["arguments"] == ["-v", "--rate", "0.1", "--mode", "fast"]
    assert rendered.step_parameters() == {"rate": "0.1", "mode": "fast"}


def test_a_parameter_that_this_run_lacks() -> None:
    action = PythonScript(script="t.py", arguments=(ParameterRef(name="epochs"),))
    with pytest.raises(StepError, match="'train'.*'epochs'"):
        values(action).command("python3")
