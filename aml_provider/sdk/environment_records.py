"""Environments as JSON: what the registry and ``save_to_directory`` keep."""

from __future__ import annotations

from typing import Any

from aml_provider.sdk.conda import CondaDependencies
from aml_provider.sdk.environment import Environment


def to_record(environment: Environment) -> dict[str, Any]:
    """Everything but name and version; v1's keys where v1 has them."""
    python, docker = environment.python, environment.docker
    conda = python.conda_dependencies
    return {
        "environmentVariables": dict(environment.environment_variables),
        "python": {
            "interpreterPath": python.interpreter_path,
            "userManagedDependencies": python.user_managed_dependencies,
            "condaDependencies": None if conda is None else conda.as_dict(),
            "pythonVersionSet": conda is not None and conda.python_version_set,
        },
        "docker": {
            "baseImage": docker.base_image,
            "baseDockerfile": docker.base_dockerfile,
            "shmSize": docker.shm_size,
            "arguments": list(docker.arguments),
        },
    }


def from_record(name: str, record: dict[str, Any]) -> Environment:
    """The environment of a record."""
    made = Environment(name)
    made.environment_variables = record.get("environmentVariables") or {}
    python = record.get("python") or {}
    made.python.interpreter_path = python.get("interpreterPath") or "python"
    made.python.user_managed_dependencies = bool(python.get("userManagedDependencies"))
    content = python.get("condaDependencies")
    if content is not None:
        conda = CondaDependencies()
        conda._content = content
        # A record written by v1 has no such key: its version was then asked for, or was v1's default.
        conda.python_version_set = bool(python.get("pythonVersionSet"))
        made.python.conda_dependencies = conda
    docker = record.get("docker") or {}
    made.docker.base_image = docker.get("baseImage")
    made.docker.base_dockerfile = docker.get("baseDockerfile")
    made.docker.shm_size = docker.get("shmSize")
    made.docker.arguments = list(docker.get("arguments") or [])
    return made
