"""What a parse, a step and its reuse cost on this machine, against Airflow or DVC, measured in the same run.

``make bench`` runs all of it; ``python -m benchmarks --help`` says how to run a part.
"""
