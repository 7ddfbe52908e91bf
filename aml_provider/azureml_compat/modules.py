"""The modules of ``azureml``: names from a table, resolved when they are first used."""

from __future__ import annotations

import importlib
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from aml_provider.azureml_compat.known import NOT_BUILT, NOT_BUILT_PACKAGES
from aml_provider.azureml_compat.table import MODULES

DISTRIBUTION = "airflow-provider-aml"


def not_available(name: str) -> ImportError:
    """The error for a v1 name that this version does not have."""
    import aml_provider

    return ImportError(
        f"{name} is not available in this version of {DISTRIBUTION} ({aml_provider.__version__}). "
        "docs/not-supported.md says what to use instead.",
        name=name,
    )


def find_spec(fullname: str) -> ModuleSpec | None:
    """The spec of one of the table's modules, ``None`` when there is no such module in v1.

    :raises ImportError: v1 has the module, this version has not.
    """
    if fullname in MODULES:
        children = any(name.startswith(fullname + ".") for name in MODULES)
        loader: Any = _Loader()
        return ModuleSpec(fullname, loader, origin=f"{DISTRIBUTION}: {fullname}", is_package=children)
    if fullname in NOT_BUILT or fullname.startswith(NOT_BUILT_PACKAGES):
        raise not_available(fullname)
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
        if name.startswith("__"):
            raise AttributeError(name)
        target = MODULES[self.__name__].get(name)
        if target is None:
            full = f"{self.__name__}.{name}"
            if full in MODULES:
                return importlib.import_module(full)
            if name in NOT_BUILT.get(self.__name__, ()) or full in NOT_BUILT:
                raise not_available(full)
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        module, _, attribute = target.partition(":")
        value = getattr(importlib.import_module(f"aml_provider.sdk.{module}"), attribute)
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *MODULES[self.__name__]})
