"""What Airflow's provider manager is told about this distribution."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Describe the provider: its name and its section of Airflow's configuration."""
    return {
        "package-name": "airflow-provider-aml",
        "name": "Azure ML pipelines",
        "description": "Runs Azure ML SDK v1 pipelines, unmodified, as DAGs.\n",
        "config": {
            "aml": {
                "description": "Azure ML SDK v1 pipelines.",
                "options": {
                    "workspace": {
                        "description": (
                            "Path of the workspace file: datastores, compute targets and tracking for every\n"
                            "pipeline file in the dags folder. When empty, a ``workspace.yaml`` is looked for\n"
                            "beside each pipeline file and in the folders above it.\n"
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "/opt/airflow/workspace.yaml",
                        "default": "",
                    },
                },
            },
        },
    }
