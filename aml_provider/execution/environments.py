"""Virtual environments for local steps: made by uv from the Environment's packages, shared by equal content."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from aml_provider.runs.errors import StepError
from aml_provider.spec.models import EnvironmentSpec, PythonSpec

# What conda itself and v1's defaults bring along; a virtual environment has or needs none of it.
NOT_PACKAGES = {"python", "pip", "conda", "anaconda", "nomkl", "blas"}


def interpreter_for(environment: EnvironmentSpec | None, folder: Path, say: Callable[[str], None]) -> str:
    """The Python that a local step runs with.

    Without packages to install, or with ``user_managed_dependencies``, it is an interpreter as it is; else one
    of a virtual environment that is built once per content and kept in ``folder``.

    :param say: told, in a sentence, what takes time or is not as asked.
    :raises StepError: the environment cannot be built; holds the installer's own words.
    """
    python = environment.python if environment is not None else PythonSpec()
    if python.user_managed:
        return _as_it_is(python.interpreter)
    packages = sorted({*python.pip_packages, *(p for c in python.conda_packages if (p := pip_name(c)))})
    if "mlflow" in packages:
        # Two versions of MLflow on one database do not understand each other.
        packages[packages.index("mlflow")] = f"mlflow=={version('mlflow')}"
    if not packages:
        return sys.executable
    base = _base_interpreter(python.version, say)
    key = hashlib.sha256(json.dumps([packages, list(python.pip_options), base]).encode()).hexdigest()[:20]
    target = folder / key
    result = str(target / "bin" / "python")
    if (target / ".complete").is_file():
        return result
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(str(folder / f"{key}.lock")):
        if not (target / ".complete").is_file():
            say(f"building the Python environment {environment.name if environment else ''!r}: {', '.join(packages)}")
            _build(target, base, packages, python, environment.name if environment else "")
    return result


def pip_name(conda_package: str) -> str | None:
    """A conda package specification as pip writes it; ``None`` for what is not a Python package.

    ``scikit-learn=1.3`` means any 1.3.x to conda, so it becomes ``scikit-learn==1.3.*``.
    """
    text = conda_package.rsplit("::", maxsplit=1)[-1].strip()
    match = re.fullmatch(r"([A-Za-z0-9._-]+)\s*(.*)", text)
    if not match or match[1].lower() in NOT_PACKAGES:
        return None
    name, rest = match[1], match[2].strip()
    exact = re.fullmatch(r"=([0-9][\w.]*)(=\S+)?", rest)
    if exact:
        return f"{name}=={exact[1]}.*"
    return f"{name}{rest}"


def _as_it_is(interpreter: str) -> str:
    # v1's default 'python' means whatever Python the compute has: here the worker's own.
    if interpreter in ("", "python", "python3"):
        return sys.executable
    found = shutil.which(interpreter)
    if found is None:
        raise StepError(f"python.interpreter_path {interpreter!r} does not exist on this worker. Correct the path.")
    return found


def _base_interpreter(version: str | None, say: Callable[[str], None]) -> str:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not version or version == own or version.startswith(own + "."):
        return sys.executable
    wanted = ".".join(version.split(".")[:2])
    found = shutil.which(f"python{wanted}")
    # A name on the path may be a version manager's stand-in for a Python that is not there.
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
        return found
    say(f"Python {version} is not installed on this worker: using {own}. Local steps take the Pythons that are there.")
    return sys.executable


def _build(target: Path, base: str, packages: list[str], python: PythonSpec, name: str) -> None:
    shutil.rmtree(target, ignore_errors=True)
    _uv(["venv", "--quiet", "--python", base, str(target)], name)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False) as f:
        f.write("\n".join([*python.pip_options, *packages]) + "\n")
    try:
        _uv(["pip", "install", "--quiet", "--python", str(target / "bin" / "python"), "-r", f.name], name)
    finally:
        os.unlink(f.name)
    (target / ".complete").touch()


def _uv(arguments: list[str], name: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run([_uv_binary(), *arguments], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise StepError(
            f"the Python environment {name!r} could not be built (uv {' '.join(arguments[:2])}):\n"
            f"{done.stderr.strip()[-2000:]}\nCorrect its packages, or set user_managed_dependencies=True."
        )


def _uv_binary() -> str:
    import uv

    return str(uv.find_uv_bin())
