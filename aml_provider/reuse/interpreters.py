"""The Pythons of this worker: which one a step gets, and what is installed in it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import site
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from aml_provider.reuse.packages import normal_name
from aml_provider.runs.errors import StepError

OURS = "airflow-provider-aml"
_OUR_FOLDER = str(Path(__file__).resolve().parents[2])
_ASK_SECONDS = 30
# Runs in that Python, which may be an old one. Its last line counts: a sitecustomize may print.
_ASK = """
import json, platform, site, sys
user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
print(json.dumps([platform.python_implementation(), platform.python_version(), sys.platform, platform.machine(),
                  site.getsitepackages() + user]))
"""
# Nothing that a local step is not given either.
_HIDDEN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Interpreter:
    """A Python on this worker.

    :param version: all of it (``3.11.7``); with the implementation's name unless that is CPython.
    :param platform: operating system and processor (``linux-x86_64``): other ones have other builds of packages.
    :param sites: the folders that it has its packages in.
    """

    path: str
    version: str
    platform: str
    sites: tuple[str, ...]

    @property
    def minor(self) -> str:
        """The part of the version that packages are made for: ``3.11``."""
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True)
class Installed:
    """What an interpreter has.

    :param packages: normal name -> version.
    :param changing: what can change without its version, in words that fit into a sentence; ``None``: nothing.
    """

    packages: dict[str, str]
    changing: str | None


def as_it_is(interpreter: str) -> str:
    """The path of the Python that an author names, for an environment into which nothing is installed.

    :raises StepError: it does not exist here.
    """
    # v1's default 'python' means whatever Python the compute has: here the worker's own.
    if interpreter in ("", "python", "python3"):
        return sys.executable
    found = shutil.which(interpreter)
    if found is None:
        raise StepError(f"python.interpreter_path {interpreter!r} does not exist on this worker. Correct the path.")
    return found


def base_interpreter(version: str | None, say: Callable[[str], None]) -> str:
    """The path of the Python for a virtual environment: of the wanted version if there is one, else the worker's own.

    :param say: told when there is none.
    """
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not version or version == own or version.startswith(own + "."):
        return sys.executable
    wanted = ".".join(version.split(".")[:2])
    found = shutil.which(f"python{wanted}")
    # A name on the path may be a version manager's stand-in for a Python that is not there.
    if found and look_at(found) is not None:
        return found
    say(f"Python {version} is not installed on this worker: using {own}. Local steps take the Pythons that are there.")
    return sys.executable


def look_at(path: str) -> Interpreter | None:
    """The Python at ``path``; ``None`` when it does not run. Asked once, as long as the file is the same."""
    if path == sys.executable:
        return _own()
    try:
        return _ask(path, os.stat(path).st_mtime_ns)
    except OSError:
        return None


def running(path: str) -> Interpreter:
    """The Python at ``path``.

    :raises StepError: it does not run.
    """
    found = look_at(path)
    if found is None:
        raise StepError(f"the Python {path!r} does not run on this worker. Correct its path, or install it.")
    return found


def installed_in(interpreter: Interpreter) -> Installed:
    """What is installed, except this package: how a step is run is not part of what it computes."""
    stamps = tuple((folder, os.stat(folder).st_mtime_ns) for folder in interpreter.sites if os.path.isdir(folder))
    return _scan(stamps)


@lru_cache(maxsize=1)
def _own() -> Interpreter:
    # sys.path holds more here: what Airflow and whoever started this process added to it.
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return _made(
        sys.executable,
        [
            platform.python_implementation(),
            platform.python_version(),
            sys.platform,
            platform.machine(),
            [*site.getsitepackages(), *user],
        ],
    )


def _made(path: str, told: list[Any]) -> Interpreter:
    implementation, version, system, machine, sites = told
    full = version if implementation == "CPython" else f"{version} {implementation}"
    return Interpreter(path, full, f"{system}-{machine}", tuple(dict.fromkeys(sites)))


@lru_cache(maxsize=64)
def _ask(path: str, mtime_ns: int) -> Interpreter | None:
    environment = {k: v for k, v in os.environ.items() if k not in _HIDDEN}
    try:
        done = subprocess.run(
            [path, "-c", _ASK], capture_output=True, text=True, env=environment, check=False, timeout=_ASK_SECONDS
        )
        return None if done.returncode else _made(path, json.loads(done.stdout.strip().splitlines()[-1]))
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return None


@lru_cache(maxsize=64)
def _scan(folders: tuple[tuple[str, int], ...]) -> Installed:
    packages: dict[str, str] = {}
    changing: list[str] = []
    added: list[str] = []
    for folder, _ in folders:
        for entry in sorted(os.scandir(folder), key=lambda e: e.name):
            stem, suffix = os.path.splitext(entry.name)
            if suffix in (".dist-info", ".egg-info"):
                name, _, version = stem.partition("-")
                name = normal_name(name)
                # What comes first on the path is what is imported.
                if name == OURS or name in packages:
                    continue
                source = _installed_from(entry.path)
                if source is not None and source.get("dir_info", {}).get("editable"):
                    changing.append(f"package {name!r}, which is installed in editable mode")
                # An egg-info may have a version of the Python behind its own.
                packages[name] = version.partition("-py")[0] or _described_version(entry.path)
                if source is not None:
                    content = _content(entry.path)
                    if content is None:
                        changing.append(f"package {name!r}, of whose files there is no list")
                    packages[name] += f" (content {content})"
            elif suffix == ".pth":
                added += [f"what {entry.name} adds from {p}" for p in _added_folders(folder, entry.path)]
    # An editable package adds its folder; its own name says more.
    return Installed(packages, next(iter([*changing, *added]), None))


def _installed_from(folder: str) -> dict[str, Any] | None:
    """Where a package came from that no index had: such a one may change while its version stays."""
    try:
        with open(f"{folder}/direct_url.json", encoding="utf-8") as f:
            found = json.load(f)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _content(folder: str) -> str | None:
    """A digest of a package's files, from the list of their hashes that its installer wrote, if it did."""
    try:
        lines = Path(folder, "RECORD").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return None
    own = f"{os.path.basename(folder)}/"
    files = sorted(line for line in lines if not line.startswith(own) and ".pyc" not in line)
    return sha256("\n".join(files).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _described_version(path: str) -> str:
    """The version of an old-style package whose folder's name has none."""
    file = f"{path}/PKG-INFO" if os.path.isdir(path) else path
    try:
        with open(file, encoding="utf-8", errors="replace") as f:
            return next((line[8:].strip() for line in f if line.startswith("Version:")), "")
    except OSError:
        return ""


def _added_folders(site_folder: str, file: str) -> list[str]:
    """Folders elsewhere that a ``.pth`` file adds to the path: code without a version."""
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        if not line.strip() or line.startswith(("#", "import ", "import\t")):
            continue
        folder = os.path.normpath(os.path.join(site_folder, line.rstrip()))
        inside = folder == site_folder or folder.startswith(site_folder + os.sep)
        if not inside and os.path.isdir(folder) and os.path.realpath(folder) != _OUR_FOLDER:
            found.append(folder)
    return found
