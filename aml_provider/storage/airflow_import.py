"""The first import of Airflow in a program that is not Airflow's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Around an import of Airflow, which sends all logs to what standard output is when it is imported first.

    What a program prints is its result, which another one may read.
    """
    if "airflow" in sys.modules:
        yield
        return
    with redirect_stdout(sys.stderr):
        yield
