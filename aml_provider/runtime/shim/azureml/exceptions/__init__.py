"""``azureml.exceptions`` inside a step."""

from aml_runtime.exceptions import *  # type: ignore[import-not-found]  # noqa: F403
