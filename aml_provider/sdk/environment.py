"""v1 ``Environment``: what a step's Python and its image are."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aml_provider.sdk import registry
from aml_provider.sdk.conda import CondaDependencies, existing_file, requirement_lines
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import is_program
from aml_provider.sdk.unavailable import PartOfV1
from aml_provider.spec.errors import NotSupportedError

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace

KIND = "environments"
#: v1's base images. They are v1's way of saying "the usual one": here the compute target's image stands for them.
DEFAULT_CPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04"
DEFAULT_GPU_IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-cuda11.1-cudnn8-ubuntu20.04"


class ContainerRegistry:
    """Where images come from; credentials belong into an Airflow connection (``docker_conn_id``)."""

    def __init__(self) -> None:
        self.address: str | None = None
        self.username: str | None = None
        self.password: str | None = None
        self.registry_identity: Any = None


class DockerSection:
    """The container part of an environment.

    ``base_dockerfile`` is the text of a Dockerfile, or the path of one.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.enabled: bool = kwargs.pop("enabled", False)
        self.base_image: str | None = kwargs.pop("base_image", None)
        self.base_dockerfile: str | None = kwargs.pop("base_dockerfile", None)
        self.build_context: Any = kwargs.pop("build_context", None)
        self.base_image_registry = kwargs.pop("base_image_registry", None) or ContainerRegistry()
        self.gpu_support: bool = kwargs.pop("gpu_support", False)
        self.shared_volumes: bool = kwargs.pop("shared_volumes", True)
        self.arguments: list[str] = list(kwargs.pop("arguments", None) or [])
        self.shm_size: str | None = kwargs.pop("shm_size", None)
        self.platform: Any = None
        if kwargs:
            raise UserErrorException(f"DockerSection has no setting {sorted(kwargs)[0]!r}.")


class PythonSection:
    """The Python part of an environment.

    :param user_managed_dependencies: use the interpreter as it is and install nothing.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.interpreter_path: str = kwargs.pop("interpreter_path", "python")
        self.user_managed_dependencies: bool = kwargs.pop("user_managed_dependencies", False)
        self.conda_dependencies: CondaDependencies | None = kwargs.pop("conda_dependencies", None)
        self.base_conda_environment: str | None = None
        self._conda_dependencies_file: str | None = None
        if kwargs:
            raise UserErrorException(f"PythonSection has no setting {sorted(kwargs)[0]!r}.")
        if self.conda_dependencies is None:
            self.conda_dependencies = CondaDependencies()

    @property
    def conda_dependencies_file(self) -> str | None:
        """A conda environment file; setting it reads the file."""
        return self._conda_dependencies_file

    @conda_dependencies_file.setter
    def conda_dependencies_file(self, path: str | None) -> None:
        self._conda_dependencies_file = path
        if path is not None:
            self.conda_dependencies = CondaDependencies(path)


class Environment(PartOfV1):
    """What a step runs in.

    Changed: registered environments are kept in the workspace's state folder. Azure's curated environments
    (``AzureML-...``) exist only in Azure: register one of your own under that name, and ``Environment.get`` finds it.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "get_image_details": "images are built where steps run; `docker images` lists them",
        "build": "an environment is built when a step first needs it",
        "build_local": "an environment is built when a step first needs it",
        "spark": "Spark is not supported in this version",
        "r": "R packages belong into the image",
    }

    def __init__(self, name: str, **kwargs: Any) -> None:
        if not isinstance(name, str) or not name:
            raise UserErrorException(f"Environment: the name is {name!r}, but must be text that is not empty.")
        self.name = name
        self.version: str | None = None
        self.python: PythonSection = kwargs.pop("python", None) or PythonSection()
        self.docker: DockerSection = kwargs.pop("docker", None) or DockerSection()
        self.environment_variables = kwargs.pop("environment_variables", None)
        self.inferencing_stack_version: str | None = kwargs.pop("inferencing_stack_version", None)
        #: Not written by an author: the environment of a run configuration that names none.
        self.is_default = False
        if kwargs:
            raise UserErrorException(f"Environment {name!r} has no setting {sorted(kwargs)[0]!r}.")

    @property
    def environment_variables(self) -> dict[str, str]:
        """Environment variables of the step."""
        return self._environment_variables

    @environment_variables.setter
    def environment_variables(self, value: dict[str, str] | None) -> None:
        if value is not None and not isinstance(value, Mapping):
            raise UserErrorException(
                f"Environment {self.name!r}: environment_variables is {value!r}; give a mapping of names to values, "
                "like {'NAME': 'value'}."
            )
        self._environment_variables = dict(value or {})

    def __repr__(self) -> str:
        return f"Environment(Name: {self.name}, Version: {self.version})"

    # --- ways to make one -----------------------------------------------------------------------------------

    @staticmethod
    def from_conda_specification(name: str, file_path: str) -> Environment:
        """An environment of a conda environment file."""
        made = Environment(name)
        made.python.conda_dependencies = CondaDependencies(file_path)
        return made

    @staticmethod
    def from_pip_requirements(name: str, file_path: str, pip_version: str | None = None) -> Environment:
        """An environment of a pip requirements file."""
        made = Environment(name)
        conda = CondaDependencies()
        conda.set_pip_requirements(requirement_lines(existing_file(file_path, "requirements file")))
        made.python.conda_dependencies = conda
        return made

    @staticmethod
    def from_dockerfile(
        name: str, dockerfile: str, conda_specification: str | None = None, pip_requirements: str | None = None
    ) -> Environment:
        """An environment of a Dockerfile: its path, or its text."""
        made = _with_packages(name, conda_specification, pip_requirements)
        made.docker.base_dockerfile = dockerfile
        return made

    @staticmethod
    def from_docker_image(
        name: str,
        image: str,
        container_registry: Any = None,
        conda_specification: str | None = None,
        pip_requirements: str | None = None,
    ) -> Environment:
        """An environment of an image."""
        made = _with_packages(name, conda_specification, pip_requirements)
        made.docker.base_image = image
        if container_registry is not None:
            made.docker.base_image_registry = container_registry
        return made

    @staticmethod
    def from_docker_build_context(name: str, docker_build_context: Any) -> Environment:
        """An environment of a folder with a Dockerfile.

        :raises NotSupportedError: always, in this version.
        """
        raise NotSupportedError(
            f"Environment {name!r}: build contexts are not supported in this version; build the image and use "
            "Environment.from_docker_image, or Environment.from_dockerfile for a Dockerfile that copies no files."
        )

    @staticmethod
    def from_existing_conda_environment(name: str, conda_environment_name: str) -> Environment:
        """An environment like a conda environment of this machine.

        :raises NotSupportedError: always: what is installed here says nothing about where steps run.
        """
        raise NotSupportedError(
            f"Environment {name!r}: export the conda environment ({conda_environment_name!r}) to a file with "
            "`conda env export` and use Environment.from_conda_specification."
        )

    def clone(self, new_name: str) -> Environment:
        """The same environment under another name, without a version."""
        other = copy.deepcopy(self)
        other.name, other.version, other.is_default = new_name, None, False
        return other

    # --- registered environments ----------------------------------------------------------------------------

    def register(self, workspace: Workspace) -> Environment:
        """Register under its name; the same content is not a new version. Kept for good only by a program."""
        from aml_provider.sdk.environment_records import to_record

        record = to_record(self)
        known = registry.versions(workspace, KIND, self.name)
        if known and {k: v for k, v in known[-1][1].items() if k != "name"} == record:
            number = known[-1][0]
        else:
            number = registry.add(workspace, KIND, self.name, record)
        made = self.clone(self.name)
        made.version = str(number)
        return made

    @staticmethod
    def get(workspace: Workspace, name: str, version: str | None = None, label: str | None = None) -> Environment:
        """A registered environment.

        :raises UserErrorException: it is not registered.
        """
        known = registry.versions(workspace, KIND, name)
        wanted = [v for v in known if str(v[0]) == str(version)] if version is not None else known[-1:]
        if wanted:
            return _restored(*wanted[0])
        if name.startswith("AzureML-"):
            raise UserErrorException(
                f"Environment {name!r} is one of Azure's own, which exist only there. Make one with the packages you "
                f"need (Environment.from_pip_requirements({name!r}, 'requirements.txt')) and register it once: then "
                "this line finds it."
            )
        raise UserErrorException(
            f"Workspace {workspace.name!r} has no environment {name!r}"
            f"{'' if version is None else f' version {version}'}; registered are "
            f"{registry.names(workspace, KIND) or 'none'}. Register it with environment.register(workspace)."
        )

    @staticmethod
    def list(workspace: Workspace) -> dict[str, Environment]:
        """Name -> newest version."""
        return {name: Environment.get(workspace, name) for name in registry.names(workspace, KIND)}

    # --- folders --------------------------------------------------------------------------------------------

    def save_to_directory(self, path: str, overwrite: bool = False) -> None:
        """Write the environment to a folder; written only by a program.

        :raises UserErrorException: the folder exists and ``overwrite`` is false.
        """
        from aml_provider.sdk.environment_records import to_record

        if not is_program():
            return
        folder = Path(path)
        if folder.exists() and not overwrite:
            raise UserErrorException(f"{folder} exists; pass overwrite=True to replace the environment in it.")
        folder.mkdir(parents=True, exist_ok=True)
        content = {"name": self.name, **to_record(self)}
        (folder / "azureml_environment.json").write_text(json.dumps(content, indent=4), encoding="utf-8")

    @staticmethod
    def load_from_directory(path: str) -> Environment:
        """The environment that :meth:`save_to_directory` wrote."""
        file = existing_file(os.path.join(path, "azureml_environment.json"), "environment")
        made = _restored(0, json.loads(file.read_text(encoding="utf-8")))
        made.version = None
        return made


def _restored(version: int, record: dict[str, Any]) -> Environment:
    from aml_provider.sdk.environment_records import from_record

    made = from_record(record["name"], record)
    made.version = str(version)
    return made


def _with_packages(name: str, conda_specification: str | None, pip_requirements: str | None) -> Environment:
    if conda_specification is not None and pip_requirements is not None:
        raise UserErrorException(f"Environment {name!r}: give conda_specification or pip_requirements, not both.")
    if conda_specification is not None:
        return Environment.from_conda_specification(name, conda_specification)
    if pip_requirements is not None:
        return Environment.from_pip_requirements(name, pip_requirements)
    made = Environment(name)
    # An image that is taken as it is has its own Python and packages.
    made.python.user_managed_dependencies = True
    return made
