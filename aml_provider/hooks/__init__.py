"""Airflow's connection types of this package."""
