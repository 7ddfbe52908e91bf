"""The SDK version whose behaviour this package follows."""

#: ``azureml.core.VERSION``.
VERSION = "1.61.0"
