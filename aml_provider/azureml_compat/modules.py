"""The modules of ``azureml``: names from a table, resolved when they are first used."""

from __future__ import annotations

import importlib
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from aml_provider.azureml_compat.known import NOT_BUILT, NOT_BUILT_PACKAGES
from aml_provider.azureml_compat.placeholder import DISTRIBUTION, StandInLoader, stand_in
from aml_provider.azureml_compat.table import MODULES


def find_spec(fullname: str) -> ModuleSpec | None:
    """The spec of a module of v1, ``None`` when there is no such module in v1.

    A module of which nothing is built can be imported too; its names say so when they are used.
    """
    if fullname in MODULES:
        children = any(name.startswith(fullname + ".") for name in MODULES)
        loader: Any = _Loader()
        return ModuleSpec(fullname, loader, origin=f"{DISTRIBUTION}: {fullname}", is_package=children)
    if fullname in NOT_BUILT or fullname.startswith(NOT_BUILT_PACKAGES):
        stand_in_loader: Any = StandInLoader()
        return ModuleSpec(fullname, stand_in_loader, origin=f"{DISTRIBUTION}: {fullname}", is_package=True)
    return None


class _Loader:
    # No base class: importlib.abc costs milliseconds at every parse and adds nothing to these two methods.
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return CompatModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__all__"] = sorted(MODULES[module.__name__])


class CompatModule(ModuleType):
    """A module of ``azureml`` whose names are sdk objects."""

    def __getattr__(self, name: str) -> Any:
        # ``__spec__`` and the like are asked for before the module is ready.
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        target = MODULES[self.__name__].get(name)
        if target is None:
            full = f"{self.__name__}.{name}"
            if full in MODULES:
                return importlib.import_module(full)
            absent = name in NOT_BUILT.get(self.__name__, ()) or self.__name__ in NOT_BUILT_PACKAGES
            if absent or full in NOT_BUILT:
                self.__dict__[name] = stand_in(self.__name__, name)
                return self.__dict__[name]
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        module, _, attribute = target.partition(":")
        value = getattr(importlib.import_module(f"aml_provider.sdk.{module}"), attribute)
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *MODULES[self.__name__]})
