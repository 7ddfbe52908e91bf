"""MLflow: what a run's folder says is projected into it, as often as needed, never twice.

The run folder is the truth. Steps write their journal there and need no MLflow; workers and the closing task bring
MLflow up to date with it, and whatever one of them missed the next one catches up.
"""
