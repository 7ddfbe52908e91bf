"""Names of v1 that this version does not have: they can be imported, and say so when they are used.

Many v1 files import more than they use, and those run unmodified.
"""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

DISTRIBUTION = "airflow-provider-aml"


def _refuse(name: str) -> NoReturn:
    import aml_provider
    from aml_provider.spec.errors import NotSupportedError

    raise NotSupportedError(
        f"{name} is not available in this version of {DISTRIBUTION} ({aml_provider.__version__}). "
        "docs/not-supported.md says what to use instead."
    )


class _NotAvailable(type):
    """Type of the stand-ins: classes, so that ``isinstance`` and annotations work."""

    def __call__(cls, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse(f"{cls.__module__}.{cls.__qualname__}")

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        _refuse(f"{cls.__module__}.{cls.__qualname__}")


def stand_in(module: str, name: str) -> type:
    """What is imported in place of ``module.name``; calling it, or any attribute of it, raises.

    :raises NotSupportedError: when it is used; says where to read what to use instead.
    """
    # An ``except`` that names it is looked at when something else is raised, which is to go on.
    bases = (Exception,) if name.endswith(("Exception", "Error")) else ()
    return _NotAvailable(name, bases, {"__module__": module, "__qualname__": name})


class StandInModule(ModuleType):
    """A module of v1 of which nothing is built."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = stand_in(self.__name__, name)
        self.__dict__[name] = value
        return value


class StandInLoader:
    """Makes a :class:`StandInModule`."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The empty module."""
        return StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""
