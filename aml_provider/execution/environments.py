"""Virtual environments for local steps: made by uv from the versions that packages were resolved to."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aml_provider.reuse.environments import local_identity, takes_packages
from aml_provider.reuse.fingerprint import Fingerprint
from aml_provider.reuse.installer import uv
from aml_provider.reuse.interpreters import Interpreter, as_it_is, base_interpreter, running
from aml_provider.reuse.locks import EnvironmentLocks, LockedEnvironment, included_file, json_digest
from aml_provider.reuse.packages import (
    hashes_of,
    is_editable,
    resolved_package,
    wanted_packages,
    with_credentials,
    without_credentials,
)
from aml_provider.spec.models import EnvironmentSpec, PythonSpec
from aml_provider.storage.digest_cache import DigestCache

_log = logging.getLogger(__name__)

# A refresh of packages leaves the environment with the old ones behind.
UNUSED_SECONDS = 30 * 24 * 3600.0
_OURS = re.compile(r"[0-9a-f]{20,32}")


@contextmanager
def interpreter_for(
    environment: EnvironmentSpec | None, locks: EnvironmentLocks, folder: Path, say: Callable[[str], None]
) -> Iterator[str]:
    """The Python that a local step runs with; it stays as it is while the block runs.

    Without packages to install, or with ``user_managed_dependencies``, it is an interpreter as it is; else one
    of a virtual environment that has exactly the versions in ``locks`` and is kept in ``folder``.

    :param say: told, in a sentence, what takes time or is not as asked.
    :raises StepError: the environment cannot be built; holds the installer's own words.
    """
    python = environment.python if environment is not None else PythonSpec()
    if not takes_packages(python):
        yield as_it_is(python.interpreter) if python.user_managed else sys.executable
        return
    name = environment.name if environment is not None else ""
    base = running(base_interpreter(python.version, say))
    locked = locks.lock(python, base, say, name)
    lines = _lines(python, locked)
    hidden = [without_credentials(line) for line in lines]
    key = json_digest([locked.digest, base.path, base.version, hidden])
    target, claim = folder / key, folder / f"{key}.lock"
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        with _held(claim, fcntl.LOCK_SH):
            if _complete(target).is_file():
                os.utime(_complete(target))
                yield str(target / "bin" / "python")
                return
        with _held(claim, fcntl.LOCK_EX):
            if not _complete(target).is_file():
                say(f"building the Python environment {name!r}: {', '.join(locked.packages)}")
                _remove_unused(folder)
                _build(target, base, lines, locks.beside, name)


def resolve(environment: EnvironmentSpec | None, locks: EnvironmentLocks, say: Callable[[str], None]) -> bool:
    """Resolve the packages of an environment unless they have been; whether they were.

    :raises StepError: the packages cannot be resolved.
    """
    python = environment.python if environment is not None else PythonSpec()
    if environment is None or not takes_packages(python):
        return False
    base = running(base_interpreter(python.version, lambda _: None))
    if locks.find(python, base) is not None:
        return False
    locks.lock(python, base, say, environment.name)
    return True


def is_as_fingerprinted(
    fingerprint: Fingerprint, environment: EnvironmentSpec | None, locks: EnvironmentLocks, cache: DigestCache
) -> bool:
    """Whether a local step would still find what its fingerprint says: somebody may just have refreshed packages."""
    known = fingerprint.parts["environment"]
    return bool(known.get("kind") == "declared" or known == local_identity(environment, locks, cache).identity)


def _lines(python: PythonSpec, locked: LockedEnvironment) -> list[str]:
    """What uv is told to install: the author's options, with what they chose put in place of what chooses."""
    asked = wanted_packages(python)
    hashes = hashes_of(asked)
    found = [o for o in python.pip_options if not included_file(o) and not is_editable(o)]
    for line in locked.packages:
        package, version, _ = resolved_package(line)
        checked = hashes.get(package) or hashes.get(version)
        line = with_credentials(line, [*asked, *python.pip_options])
        found.append(f"{line} {checked}" if checked else line)
    return found


def _build(target: Path, base: Interpreter, lines: list[str], beside: Path | None, name: str) -> None:
    shutil.rmtree(target, ignore_errors=True)
    uv(["venv", "--quiet", "--python", base.path, str(target)], name)
    python = str(target / "bin" / "python")
    uv(["pip", "install", "--quiet", "--no-deps", "--python", python, "-r", "-"], name, lines=lines, folder=beside)
    _complete(target).touch()


def _complete(target: Path) -> Path:
    """What says that an environment is whole, and when a step last started with it."""
    return target / ".complete"


@contextmanager
def _held(file: Path, how: int) -> Iterator[None]:
    """A lock between processes, which ends with its holder; several may hold a shared one."""
    with file.open("a") as f:
        fcntl.flock(f, how)
        yield


def _remove_unused(folder: Path) -> None:
    """Remove environments that no step has started with for long, and that none is running with."""
    limit = time.time() - UNUSED_SECONDS
    for target in folder.iterdir():
        if not _OURS.fullmatch(target.name) or not target.is_dir():
            continue
        used = _complete(target)
        try:
            if (used if used.is_file() else target).stat().st_mtime > limit:
                continue
            with _held(folder / f"{target.name}.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(target)
        except OSError as problem:
            _log.debug("the environment %s is kept: %s", target, problem)
