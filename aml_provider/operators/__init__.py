"""Airflow operators, one per compute kind. Import them from their modules: each brings only its own client."""
