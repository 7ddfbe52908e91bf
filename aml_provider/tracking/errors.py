"""Why MLflow could not be brought up to date."""

from __future__ import annotations

from aml_provider.spec.errors import AmlError


class TrackingError(AmlError):
    """MLflow cannot be used now. No step fails for it: the run folder keeps everything, and the next one catches up."""


class TrackingBusyError(TrackingError):
    """Another process is bringing this run up to date."""
