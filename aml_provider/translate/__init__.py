"""From a :class:`~aml_provider.spec.models.PipelineSpec` to an Airflow DAG: pure and fast, it runs at every parse."""
