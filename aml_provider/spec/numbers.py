"""Numbers that can be told to a run."""

from __future__ import annotations

import math

from aml_provider.spec.errors import ParameterError


def finite(parameter: str, value: float) -> float:
    """``value``, when JSON has it, in which Airflow and runs are told parameters.

    :raises ParameterError: it is infinite, or no number.
    """
    if not math.isfinite(value):
        raise ParameterError(
            f"pipeline parameter {parameter!r} cannot be {value}: only finite numbers reach a run. Give the parameter "
            "a text as its default, and have the script make a number of it."
        )
    return value
