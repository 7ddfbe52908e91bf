"""Puts the finder of ``azureml`` at the end of Python's import path.

Loaded from a ``.pth`` file when any interpreter of the environment starts, so it imports nothing but ``sys``.
"""

from __future__ import annotations

import sys

PACKAGE = "azureml"


class AzureMLFinder:
    """Finds ``azureml`` and its modules when nothing before it does: an installed SDK wins, module by module."""

    @staticmethod
    def find_spec(fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        """The module's spec, ``None`` for every module that is not ours."""
        if fullname != PACKAGE and not fullname.startswith(PACKAGE + "."):
            return None
        from aml_provider.azureml_compat.modules import find_spec

        return find_spec(fullname)


def install() -> None:
    """Add the finder, unless it is there."""
    if AzureMLFinder not in sys.meta_path:
        sys.meta_path.append(AzureMLFinder)


install()
