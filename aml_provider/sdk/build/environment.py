"""Run configurations and environments as spec data."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from aml_provider.sdk.conda import CondaDependencies, package_name, requirement_lines
from aml_provider.sdk.environment import DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE, Environment
from aml_provider.sdk.runconfig import _DEFAULT_SHM_SIZE, RunConfiguration
from aml_provider.sdk.source import PipelineSource, find_file, looked_in
from aml_provider.spec.errors import NotSupportedError, PipelineError
from aml_provider.spec.models import EnvironmentSpec, PythonSpec

_SDK = "azureml-"
_EXTRAS = re.compile(r"^[^\[]+\[([^\]]*)\]")


def environment_spec(step: str, config: RunConfiguration | None, source: PipelineSource) -> EnvironmentSpec | None:
    """The environment that a run configuration asks for, ``None`` when it asks for nothing.

    :raises PipelineError: it cannot be used; names the step.
    """
    if config is None:
        return None
    if config.node_count != 1:
        raise NotSupportedError(
            f"Step {step!r}: its run configuration has node_count {config.node_count}; "
            "a step runs on one node in this version."
        )
    environment = config.environment
    if isinstance(environment, str) or environment is None:
        raise PipelineError(
            f"Step {step!r}: the run configuration's environment is {environment!r}, not an Environment."
        )
    if flags := [*environment.docker.arguments, *(config.docker.arguments if config.docker is not None else ())]:
        raise NotSupportedError(
            f"Step {step!r}: arguments of `docker run`, {flags!r}, are not passed on. Leave them out: variables are "
            "the Environment's environment_variables, shared memory is shm_size, the network is set on the compute "
            "target in the workspace file, and data comes by inputs."
        )
    for name in environment.environment_variables:
        if not str(name) or "=" in str(name) or "\0" in str(name):
            raise PipelineError(
                f"Step {step!r}: its environment has a variable named {name!r}, and no name of a variable is empty or "
                "holds an equals sign."
            )
    image = environment.docker.base_image
    shm_size = environment.docker.shm_size
    # The run's own setting wins, like everything that v1 has put into docker_runtime_config since.
    if config.docker is not None and config.docker.shm_size != _DEFAULT_SHM_SIZE:
        shm_size = config.docker.shm_size
    made = EnvironmentSpec(
        name=environment.name,
        version=environment.version,
        # v1's own base images stand for "the usual one".
        image=None if image in (DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE) else image or None,
        dockerfile=_dockerfile(step, environment, source),
        python=_python(step, environment, source),
        variables={str(k): str(v) for k, v in environment.environment_variables.items()},
        shm_size=shm_size,
    )
    if environment.is_default and made == EnvironmentSpec(name=environment.name):
        return None
    return made


def _dockerfile(step: str, environment: Environment, source: PipelineSource) -> str | None:
    """The text of the Dockerfile."""
    text = environment.docker.base_dockerfile
    if environment.docker.build_context is not None:
        raise NotSupportedError(
            f"Step {step!r}: environment {environment.name!r} has a build context, which this version cannot build; "
            "build the image and set docker.base_image."
        )
    if text is None or "\n" in text or re.match(r"\s*(FROM|ARG|#)", text, re.IGNORECASE):
        return text
    file = find_file(text, source)
    if file is None or not file.is_file():
        raise PipelineError(
            f"Step {step!r}: the Dockerfile {text!r} of environment {environment.name!r} does not exist; looked in "
            f"{looked_in(text, source)}."
        )
    return file.read_text(encoding="utf-8")


def _python(step: str, environment: Environment, source: PipelineSource) -> PythonSpec:
    python = environment.python
    interpreter = python.interpreter_path or "python"
    if python.user_managed_dependencies:
        return PythonSpec(user_managed=True, interpreter=interpreter)
    conda = python.conda_dependencies
    if conda is None:
        return PythonSpec(interpreter=interpreter)
    if isinstance(conda, (str, os.PathLike)):
        conda = CondaDependencies(conda)
    packages, options = _pip(step, conda, source)
    conda_packages = [p for p in conda.conda_packages if package_name(p) not in ("python", "pip")]
    return PythonSpec(
        interpreter=interpreter,
        version=conda.get_python_version() if conda.python_version_set else None,
        pip_packages=tuple(packages),
        pip_options=tuple(options),
        conda_packages=tuple(conda_packages),
        conda_channels=tuple(conda.conda_channels) if conda_packages else (),
    )


def _pip(step: str, conda: CondaDependencies, source: PipelineSource) -> tuple[list[str], list[str]]:
    """``(packages, options)``; requirements files in the options are read."""
    entries: list[str] = []
    for entry in [*conda.pip_options, *conda.pip_packages]:
        included = re.match(r"(?:-r|--requirement)[\s=]*(\S.*)$", entry)
        entries += [entry] if included is None else requirement_lines(_requirements(step, included[1], conda, source))
    packages = [entry for entry in entries if not entry.startswith("-")]
    options = [entry for entry in entries if entry.startswith("-")]
    return _without_sdk(packages), list(dict.fromkeys(options))


def _requirements(step: str, path: str, conda: CondaDependencies, source: PipelineSource) -> Path:
    if conda.folder is not None and (conda.folder / path).is_file():
        return conda.folder / path
    file = find_file(path, source)
    if file is None:
        raise PipelineError(
            f"Step {step!r}: the requirements file {path!r} of its environment does not exist; looked in "
            f"{looked_in(path, source)}."
        )
    return file


def _without_sdk(packages: list[str]) -> list[str]:
    """The packages without Azure's own, which the runtime replaces.

    ``azureml-dataprep[pandas]`` is how v1 authors asked for pandas, so pandas stays; ``azureml-mlflow`` is how they
    asked for MLflow.
    """
    kept: dict[str, None] = {}
    wants_pandas = wants_mlflow = False
    for package in packages:
        if package_name(package).startswith(_SDK):
            wants_mlflow |= package_name(package) == "azureml-mlflow"
            extras = _EXTRAS.match(package)
            wants_pandas |= extras is not None and "pandas" in re.split(r"\s*,\s*", extras[1].strip())
        else:
            kept[package] = None
    if wants_mlflow and not any(package_name(p) in ("mlflow", "mlflow-skinny") for p in kept):
        kept["mlflow"] = None
    if wants_pandas and not any(package_name(p) == "pandas" for p in kept):
        kept["pandas"] = None
    return list(kept)


def timeout_seconds(config: Any) -> int | None:
    """The longest time that a run configuration allows."""
    seconds = None if config is None else config.max_run_duration_seconds
    return None if not seconds else int(seconds)
