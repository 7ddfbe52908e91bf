"""``azureml.core`` inside a step: ``Run`` works; what needs a workspace can be imported and says so when it is used."""

from __future__ import annotations

from typing import Any

from aml_runtime.run import Run  # type: ignore[import-not-found]
from aml_runtime.unavailable import placeholder  # type: ignore[import-not-found]

VERSION = __version__ = "1.61.0"
"""The release of the SDK whose behaviour is kept; scripts print it."""

__all__ = [
    "ComputeTarget",
    "ContainerRegistry",
    "Dataset",
    "Datastore",
    "Environment",
    "Experiment",
    "Image",
    "Keyvault",
    "LinkedService",
    "Model",
    "PrivateEndPoint",
    "PrivateEndPointConfig",
    "Run",
    "RunConfiguration",
    "ScriptRun",
    "ScriptRunConfig",
    "Webservice",
    "Workspace",
    "get_run",
]

_made: dict[str, Any] = {}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Dataset":
        from aml_runtime.datasets import Dataset  # type: ignore[import-not-found]

        return Dataset
    return _made.setdefault(name, placeholder(name, __name__))
