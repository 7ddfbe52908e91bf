"""What Airflow's triggerer waits for in the place of tasks."""
