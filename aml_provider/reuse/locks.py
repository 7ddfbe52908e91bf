"""Loosely written packages, resolved once for a whole workspace.

The versions are kept in the run store. Every machine installs those, and they change only when somebody asks for it.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from aml_provider.reuse.installer import uv
from aml_provider.reuse.interpreters import Interpreter, base_interpreter, running
from aml_provider.reuse.keeping import records_in
from aml_provider.reuse.packages import (
    is_editable,
    is_relative,
    normal_requirement,
    resolved_package,
    wanted_packages,
    without_credentials,
)
from aml_provider.runs.binding import PipelineBinding
from aml_provider.runs.errors import StepError
from aml_provider.runs.layout import RunStore
from aml_provider.spec.errors import AmlError
from aml_provider.spec.models import PythonSpec

_log = logging.getLogger(__name__)

_LOCK_VERSION = 1
# Files whose content decides what is resolved.
_INCLUDED = re.compile(r"(?:-c|--constraint|-r|--requirement)[\s=]+(\S.*)")


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
        where = [self.definition[name] for name in ("python", "platform", "folder") if name in self.definition]
        return json_digest([*where, self.packages])

    @property
    def versions(self) -> dict[str, str]:
        """Name -> version, or address, of every package."""
        return {name: version for name, version, _ in map(resolved_package, self.packages)}


class EnvironmentLocks:
    """The resolved environments of a workspace, shared by its machines.

    :param place: the run store that they are kept in, or a folder; it is created with the first one.
    :param beside: what relative paths in packages and options are relative to; ``None``: nothing may be.
    """

    def __init__(self, place: RunStore | Path, beside: Path | None = None) -> None:
        self._store = records_in(place, "environments" if isinstance(place, RunStore) else "")
        self.beside = beside

    @classmethod
    def of(cls, binding: PipelineBinding) -> EnvironmentLocks:
        """Those that a pipeline's steps use."""
        return cls(binding.store, binding.folder)

    def key(self, python: PythonSpec, base: Interpreter) -> str:
        """What stands for ``python`` as it is asked for now.

        :raises StepError: a file that belongs to it is missing.
        """
        return json_digest(self._definition(python, base))

    def find(self, python: PythonSpec, base: Interpreter) -> LockedEnvironment | None:
        """What ``python`` was resolved to for this Python; ``None`` when it has not been yet.

        :raises StepError: a file that belongs to it is missing.
        """
        return self.get(self.key(python, base))

    def get(self, key: str) -> LockedEnvironment | None:
        """The one with this key. A damaged file is none, and is said in the log."""
        return _parsed(key, self._store.read(f"{key}.json"))

    def lock(self, python: PythonSpec, base: Interpreter, say: Callable[[str], None], name: str) -> LockedEnvironment:
        """What ``python`` is resolved to, now if it has not been before. Of several machines the first one decides.

        :param base: the Python that the packages are for.
        :param name: the environment's, for messages.
        :raises StepError: the packages cannot be resolved; holds uv's own words.
        """
        definition = self._definition(python, base)
        key = json_digest(definition)
        path = f"{key}.json"
        made: LockedEnvironment | None = None
        while True:
            there = self._store.read(path)
            found = _parsed(key, there)
            if found is not None:
                return found
            if made is None:
                say(f"resolving the packages of the Python environment {name!r}: {', '.join(definition['packages'])}")
                made = self._resolved(key, definition, _lines(python), base, name)
            content = _bytes(made)
            if self._store.create(path, content) if there is None else self._store.swap(path, there, content):
                return made

    def refresh(self, key: str, say: Callable[[str], None], python: PythonSpec | None = None) -> LockedEnvironment:
        """Resolve again what has been resolved before, from what the index has now, and keep the new versions.

        :param python: what was asked, where that is not kept: passwords, and files beside the pipeline file.
        :raises AmlError: there is no such key, or this machine cannot do it.
        :raises StepError: the packages cannot be resolved any more; the old versions stay.
        """
        old = self.get(key)
        if old is None:
            raise AmlError(f"no environment with the key {key!r} has been resolved here. Look for it in the list.")
        base = running(base_interpreter(old.definition["python"], say))
        for what, have in (("python", base.minor), ("platform", base.platform)):
            if old.definition[what] != have:
                raise AmlError(
                    f"environment {old.name!r} ({key}) is for {what} {old.definition[what]}, and this machine has "
                    f"{have}. Refresh it on a machine that has {old.definition[what]}."
                )
        lines = [*old.definition["options"], *old.definition["packages"]]
        if python is not None:
            if self.key(python, base) != key:
                raise AmlError(f"environment {old.name!r} ({key}) was resolved from other packages than these.")
            lines = _lines(python)
        elif "included" in old.definition or any("***" in line or is_relative(line) for line in lines):
            raise AmlError(
                f"environment {old.name!r} ({key}) has passwords in its addresses, or files beside the pipeline file, "
                "and neither are kept. Refresh it through the pipeline file."
            )
        say(f"resolving the packages of the Python environment {old.name!r} again")
        made = self._resolved(key, old.definition, lines, base, old.name, "--upgrade")
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

    def _definition(self, python: PythonSpec, base: Interpreter) -> dict[str, Any]:
        """What is asked for, in the form in which equal things are equal. Passwords are not part of it."""
        definition: dict[str, Any] = {
            "packages": sorted({without_credentials(normal_requirement(p)) for p in wanted_packages(python)}),
            "options": [without_credentials(" ".join(option.split())) for option in python.pip_options],
            "python": base.minor,
            "platform": base.platform,
        }
        if any(is_relative(line) for line in (*wanted_packages(python), *filter(is_editable, python.pip_options))):
            # Another pipeline's folder has another package there.
            definition["folder"] = str(self.beside)
        included = {
            option: self._content(match[1]) for option in python.pip_options if (match := included_file(option))
        }
        return {**definition, "included": included} if included else definition

    def _content(self, path: str) -> str:
        file = (self.beside or Path()) / path
        try:
            return blake3(file.read_bytes()).hexdigest()
        except OSError as problem:
            raise StepError(
                f"the file {path!r} in the environment's pip options cannot be read ({problem.strerror}). Correct its "
                "path: a relative one begins in the folder of the pipeline file."
            ) from None

    def _resolved(
        self, key: str, definition: dict[str, Any], lines: list[str], base: Interpreter, name: str, *more: str
    ) -> LockedEnvironment:
        arguments = ["pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python", base.path, *more, "-"]
        printed = uv(arguments, name, lines=lines, folder=self.beside)
        # An option that is repeated in the output is kept with the options.
        found = (line.strip() for line in printed.splitlines())
        packages = sorted(without_credentials(line) for line in found if line and not line.startswith(("#", "--")))
        return LockedEnvironment(key, base.version, tuple(packages), time.time(), definition, name)


def included_file(option: str) -> re.Match[str] | None:
    """The path, as group 1, in an option that has a file read for requirements or constraints."""
    return _INCLUDED.fullmatch(option.strip())


def json_digest(value: Any) -> str:
    """A short digest of a JSON value."""
    return blake3(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _lines(python: PythonSpec) -> list[str]:
    return [*python.pip_options, *wanted_packages(python)]


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
