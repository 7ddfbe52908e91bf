"""Environments that a test asks for, and what a first step does with them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from aml_provider.reuse.environments import local_identity
from aml_provider.reuse.interpreters import base_interpreter, running
from aml_provider.reuse.locks import EnvironmentLocks, LockedEnvironment
from aml_provider.spec.models import EnvironmentSpec, PythonSpec
from tests.wheels import make_wheel

BASE = running(sys.executable)


def silent(sentence: str) -> None:
    """Nobody listens."""


def wants(*packages: str, options: tuple[str, ...] = (), name: str = "train", **more: Any) -> EnvironmentSpec:
    return EnvironmentSpec(name=name, python=PythonSpec(pip_packages=packages, pip_options=options, **more))


def lock(locks: EnvironmentLocks, environment: EnvironmentSpec) -> LockedEnvironment:
    """What the first step that runs with an environment does."""
    base = running(base_interpreter(environment.python.version, silent))
    return locks.lock(environment.python, base, silent, environment.name)


def identity(locks: EnvironmentLocks, environment: EnvironmentSpec | None) -> dict[str, Any]:
    found = local_identity(environment, locks)
    assert found.known, found.why
    return found.identity


def resolved(locks: EnvironmentLocks, environment: EnvironmentSpec) -> dict[str, Any]:
    lock(locks, environment)
    return identity(locks, environment)


def make_index(folder: Path) -> Path:
    """A folder of wheels: ``tiny`` 1.0, and ``needy``, which needs it."""
    make_wheel(folder, "tiny", "1.0")
    make_wheel(folder, "needy", "0.1", "tiny>=1")
    return folder


def only(index: Path) -> tuple[str, ...]:
    """Options that have packages taken from this folder alone."""
    return ("--no-index", f"--find-links {index}")
