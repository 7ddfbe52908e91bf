"""Makes pipeline files work as they are: in any interpreter of the environment, and in Airflow's dags folder.

It puts the finder of ``azureml`` at the end of Python's import path, and has Airflow look at files that speak of
``azureml`` (see :mod:`aml_provider.dag_files`). Loaded from a ``.pth`` file when an interpreter starts, so it imports
next to nothing.
"""

from __future__ import annotations

import os
import sys

#: v1's package, and the one of which v1's authors import the exceptions that its calls raise.
PACKAGES = ("azureml", "msrest")


class AzureMLFinder:
    """Finds :data:`PACKAGES` and their modules when nothing before it does: what is installed wins, by module."""

    @staticmethod
    def find_spec(fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        """The module's spec, ``None`` for every module that is not ours."""
        if fullname.partition(".")[0] not in PACKAGES:
            return None
        from aml_provider.azureml_compat.modules import find_spec

        return find_spec(fullname)


def install() -> None:
    """Add the finder, unless it is there."""
    if AzureMLFinder not in sys.meta_path:
        sys.meta_path.append(AzureMLFinder)
    # The names are those of aml_provider.dag_files, which is not worth importing at every interpreter's start.
    os.environ.setdefault("AIRFLOW__CORE__MIGHT_CONTAIN_DAG_CALLABLE", "aml_provider.dag_files.might_contain_dag")


install()
