"""Azure ML SDK v1 pipelines on Apache Airflow."""

__version__ = "0.1.0"
