"""What a parse, a DAG and a step cost on this machine, against Airflow's own cost measured in the same run.

``make bench`` runs all of it; ``python -m benchmarks --help`` says how to run a part.
"""
