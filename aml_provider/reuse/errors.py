"""Why nothing can be said about a step's results."""

from __future__ import annotations

from aml_provider.spec.errors import AmlError


class UnknownIngredientError(AmlError):
    """Something that a step's result depends on cannot be known, so the step is not reused; says what and why."""
