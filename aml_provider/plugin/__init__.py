"""What Airflow's own processes load of this package: a face, nothing calls it."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from aml_provider.plugin import missing_pools


class AmlPlugin(AirflowPlugin):
    """Registered through the ``airflow.plugins`` entry point."""

    name = "aml"
    listeners: ClassVar[list[Any]] = [missing_pools]
