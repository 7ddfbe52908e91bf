"""Run configurations as YAML files, with v1's keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aml_provider.sdk.conda import CondaDependencies
from aml_provider.sdk.environment_records import from_record, to_record
from aml_provider.sdk.exceptions import RunConfigurationException
from aml_provider.sdk.runconfig import DEFAULT_ENVIRONMENT, RunConfiguration


def dump(config: RunConfiguration, file: Path, separate_environment: bool) -> None:
    """Write a run configuration.

    :param separate_environment: write the environment to ``environment.yml`` beside the file.
    """
    import yaml

    environment = {"name": config.environment.name, **to_record(config.environment)}
    content: dict[str, Any] = {
        "script": config.script,
        "arguments": [str(argument) for argument in config.arguments],
        "command": config.command,
        "framework": config.framework,
        "communicator": config.communicator,
        "target": config.target,
        "nodeCount": config.node_count,
        "maxRunDurationSeconds": config.max_run_duration_seconds,
        "docker": {
            "useDocker": config.docker.use_docker,
            "sharedVolumes": config.docker.shared_volumes,
            "shmSize": config.docker.shm_size,
            "arguments": list(config.docker.arguments),
        },
        "environment": environment,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    if separate_environment:
        del content["environment"]
        (file.parent / "environment.yml").write_text(yaml.safe_dump(environment, sort_keys=False), encoding="utf-8")
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def parse(file: Path) -> RunConfiguration:
    """Read a run configuration.

    :raises RunConfigurationException: it is no such file.
    """
    content = _mapping(file)
    separate = file.parent / "environment.yml"
    environment = content.get("environment")
    if environment is None and separate.is_file():
        environment = _mapping(separate)
    config = RunConfiguration(
        script=content.get("script"),
        arguments=content.get("arguments") or [],
        framework=content.get("framework"),
        communicator=content.get("communicator"),
        command=content.get("command"),
    )
    config.target = content.get("target") or "local"
    config.node_count = int(content.get("nodeCount") or 1)
    config.max_run_duration_seconds = content.get("maxRunDurationSeconds")
    docker = content.get("docker") or {}
    config.docker.use_docker = bool(docker.get("useDocker"))
    config.docker.shm_size = docker.get("shmSize", config.docker.shm_size)
    config.docker.arguments = list(docker.get("arguments") or [])
    if environment:
        config.environment = from_record(environment.get("name") or DEFAULT_ENVIRONMENT, environment)
        named = (environment.get("python") or {}).get("condaDependenciesFile")
        if named:
            # v1 looks for it beside the folder that holds .azureml, then beside the file.
            places = [file.parent.parent / named, file.parent / named]
            found = next((place for place in places if place.is_file()), None)
            config.environment.python.conda_dependencies = CondaDependencies(found or named)
    return config


def _mapping(file: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RunConfigurationException(f"{file} is not valid YAML: {error}.") from None
    if not isinstance(content, dict):
        raise RunConfigurationException(f"{file} is no run configuration: it is not a YAML mapping.")
    return content
