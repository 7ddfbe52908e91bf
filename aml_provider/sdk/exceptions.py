"""v1's public exceptions; all are :class:`~aml_provider.spec.errors.AmlError`, so one ``except`` takes everything."""

from __future__ import annotations

import sys
import traceback
from typing import Any

from aml_provider.spec.errors import AmlError


class AzureMLException(AmlError):
    """The root of v1's exceptions.

    :param exception_message: the sentence.
    :param inner_exception: what caused it.
    """

    def __init__(
        self,
        exception_message: str,
        inner_exception: BaseException | None = None,
        target: Any = None,
        details: Any = None,
        message_format: str | None = None,
        message_parameters: dict[str, Any] | None = None,
        reference_code: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(exception_message)
        self.message = exception_message
        self.inner_exception = inner_exception
        self.target = target
        self.details = details

    def __str__(self) -> str:
        return str(self.message)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.message}"

    def print_stacktrace(self) -> None:
        """Print where the exception was raised."""
        traceback.print_exception(type(self), self, self.__traceback__, file=sys.stderr)


class _Sentence(AzureMLException):
    def __init__(self, exception_message: str, **kwargs: Any) -> None:
        super().__init__(exception_message, **kwargs)


class UserErrorException(_Sentence):
    """Something the author asked for that cannot be."""


class AuthenticationException(UserErrorException):
    """Never raised here: there is no Azure identity."""


class ComputeTargetException(_Sentence):
    """A compute target that does not exist or cannot be used."""


class ExperimentExecutionException(_Sentence):
    """A run could not be followed to its end."""


class ProjectSystemException(_Sentence):
    """Kept because authors catch it."""


class RunConfigurationException(_Sentence):
    """A run configuration that cannot be read or used."""


class SnapshotException(_Sentence):
    """A source directory that cannot be brought to a step."""


class TrainingException(_Sentence):
    """Kept because authors catch it."""


class RunEnvironmentException(AzureMLException):
    """Code asked for its run outside a run, with ``allow_offline=False``."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("exception_message", "This code is not running inside a step, so there is no run.")
        super().__init__(**kwargs)


class WorkspaceException(AzureMLException):
    """A workspace that does not exist."""

    def __init__(self, exception_message: str, found_multiple: bool = False, **kwargs: Any) -> None:
        super().__init__(exception_message, **kwargs)
        self.found_multiple = found_multiple


class ModelNotFoundException(AzureMLException):
    """A model that is not registered."""

    def __init__(self, exception_message: str, logger: Any = None, **kwargs: Any) -> None:
        super().__init__(exception_message, **kwargs)


class ModelPathNotFoundException(AzureMLException):
    """A model whose files are not there."""

    def __init__(self, exception_message: str, logger: Any = None, **kwargs: Any) -> None:
        super().__init__(exception_message, **kwargs)


class WebserviceException(AzureMLException):
    """Kept because authors catch it."""

    def __init__(
        self, exception_message: str, status_code: int | None = None, logger: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(exception_message, **kwargs)
        self.status_code = status_code


class ActivityFailedException(AzureMLException):
    """A run that ended in failure; ``error_details`` has the failing step and its last log lines."""

    def __init__(self, error_details: str, **kwargs: Any) -> None:
        super().__init__(error_details, **kwargs)
        self.error_details = error_details


class AzureMLAggregatedException(AzureMLException):
    """Several exceptions at once."""

    def __init__(self, exceptions_list: list[BaseException], **kwargs: Any) -> None:
        super().__init__("\n".join(str(e) for e in exceptions_list), **kwargs)
        self.exceptions_list = exceptions_list


class DatasetTimestampMissingError(AzureMLException):
    """Kept because authors catch it."""

    def __init__(self, error_details: str, **kwargs: Any) -> None:
        super().__init__(error_details, **kwargs)
        self.error_details = error_details


class DiscoveryUrlNotFoundException(AzureMLException):
    """Kept because authors catch it."""

    def __init__(self, discovery_key: str, **kwargs: Any) -> None:
        super().__init__(f"Discovery URL not found for {discovery_key}", **kwargs)
