"""What Airflow's own processes load of this package: a face, nothing calls it."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from aml_provider.plugin import closing, missing_pools, preloading


class AmlPlugin(AirflowPlugin):
    """Registered through the ``airflow.plugins`` entry point."""

    name = "aml"
    listeners = [missing_pools, closing, preloading]  # noqa: RUF012  (Airflow declares it so)
