"""Makes ``import azureml...`` give :mod:`aml_provider.sdk`'s classes where the real SDK is not installed."""

from aml_provider.azureml_compat.bootstrap import install

__all__ = ["install"]
