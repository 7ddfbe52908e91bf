"""The identity of a local step's environment: which Python, and exactly which packages.

Loosely written packages are resolved once for the whole workspace. The versions are kept in its run store, every machine
installs those, and they change only when somebody asks for it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from aml_provider.reuse.installer import requirements_file, uv
from aml_provider.reuse.interpreters import Interpreter, as_it_is, base_interpreter, installed_in, look_at
from aml_provider.reuse.packages import normal_requirement, resolved_package, wanted_packages, without_credentials
from aml_provider.runs.errors import StepError
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import EnvironmentSpec, PythonSpec
from aml_provider.storage.record_store import record_store

_log = logging.getLogger(__name__)

_LOCK_VERSION = 1
# Files whose content decides what is resolved.
_INCLUDED = re.compile(r"(?:-c|--constraint|-r|--requirement)[\s=]+(\S.*)")


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


@dataclass(frozen=True)
class LockedEnvironment:
    """The packages that a loosely written environment was resolved to.

    :param key: stands for what was asked.
    :param python: version of the Python that the packages were chosen for.
    :param packages: all of them, those that others need included, as ``name==version`` or ``name @ address``; sorted.
    :param created: seconds since the epoch.
    :param definition: what was asked.
    :param name: of the environment that asked first.
    """

    key: str
    python: str
    packages: tuple[str, ...]
    created: float
    definition: dict[str, Any]
    name: str = ""

    @property
    def digest(self) -> str:
        """Stands for the packages: a refresh that changes nothing does not change it."""
        return _digest([self.definition["python"], self.definition["platform"], self.packages])


class EnvironmentLocks:
    """The resolved environments of a workspace, shared by its machines.

    :param folder: where they are kept; it is created with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self._store = record_store(folder)

    def find(self, python: PythonSpec, base_version: str) -> LockedEnvironment | None:
        """What ``python`` was resolved to for this version of Python; ``None`` when it has not been yet."""
        return self.get(_digest(_definition(python, base_version, _platform())))

    def get(self, key: str) -> LockedEnvironment | None:
        """The one with this key. A damaged file is none, and is said in the log."""
        return _parsed(key, self._store.read(f"{key}.json"))

    def lock(
        self, python: PythonSpec, base_interpreter: str, say: Callable[[str], None], name: str
    ) -> LockedEnvironment:
        """What ``python`` is resolved to, now if it has not been before. Of several machines the first one decides.

        :param base_interpreter: path of the Python that the packages are for.
        :param name: the environment's, for messages.
        :raises StepError: the packages cannot be resolved; holds uv's own words.
        """
        base = _running(base_interpreter)
        definition = _definition(python, base.version, base.platform)
        key = _digest(definition)
        made: LockedEnvironment | None = None
        while True:
            there = self._store.read(f"{key}.json")
            found = _parsed(key, there)
            if found is not None:
                return found
            if made is None:
                say(f"resolving the packages of the Python environment {name!r}: {', '.join(definition['packages'])}")
                lines = [*python.pip_options, *wanted_packages(python)]
                made = _resolved(key, definition, lines, base, name)
            content = _bytes(made)
            path = f"{key}.json"
            if self._store.create(path, content) if there is None else self._store.swap(path, there, content):
                return made

    def refresh(
        self, key: str, say: Callable[[str], None], python: PythonSpec | None = None, *, upgrade: bool = True
    ) -> LockedEnvironment:
        """Resolve again what has been resolved before, and keep the new versions.

        :param python: what was asked, where the addresses in it have passwords: those are not kept.
        :param upgrade: look for newer versions on the index even if uv has asked it a short while ago.
        :raises AmlError: there is no such key, or this machine cannot do it.
        :raises StepError: the packages cannot be resolved any more; the old versions stay.
        """
        old = self.get(key)
        if old is None:
            raise AmlError(f"no environment with the key {key!r} has been resolved here. Look for it in the list.")
        base = _running(base_interpreter(old.definition["python"], say))
        asked = {"python": base.minor, "platform": base.platform}
        for what, have in asked.items():
            if old.definition[what] != have:
                raise AmlError(
                    f"environment {old.name!r} ({key}) is for {what} {old.definition[what]}, and this machine has "
                    f"{have}. Refresh it on a machine that has {old.definition[what]}."
                )
        lines = [*old.definition["options"], *old.definition["packages"]]
        if python is not None:
            if _digest(_definition(python, base.version, base.platform)) != key:
                raise AmlError(f"environment {old.name!r} ({key}) was resolved from other packages than these.")
            lines = [*python.pip_options, *wanted_packages(python)]
        elif any("://***@" in line for line in lines):
            raise AmlError(
                f"environment {old.name!r} ({key}) has addresses with passwords, which are not kept. Refresh it "
                "through the pipeline file that has them."
            )
        say(f"resolving the packages of the Python environment {old.name!r} again")
        made = _resolved(key, old.definition, lines, base, old.name, upgrade=upgrade)
        self._store.replace(f"{key}.json", _bytes(made))
        return made

    def all(self) -> list[LockedEnvironment]:
        """Every one that can be read, newest first."""
        names = (name for name in self._store.names() if name.endswith(".json"))
        found = (self.get(name.removesuffix(".json")) for name in names)
        return sorted((lock for lock in found if lock is not None), key=lambda lock: (-lock.created, lock.key))

    def forget(self, key: str) -> bool:
        """Remove one, so that its packages are resolved anew when they are needed; ``False`` when there was none."""
        return self._store.delete(f"{key}.json")


def local_identity(environment: EnvironmentSpec | None, locks: EnvironmentLocks) -> EnvironmentIdentity:
    """The identity of the Python that a local step runs with on this worker. Asks no network."""
    python = environment.python if environment is not None else PythonSpec()
    name = environment.name if environment is not None else ""
    if python.user_managed or not wanted_packages(python):
        try:
            path = as_it_is(python.interpreter) if python.user_managed else sys.executable
            return _installed_identity(_running(path))
        except StepError as problem:
            return EnvironmentIdentity.unknown(problem.sentence)
    said: list[str] = []
    base = _running(base_interpreter(python.version, said.append))
    note = said[0] if said else None
    locked = locks.find(python, base.version)
    if locked is None:
        return EnvironmentIdentity.unknown(
            f"the packages of environment {name!r} have not been resolved to versions yet: the first step that runs "
            "with it does that.",
            note,
        )
    packages: dict[str, str] = {}
    for line in locked.packages:
        package, version, fixed = resolved_package(line)
        if not fixed:
            return EnvironmentIdentity.unknown(
                f"environment {name!r} installs {line!r}, whose content can change while its name stays. Install it "
                "from an index with a version, from git, or from an address that ends in #sha256=...",
                note,
            )
        packages[package] = version
    identity: dict[str, Any] = {**_python_identity(base), "packages": packages}
    for what, value in (("options", python.pip_options), ("conda_channels", python.conda_channels)):
        if value:
            identity[what] = [without_credentials(text) for text in value]
    return EnvironmentIdentity(True, identity, None, note)


def _installed_identity(interpreter: Interpreter) -> EnvironmentIdentity:
    installed = installed_in(interpreter)
    if installed.changing is not None:
        return EnvironmentIdentity.unknown(
            f"the Python at {interpreter.path} has {installed.changing}: its code can change while its version stays. "
            "Install it as a package, or give the compute target a `reuse_as` label in the workspace file."
        )
    return EnvironmentIdentity(True, {**_python_identity(interpreter), "packages": installed.packages})


def _python_identity(interpreter: Interpreter) -> dict[str, Any]:
    return {"kind": "python", "python": interpreter.version, "platform": interpreter.platform}


def _running(path: str) -> Interpreter:
    found = look_at(path)
    if found is None:
        raise StepError(f"the Python {path!r} does not run on this worker. Correct its path, or install it.")
    return found


def _platform() -> str:
    return _running(sys.executable).platform


def _definition(python: PythonSpec, version: str, platform: str) -> dict[str, Any]:
    """What is asked for, in the form in which equal things are equal. Passwords are not part of it."""
    included = {}
    for option in python.pip_options:
        match = _INCLUDED.fullmatch(option.strip())
        if match and (file := Path(match[1])).is_file():
            included[option] = blake3(file.read_bytes()).hexdigest()
    definition: dict[str, Any] = {
        "packages": sorted({without_credentials(normal_requirement(p)) for p in wanted_packages(python)}),
        "options": [without_credentials(" ".join(option.split())) for option in python.pip_options],
        "python": ".".join(version.split(".")[:2]),
        "platform": platform,
    }
    return {**definition, "included": included} if included else definition


def _digest(value: Any) -> str:
    return blake3(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _resolved(
    key: str, definition: dict[str, Any], lines: list[str], base: Interpreter, name: str, *, upgrade: bool = False
) -> LockedEnvironment:
    arguments = ["pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python", base.path]
    with requirements_file(lines) as file:
        printed = uv([*arguments, *(["--upgrade"] if upgrade else []), file], name)
    # An option that is repeated in the output is kept with the options.
    found = (line.strip() for line in printed.splitlines())
    packages = sorted(without_credentials(line) for line in found if line and not line.startswith(("#", "--")))
    return LockedEnvironment(key, base.version, tuple(packages), time.time(), definition, name)


def _bytes(locked: LockedEnvironment) -> bytes:
    value = json.dumps({"lock_version": _LOCK_VERSION, **asdict(locked)}, sort_keys=True)
    return f'{{"blake3":"{blake3(value.encode()).hexdigest()}","lock":{value}}}\n'.encode()


def _parsed(key: str, content: bytes | None) -> LockedEnvironment | None:
    """What a file holds; ``None``, and a warning, when it is not what was once written under this key."""
    if content is None:
        return None
    try:
        outer = json.loads(content)
        lock = dict(outer["lock"])
        expected = json.dumps(lock, sort_keys=True)
        if lock.pop("lock_version") != _LOCK_VERSION or lock["key"] != key:
            raise ValueError("it is of another version, or another environment's")
        if blake3(expected.encode()).hexdigest() != outer["blake3"]:
            raise ValueError("its content is not what was written")
        return LockedEnvironment(**{**lock, "packages": tuple(lock["packages"])})
    except (ValueError, KeyError, TypeError) as problem:
        _log.warning("the resolved environment %s cannot be used and is resolved anew: %s", key, problem)
        return None
