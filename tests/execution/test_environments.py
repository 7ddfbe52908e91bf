"""Which Python a local step runs with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from aml_provider.execution.environments import interpreter_for, pip_name
from aml_provider.runs.errors import StepError
from aml_provider.spec.models import EnvironmentSpec, PythonSpec

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
VERSIONS = st.lists(st.integers(0, 99), min_size=1, max_size=3).map(lambda parts: ".".join(map(str, parts)))


@pytest.mark.parametrize(
    ("conda", "pip"),
    [
        ("numpy", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy=1.26.4=py311h64a7726_0", "numpy==1.26.4.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("scikit-learn>=1.3,<2", "scikit-learn>=1.3,<2"),
        ("conda-forge::scipy =1.11", "scipy==1.11.*"),
        ("python=3.8", None),
        ("pip", None),
    ],
)
def test_conda_packages_as_pip_writes_them(conda: str, pip: str | None) -> None:
    assert pip_name(conda) == pip


@given(NAMES, st.sampled_from(["", "=", "==", ">=", "<"]), VERSIONS)
def test_what_pip_is_given_is_a_requirement(name: str, operator: str, version: str) -> None:
    written = pip_name(f"{name}{operator}{version}" if operator else name)
    if written is not None:
        assert Requirement(written).name == name


def test_without_packages_it_is_the_workers_own(tmp_path: Path) -> None:
    for environment in (
        None,
        EnvironmentSpec(name="e"),
        EnvironmentSpec(name="e", python=PythonSpec(user_managed=True)),
    ):
        assert interpreter_for(environment, tmp_path, print) == sys.executable
    assert list(tmp_path.iterdir()) == []


def test_an_interpreter_that_does_not_exist(tmp_path: Path) -> None:
    python = PythonSpec(user_managed=True, interpreter="/nowhere/python")
    with pytest.raises(StepError, match="'/nowhere/python' does not exist on this worker"):
        interpreter_for(EnvironmentSpec(name="e", python=python), tmp_path, print)
