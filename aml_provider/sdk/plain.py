"""Errors in a pipeline file, shown as the author's own line and a sentence.

Airflow shows the last two frames of a file that it cannot import, and ``python FILE`` shows all of them. Where we got
to inside this package explains nothing about the author's mistake, so it is left out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from aml_provider.sdk.exceptions import AzureMLException
from aml_provider.spec.errors import AmlError

P = ParamSpec("P")
R = TypeVar("R")


def plain_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Raise our own errors as if they came from the call itself."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (AmlError, AzureMLException) as error:
            raise error.with_traceback(None) from None

    return call
