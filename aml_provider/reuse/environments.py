"""The identity of a local step's environment: which Python, and exactly which packages."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from aml_provider.reuse.interpreters import Interpreter, as_it_is, base_interpreter, installed_in, running
from aml_provider.reuse.locks import EnvironmentLocks, LockedEnvironment, included_file
from aml_provider.reuse.loose_code import loose_code
from aml_provider.reuse.packages import hashes_of, resolved_package, wanted_packages, without_credentials
from aml_provider.runs.errors import StepError
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import EnvironmentSpec, PythonSpec
from aml_provider.storage.digest_cache import DigestCache


@dataclass(frozen=True)
class EnvironmentIdentity:
    """What a step finds where it runs, as far as that can be known.

    :param identity: goes into the fingerprint, and into explanations of it; empty when it is not known.
    :param why: a sentence that says what cannot be known, and what to do.
    :param note: a remark for the plan.
    :param image: the image to start so that what runs is what was identified; ``None``: as written.
    """

    known: bool
    identity: dict[str, Any]
    why: str | None = None
    note: str | None = None
    image: str | None = None

    @classmethod
    def unknown(cls, why: str, note: str | None = None) -> EnvironmentIdentity:
        """Of an environment that nobody can tell the content of."""
        return cls(False, {}, why, note)


def takes_packages(python: PythonSpec) -> bool:
    """Whether packages are installed for ``python``; else a step gets an interpreter as it is."""
    return not python.user_managed and bool(wanted_packages(python))


def local_identity(
    environment: EnvironmentSpec | None, locks: EnvironmentLocks, cache: DigestCache | None = None
) -> EnvironmentIdentity:
    """The identity of the Python that a local step runs with on this worker. Asks no network.

    :param cache: digests of files that have not changed since somebody read them.
    """
    python = environment.python if environment is not None else PythonSpec()
    name = environment.name if environment is not None else ""
    said: list[str] = []
    try:
        if not takes_packages(python):
            used = running(as_it_is(python.interpreter) if python.user_managed else sys.executable)
            return _installed_identity(used, cache)
        base = running(base_interpreter(python.version, said.append))
        note = said[0] if said else None
        locked = locks.find(python, base)
    except StepError as problem:
        return EnvironmentIdentity.unknown(problem.sentence)
    if locked is None:
        return EnvironmentIdentity.unknown(
            f"the packages of environment {name!r} have not been resolved to versions yet: the first step that runs "
            "with it does that",
            note,
        )
    return _locked_identity(python, name, base, locked, note)


def _locked_identity(
    python: PythonSpec, name: str, base: Interpreter, locked: LockedEnvironment, note: str | None
) -> EnvironmentIdentity:
    packages: dict[str, str] = {}
    hashes = hashes_of(wanted_packages(python))
    for line in locked.packages:
        package, version, fixed = resolved_package(line)
        checked = hashes.get(package) or hashes.get(version)
        if checked and not fixed:
            version = f"{version} {checked}"
        elif not fixed:
            return EnvironmentIdentity.unknown(
                f"environment {name!r} installs {line!r}, whose content can change while its name stays. Install it "
                "from an index with a version, from git, or from an address that ends in #sha256=...",
                note,
            )
        packages[package] = version
    identity: dict[str, Any] = {**_python_identity(base), "packages": packages}
    # What is in a file of constraints shows in the versions.
    options = [without_credentials(" ".join(o.split())) for o in python.pip_options if not included_file(o)]
    if options:
        identity["options"] = options
    return EnvironmentIdentity(True, identity, None, note)


def _installed_identity(interpreter: Interpreter, cache: DigestCache | None) -> EnvironmentIdentity:
    installed = installed_in(interpreter)
    if installed.changing is not None:
        return EnvironmentIdentity.unknown(
            f"the Python at {interpreter.path} has {installed.changing}: its code can change while its version stays. "
            "Install it as a package, or give the compute target a `reuse_as` label in the workspace file."
        )
    try:
        loose = loose_code(interpreter.sites, cache)
    except (PipelineError, OSError) as problem:
        return EnvironmentIdentity.unknown(
            f"the packages of the Python at {interpreter.path} cannot be read: {problem}"
        )
    identity = {**_python_identity(interpreter), "packages": installed.packages}
    return EnvironmentIdentity(True, {**identity, "loose": loose} if loose else identity)


def _python_identity(interpreter: Interpreter) -> dict[str, Any]:
    return {"kind": "python", "python": interpreter.version, "platform": interpreter.platform}
