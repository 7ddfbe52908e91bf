"""How a step can end badly, told apart by what Airflow should do about it."""

from __future__ import annotations

from aml_provider.spec.errors import AmlError


class StepError(AmlError):
    """A step that cannot be run as things stand; starting it again would not help."""


class StepFailedError(StepError):
    """The step's own command failed, and its runtime said so."""


class StepInterruptedError(AmlError):
    """The step's process went away before its runtime reported: starting it again may help."""
