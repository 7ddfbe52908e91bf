"""v1 ``azureml.telemetry``: whether Microsoft is told how its library is used. Nobody is told anything here."""

from __future__ import annotations


def set_diagnostics_collection(send_diagnostics: bool = True, verbosity: int = 0) -> None:
    """Nothing, whatever is asked for: this package collects no diagnostics."""
