"""``azureml.core.run`` inside a step."""

from __future__ import annotations

from typing import Any, NoReturn

from aml_runtime.datasets import InputDatasets, OutputDatasets  # type: ignore[import-not-found]
from aml_runtime.run import OfflineRun as _OfflineRun  # type: ignore[import-not-found]
from aml_runtime.run import Run
from aml_runtime.run import Run as _SubmittedRun
from aml_runtime.unavailable import unavailable  # type: ignore[import-not-found]

__all__ = ["InputDatasets", "OutputDatasets", "Run", "_OfflineRun", "_SubmittedRun", "get_run"]


def get_run(experiment: Any, run_id: str, rehydrate: bool = True, clean_up: bool = True) -> NoReturn:
    """Not inside a step.

    :raises NotAvailableInStepError: always.
    """
    raise unavailable("get_run()", "Run.get_context() gives the run of this step.")
