"""What is reported to a run and read back: metrics, tags, properties, files. It is the same inside steps and outside.

The methods are the runtime's; only where the reports are kept differs, and the exceptions, which are the sdk's here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from aml_provider.runtime import exceptions as inside
from aml_provider.runtime.run_children import RunChildren, has, status_is
from aml_provider.runtime.run_files import RunFiles
from aml_provider.runtime.run_metrics import RunMetrics
from aml_provider.runtime.run_tags import RunTags
from aml_provider.sdk import exceptions
from aml_provider.spec.errors import NotSupportedError

__all__ = ["Reporting", "has", "status_is"]


class Reporting(RunMetrics, RunChildren, RunFiles):
    """The reporting part of v1's ``Run``. Who inherits it sets ``_store`` and ``_child``."""

    _job = None

    def _own_id(self) -> str:
        return str(self.id)

    @property
    def id(self) -> str:
        """The run's id."""
        raise NotImplementedError


def _outside(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, raising the sdk's exceptions in place of the runtime's."""

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except inside.NotAvailableInStepError as error:
            raise NotSupportedError(error.message.replace(" inside a step", "")) from None
        except inside.AzureMLException as error:
            kind = getattr(exceptions, type(error).__name__, exceptions.UserErrorException)
            raise kind(error.message) from None

    return call


def _take_over() -> None:
    for part in (RunMetrics, RunTags, RunChildren, RunFiles):
        for name, member in vars(part).items():
            if name.startswith("_"):
                continue
            if isinstance(member, property):
                assert member.fget is not None
                setter = None if member.fset is None else _outside(member.fset)
                setattr(Reporting, name, property(_outside(member.fget), setter, doc=member.__doc__))
            else:
                setattr(Reporting, name, _outside(member))


_take_over()
