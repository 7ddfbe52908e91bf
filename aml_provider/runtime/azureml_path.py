"""How ``import azureml...`` is answered inside a step.

1. The real SDK, if the image has it: its modules win, but for :meth:`Run.get_context`, which would look for Azure's
   service and then quietly record nothing. Inside a step it gives the step's run.
2. The shim's own modules.
3. For the rest of the SDK's names, modules whose members can be imported and raise a sentence when used.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Sequence

_NAMED = {
    "": ("msrest",),
    "msrest": ("exceptions",),
    "azureml.core": (
        "authentication",
        "compute",
        "compute_target",
        "conda_dependencies",
        "container_registry",
        "databricks",
        "dataset",
        "datastore",
        "environment",
        "experiment",
        "image",
        "keyvault",
        "model",
        "resource_configuration",
        "runconfig",
        "script_run",
        "script_run_config",
        "webservice",
        "workspace",
    ),
    "azureml": ("data", "pipeline", "widgets"),
    "azureml.data": (
        "abstract_dataset",
        "abstract_datastore",
        "data_reference",
        "datapath",
        "dataset_consumption_config",
        "dataset_error_handling",
        "dataset_factory",
        "dataset_type_definitions",
        "file_dataset",
        "output_dataset_config",
        "tabular_dataset",
    ),
    "azureml.pipeline": ("core", "steps"),
    "azureml.pipeline.core": ("graph", "run", "schedule"),
}
"""Package -> modules that scripts import from it though they cannot use them inside a step."""
# Not public; scripts import of them what older versions did not have elsewhere.
_PRIVATE = ("azureml._", "azureml.core._", "azureml.data._", "azureml.pipeline.core._")


def real_folders(own: str, path: Sequence[str]) -> list[str]:
    """Folders of a real ``azureml`` package on the path, in the path's order."""
    found = []
    for entry in path:
        folder = os.path.abspath(os.path.join(entry or ".", "azureml"))
        if folder != own and folder not in found and os.path.isdir(folder):
            found.append(folder)
    return found


def install(real: bool) -> None:
    """Add the finders, once."""
    if not any(isinstance(finder, _Placeholders) for finder in sys.meta_path):
        # After what is on the path, before what others put behind it: an interpreter that has this provider installed
        # answers for azureml too, with classes that build pipelines.
        known = [*sys.meta_path, importlib.machinery.PathFinder]
        sys.meta_path.insert(known.index(importlib.machinery.PathFinder) + 1, _Placeholders())
        if real and os.environ.get("AML_JOB_DIR"):
            sys.meta_path.insert(0, _RealRun())


class _Placeholders(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Knows the modules of :data:`_NAMED` and :data:`_PRIVATE`, asked when they are not on the path."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        private = fullname.startswith(_PRIVATE)
        if name not in _NAMED.get(package, ()) and not private:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=private or fullname in _NAMED)

    def exec_module(self, module: ModuleType) -> None:
        from .unavailable import placeholder

        module.__doc__ = "Importable inside a step, not usable there."
        made: dict[str, Any] = {}

        def member(name: str) -> Any:
            if name not in made:
                made[name] = placeholder(name, module.__name__)
            return made[name]

        module.__dict__["__getattr__"] = member


class _RealRun(importlib.abc.MetaPathFinder):
    """Has the real SDK's ``azureml.core.run`` loaded as usual, then gives its ``Run`` the step's context."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "azureml.core.run":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Patched(spec.loader)
        return spec


class _Patched(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        from .run import Run

        real = getattr(module, "Run", None)
        if isinstance(real, type) and real is not Run:
            real.get_context = Run.get_context  # type: ignore[attr-defined]
            real.get_submitted_run = Run.get_submitted_run  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
