"""The resolved environments of a workspace or of a pipeline file: found by name, refreshed, and told in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aml_provider.cli.inspect import collect
from aml_provider.reuse.environments import takes_packages
from aml_provider.reuse.interpreters import base_interpreter, running
from aml_provider.reuse.keeping import is_in_bucket
from aml_provider.reuse.locks import EnvironmentLocks, LockedEnvironment
from aml_provider.reuse.packages import wanted_packages, without_credentials
from aml_provider.runs.binding import PipelineBinding
from aml_provider.runs.layout import RunStore
from aml_provider.spec.errors import AmlError, PipelineError
from aml_provider.spec.models import PythonSpec
from aml_provider.workspace.discovery import load_workspace
from aml_provider.workspace.model import ComputeKind

KEY_SHOWN = 12


@dataclass(frozen=True)
class Place:
    """The run store of one datastore.

    :param asked: key -> the name and the packages of an environment that the pipeline file uses.
    """

    datastore: str
    locks: EnvironmentLocks
    asked: dict[str, tuple[str, PythonSpec]] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """An environment, resolved or (``locked`` is ``None``) only asked for."""

    place: Place
    key: str
    name: str
    locked: LockedEnvironment | None

    def __str__(self) -> str:
        return f"{self.name} ({self.key[:KEY_SHOWN]})"

    @property
    def python(self) -> PythonSpec | None:
        """What the pipeline file asks for, with its passwords; ``None`` without a file."""
        asked = self.place.asked.get(self.key)
        return None if asked is None else asked[1]


# --- finding ----------------------------------------------------------------------------------------------------


def chosen_environments(names: list[str], file: Path | None) -> list[Found]:
    """Those with these names, or whose keys begin so.

    :raises AmlError: there is none, or the beginning of a key fits several.
    """
    known = all_environments(file)
    chosen: list[Found] = []
    for name in names:
        found = [f for f in known if f.name == name]
        if not found:
            found = [f for f in known if f.key.startswith(name)]
            if len({f.key for f in found}) > 1:
                raise AmlError(f"the keys of {len(found)} environments begin with {name!r}. Write more of the key.")
        if not found:
            listed = ", ".join(dict.fromkeys(repr(f.name) for f in known)) or "none"
            raise AmlError(f"no environment has the name {name!r} or a key that begins so; there are: {listed}.")
        chosen += [f for f in found if f not in chosen]
    return chosen


def all_environments(file: Path | None) -> list[Found]:
    """Those that have been resolved in the workspace; with ``file``, those that its pipelines use, resolved or not."""
    places = _everywhere() if file is None else _of_file(file)
    found: list[Found] = []
    for place in places:
        if file is None:
            found += [Found(place, lock.key, lock.name, lock) for lock in place.locks.all()]
        else:
            found += [Found(place, key, name, place.locks.get(key)) for key, (name, _) in place.asked.items()]
    return found


def _everywhere() -> list[Place]:
    """The run stores that the workspace may have: a pipeline keeps its own in its default datastore."""
    workspace = load_workspace()
    default = workspace.file.default_datastore
    stores = {
        store.environment_locks: store for name in workspace.datastores for store in [RunStore.of(workspace, name)]
    }
    # Only one bucket is asked: the others are data.
    found = [s for s in stores.values() if s.environment_locks.is_dir() or (is_in_bucket(s) and s.datastore == default)]
    return [Place(store.datastore, EnvironmentLocks(store)) for store in found]


def _of_file(file: Path) -> list[Place]:
    """The run stores of the pipelines in ``file``, with what their local steps ask for.

    :raises PipelineError: no step of it gets packages.
    """
    places: dict[Path, Place] = {}
    for spec, source, workspace in collect(file):
        binding = PipelineBinding(spec, source.folder, workspace)
        for step in spec.steps:
            environment = step.environment
            if binding.compute_of(step).kind is not ComputeKind.LOCAL or environment is None:
                continue
            python = environment.python
            if not takes_packages(python):
                continue
            locks = EnvironmentLocks.of(binding)
            place = places.setdefault(binding.store.environment_locks, Place(binding.store.datastore, locks))
            key = locks.key(python, running(base_interpreter(python.version, _say)))
            place.asked.setdefault(key, (environment.name, python))
    if not places:
        raise PipelineError(f"{file}: no local step has an environment with packages to install")
    return list(places.values())


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


# --- doing ------------------------------------------------------------------------------------------------------


def refreshed(found: Found) -> str:
    """Look for newer versions; what changed, in words."""
    locks = found.place.locks
    if found.locked is None:
        assert found.python is not None
        base = running(base_interpreter(found.python.version, lambda _: None))
        made = locks.lock(found.python, base, _say, found.name)
        return f"resolved, {_count(made)}"
    made = locks.refresh(found.key, _say, found.python)
    return "; ".join(changed_versions(found.locked.versions, made.versions)) or "nothing has changed"


def changed_versions(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Which packages changed, in words, sorted by name."""
    changes = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before is None:
            changes.append(f"{name} {after} is new")
        elif after is None:
            changes.append(f"{name} {before} is gone")
        elif before != after:
            changes.append(f"{name} {before} -> {after}")
    return changes


# --- telling ----------------------------------------------------------------------------------------------------


def _count(locked: LockedEnvironment) -> str:
    return f"{len(locked.packages)} package{'' if len(locked.packages) == 1 else 's'}"


def _when(locked: LockedEnvironment) -> str:
    return datetime.fromtimestamp(locked.created).astimezone().strftime("%Y-%m-%d %H:%M")


def _state(locked: LockedEnvironment | None) -> str:
    if locked is None:
        return "not resolved yet"
    return f"Python {locked.definition['python']}  {_count(locked)}, resolved {_when(locked)}"


def _asked(found: Found) -> tuple[list[str], list[str]]:
    """``(packages, options)`` as they are asked for, without passwords."""
    if found.locked is not None:
        return found.locked.definition["packages"], found.locked.definition["options"]
    assert found.python is not None
    packages = [without_credentials(p) for p in wanted_packages(found.python)]
    return packages, [without_credentials(o) for o in found.python.pip_options]


def listed(found: list[Found]) -> list[str]:
    """A line for each environment."""
    width = max(len(f.name) for f in found)
    several = len({f.place.datastore for f in found}) > 1
    return [
        f"{f.key[:KEY_SHOWN]}  {f.name:{width}}  {_state(f.locked)}{f'  {f.place.datastore}' if several else ''}"
        for f in found
    ]


def to_json(found: list[Found]) -> str:
    """All that is known about environments, as a JSON list."""
    return json.dumps([_value(f) for f in found], indent=2, sort_keys=True)


def described(found: Found) -> str:
    """An environment in words: what it asks for, and what that was resolved to."""
    packages, options = _asked(found)
    lines = [f"environment {found.name}, key {found.key}, in datastore {found.place.datastore}"]
    lines.append(f"  asks for {', '.join(packages)}")
    lines += [f"  option {option}" for option in options]
    locked = found.locked
    if locked is None:
        return "\n".join([*lines, "  not resolved yet: the first step that runs with it does that"])
    lines.append(f"  resolved {_when(locked)} for Python {locked.python} on {locked.definition['platform']}")
    return "\n".join([*lines, *(f"    {line}" for line in locked.packages)])


def _value(found: Found) -> dict[str, Any]:
    packages, options = _asked(found)
    value: dict[str, Any] = {
        "key": found.key,
        "name": found.name,
        "datastore": found.place.datastore,
        "asked": packages,
        "options": options,
        "resolved": None,
    }
    locked = found.locked
    if locked is not None:
        value["resolved"] = {
            "packages": locked.versions,
            "python": locked.python,
            "platform": locked.definition["platform"],
            "created": locked.created,
        }
    return value
