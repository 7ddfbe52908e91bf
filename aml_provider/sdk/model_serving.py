"""What Azure ML has for serving models: there is no service here, and each name says what to use instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from aml_provider.sdk.unavailable import PartOfV1
from aml_provider.spec.errors import NotSupportedError

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace

SERVE = (
    "Azure's serving of models is not part of this package; get the files with model.download(), or the model from "
    "MLflow's registry, and serve it with `mlflow models serve`, or a service of your own."
)


def no_serving(what: str) -> NotSupportedError:
    """The exception for something that only serves models in Azure."""
    return NotSupportedError(f"{what} is not available: {SERVE}")


class NotServed:
    """v1's methods of ``Model`` that serve it in Azure."""

    @staticmethod
    def print_configuration(
        models: Any, inference_config: Any, deployment_config: Any, deployment_target: Any
    ) -> NoReturn:
        """Azure's serving of models does not exist here.

        :raises NotSupportedError: always.
        """
        raise no_serving("Model.print_configuration")

    @staticmethod
    def deploy(
        workspace: Workspace,
        name: str,
        models: Any,
        inference_config: Any = None,
        deployment_config: Any = None,
        deployment_target: Any = None,
        overwrite: bool = False,
        show_output: bool = False,
    ) -> NoReturn:
        """Azure's serving of models does not exist here.

        :raises NotSupportedError: always.
        """
        raise no_serving("Model.deploy")

    @staticmethod
    def package(
        workspace: Workspace,
        models: Any,
        inference_config: Any = None,
        generate_dockerfile: bool = False,
        image_name: str | None = None,
        image_label: str | None = None,
    ) -> NoReturn:
        """Azure's serving of models does not exist here.

        :raises NotSupportedError: always.
        """
        raise no_serving("Model.package")

    @staticmethod
    def profile(
        workspace: Workspace,
        profile_name: str,
        models: Any,
        inference_config: Any,
        input_dataset: Any,
        cpu: float | None = None,
        memory_in_gb: float | None = None,
        description: str | None = None,
    ) -> NoReturn:
        """Azure's serving of models does not exist here.

        :raises NotSupportedError: always.
        """
        raise no_serving("Model.profile")

    def get_sas_urls(self) -> NoReturn:
        """There are no signed URLs.

        :raises NotSupportedError: always.
        """
        raise NotSupportedError(
            "Model.get_sas_urls is not available: MLflow has no signed URLs; use model.download(), or model.url."
        )


class InferenceConfig(PartOfV1):
    """How Azure runs a scoring script.

    :raises NotSupportedError: always.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = dict.fromkeys(
        ("validate_configuration", "validation_script_content", "build_create_payload", "build_profile_payload"), SERVE
    )

    def __init__(
        self,
        entry_script: str,
        runtime: str | None = None,
        conda_file: str | None = None,
        extra_docker_file_steps: str | None = None,
        source_directory: str | None = None,
        enable_gpu: bool | None = None,
        description: str | None = None,
        base_image: str | None = None,
        base_image_registry: Any = None,
        cuda_version: str | None = None,
        environment: Any = None,
    ) -> None:
        raise no_serving("InferenceConfig")


class ModelPackage(PartOfV1):
    """A model in an image that Azure has built.

    :raises NotSupportedError: always.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = dict.fromkeys(
        (
            *("get_container_registry", "get_logs", "pull", "save", "update_creation_state", "wait_for_creation"),
            "serialize",
        ),
        SERVE,
    )

    def __init__(self, workspace: Any, operation_id: str, environment: Any) -> None:
        raise no_serving("ModelPackage")


class ResourceConfiguration(PartOfV1):
    """On what Azure deploys a model.

    :raises NotSupportedError: always.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = {"serialize": SERVE, "deserialize": SERVE}

    def __init__(self, cpu: float | None = None, memory_in_gb: float | None = None, gpu: int | None = None) -> None:
        raise no_serving("ResourceConfiguration")
