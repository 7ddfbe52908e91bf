"""Azure ML's public exceptions, as far as a step's script can meet or name them: ``azureml.exceptions`` in a step."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class AzureMLException(Exception):
    """The root: every exception of the SDK has a ``message`` and may have an ``inner_exception``."""

    def __init__(
        self,
        exception_message: str,
        inner_exception: BaseException | None = None,
        target: str | None = None,
        details: Any = None,
        message_format: str | None = None,
        message_parameters: dict[str, Any] | None = None,
        reference_code: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(exception_message)
        self.message = exception_message
        self.inner_exception = inner_exception

    def __str__(self) -> str:
        return self.message

    def print_stacktrace(self) -> None:
        """Print where the exception came from."""
        import traceback

        traceback.print_exception(type(self), self, self.__traceback__)


class UserErrorException(AzureMLException):
    """A call that cannot work as it was made."""


class RunEnvironmentException(AzureMLException):
    """The process is not a step, and the caller did not allow an offline run."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            "This process is not a step of a run: AML_JOB_DIR is not set. Run the script as a pipeline step, "
            "or call Run.get_context(allow_offline=True) to have it print what it logs."
        )


class ModelNotFoundException(AzureMLException):
    """No model of this name."""


class ModelPathNotFoundException(AzureMLException):
    """The file or folder of a model to register is not there."""


class NotAvailableInStepError(UserErrorException, AttributeError, NotImplementedError):
    """A part of the SDK that talks to a workspace, used by a script inside a step, where there is none to talk to."""


class AuthenticationException(UserErrorException):
    """Kept so that scripts can name it; never raised inside a step."""


class ActivityFailedException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class ComputeTargetException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class ExperimentExecutionException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class ProjectSystemException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class RunConfigurationException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class ServiceException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class SnapshotException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class TrainingException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class WebserviceException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class WorkspaceException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class AzureMLAggregatedException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class DatasetTimestampMissingError(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class DiscoveryUrlNotFoundException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class ParallelRunException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""


class WorkspacePrivateEndpointException(AzureMLException):
    """Kept so that scripts can name it; never raised inside a step."""
