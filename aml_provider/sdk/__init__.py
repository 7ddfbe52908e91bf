"""Azure ML SDK v1's classes, as pipeline authors use them.

Import them by their v1 names (``from azureml.core import Workspace``), which :mod:`aml_provider.azureml_compat` maps to
this package. Nothing is imported before it is used: Airflow imports a pipeline file again and again.
"""
