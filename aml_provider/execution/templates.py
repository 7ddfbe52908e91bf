"""Arguments of tasks that Airflow fills in when the task runs."""

from __future__ import annotations

from typing import Any


def is_template(value: Any) -> bool:
    """Whether it is known only when the task runs: text with a template, or the result of another task."""
    # What Airflow's results of tasks have, and paths have not.
    return (isinstance(value, str) and "{{" in value) or hasattr(value, "iter_references")
