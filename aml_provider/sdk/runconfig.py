"""v1 ``RunConfiguration`` and ``DockerConfiguration``: how a script runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from aml_provider.sdk.conda import CondaDependencies, existing_file
from aml_provider.sdk.environment import DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE, ContainerRegistry, Environment
from aml_provider.sdk.exceptions import RunConfigurationException
from aml_provider.sdk.life import is_program
from aml_provider.sdk.unavailable import PartOfV1

__all__ = [
    "DEFAULT_CPU_IMAGE",
    "DEFAULT_GPU_IMAGE",
    "ContainerRegistry",
    "DataReferenceConfiguration",
    "DockerConfiguration",
    "EnvironmentDefinition",
    "HistoryConfiguration",
    "MpiConfiguration",
    "PyTorchConfiguration",
    "RunConfiguration",
    "TensorflowConfiguration",
]

DEFAULT_ENVIRONMENT = "project_environment"
_DEFAULT_SHM_SIZE = "2g"


class EnvironmentDefinition(Environment):
    """v1's older name of ``Environment``."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name or DEFAULT_ENVIRONMENT)


class DockerConfiguration:
    """Whether and how a step runs in a container.

    Changed: whether it does is the compute target's matter; ``shm_size`` is used where it runs in one.
    """

    def __init__(
        self,
        use_docker: bool = False,
        shared_volumes: bool = True,
        arguments: list[str] = [],
        shm_size: str | None = _DEFAULT_SHM_SIZE,
    ) -> None:
        self.use_docker = use_docker
        self.shared_volumes = shared_volumes
        self.arguments = list(arguments)
        self.shm_size = shm_size


class HistoryConfiguration:
    """What is recorded; everything is, whatever is set here."""

    def __init__(self) -> None:
        self.output_collection = True
        self.directories_to_watch: list[str] = ["logs"]
        self.snapshot_project = True


class DataReferenceConfiguration:
    """A data reference as a run configuration holds it."""

    def __init__(
        self,
        datastore_name: str | None = None,
        mode: str = "mount",
        path_on_datastore: str | None = None,
        path_on_compute: str | None = None,
        overwrite: bool = False,
    ) -> None:
        self.datastore_name = datastore_name
        self.mode = mode
        self.path_on_datastore = path_on_datastore
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite


class MpiConfiguration:
    """Processes of a distributed job."""

    def __init__(self, process_count_per_node: int = 1, node_count: int = 1) -> None:
        self.process_count_per_node = process_count_per_node
        self.node_count = node_count


class PyTorchConfiguration:
    """Processes of a distributed PyTorch job."""

    def __init__(
        self, communication_backend: str = "Nccl", process_count: int | None = None, node_count: int = 1
    ) -> None:
        self.communication_backend = communication_backend
        self.process_count = process_count
        self.node_count = node_count


class TensorflowConfiguration:
    """Processes of a distributed TensorFlow job."""

    def __init__(self, worker_count: int = 1, parameter_server_count: int = 1) -> None:
        self.worker_count = worker_count
        self.parameter_server_count = parameter_server_count


class AmlComputeConfiguration:
    """The cluster that v1 made for a run; has no meaning here."""

    def __init__(self) -> None:
        self.vm_size: str | None = None
        self.vm_priority: str | None = None
        self.name: str | None = None
        self.location: str | None = None
        self.cluster_max_node_count = 1
        self.retain_cluster = False


class RunConfiguration(PartOfV1):
    """How a script runs: its environment, its target, its Docker settings.

    :param script: script of a ``ScriptRunConfig``; steps have their own.
    :param arguments: its arguments.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "spark": "Spark is not supported in this version",
        "hdi": "HDInsight is not supported",
    }

    def __init__(
        self,
        script: str | None = None,
        arguments: list[Any] | None = None,
        framework: str | None = None,
        communicator: str | None = None,
        conda_dependencies: CondaDependencies | None = None,
        command: Any = None,
    ) -> None:
        self.script = script
        self.arguments = list(arguments or [])
        self.command = command
        self.framework = framework or "Python"
        self.communicator = communicator or "None"
        self.node_count = 1
        self.max_run_duration_seconds: int | None = None
        self.priority: int | None = None
        self.history = HistoryConfiguration()
        self.docker = DockerConfiguration()
        #: v1's default is not a wish: only a changed object's settings count.
        self.mpi = MpiConfiguration()
        self.pytorch = PyTorchConfiguration()
        self.tensorflow = TensorflowConfiguration()
        self.amlcompute = AmlComputeConfiguration()
        self.data_references: dict[str, Any] = {}
        self.data: dict[str, Any] = {}
        self.output_data: dict[str, Any] = {}
        self.source_directory_data_store: str | None = None
        self._target: Any = "local"
        self.auto_prepare_environment = True
        self.environment = Environment(DEFAULT_ENVIRONMENT)
        self.environment.is_default = True
        if conda_dependencies is not None:
            self.environment.python.conda_dependencies = conda_dependencies

    @property
    def target(self) -> Any:
        """Name of the compute target; an object may be set."""
        return self._target

    @target.setter
    def target(self, target: Any) -> None:
        self._target = target if isinstance(target, str) or target is None else target.name

    @property
    def environment_variables(self) -> dict[str, str]:
        """The environment's variables."""
        return self.environment.environment_variables

    @environment_variables.setter
    def environment_variables(self, value: dict[str, str] | None) -> None:
        self.environment.environment_variables = value or {}

    def __repr__(self) -> str:
        return f"RunConfiguration(target={self._target!r}, environment={self.environment.name!r})"

    # --- files ----------------------------------------------------------------------------------------------

    def save(self, path: str | None = None, name: str | None = None, separate_environment_yaml: bool = False) -> None:
        """Write ``<path>/.azureml/<name>.runconfig``, or the file ``path`` itself; written only by a program."""
        from aml_provider.sdk.runconfig_files import dump

        if is_program():
            dump(self, _runconfig_path(path or ".", name), separate_environment_yaml)

    @staticmethod
    def load(path: str, name: str | None = None) -> RunConfiguration:
        """Read a run configuration file.

        :param path: the file, or a folder with ``.azureml/<name>.runconfig``.
        :raises RunConfigurationException: it is missing or cannot be read.
        """
        from aml_provider.sdk.runconfig_files import parse

        return parse(existing_file(_runconfig_path(path, name), "run configuration"))

    @staticmethod
    def delete(path: str, name: str | None) -> None:
        """Delete a run configuration file; deleted only by a program.

        :raises RunConfigurationException: it does not exist.
        """
        file = _runconfig_path(path, name)
        if not is_program():
            return
        if not file.is_file():
            raise RunConfigurationException(f"The run configuration {str(file)!r} does not exist.")
        file.unlink()


def _runconfig_path(path: str | os.PathLike[str], name: str | None) -> Path:
    base = Path(path)
    if name is None:
        return base
    for folder in (".azureml", "aml_config"):
        file = base / folder / f"{name}.runconfig"
        if file.is_file():
            return file
    return base / ".azureml" / f"{name}.runconfig"
