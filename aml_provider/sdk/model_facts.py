"""What is given with a model to register."""

from __future__ import annotations

from typing import Any

from aml_provider.runs.models import ModelFacts
from aml_provider.sdk import model_datasets, model_input


def checked_facts(
    call: str,
    name: Any,
    tags: Any,
    properties: Any,
    description: Any,
    datasets: Any,
    framework: Any,
    framework_version: Any,
    sample_input: Any,
    sample_output: Any,
    resource_configuration: Any,
) -> ModelFacts:
    """What was given, checked.

    :param call: the call that it was given to, for errors.
    :raises WebserviceException: something of it cannot be.
    :raises NotSupportedError: a resource configuration is given.
    """
    model_input.refuse_resources(resource_configuration, call)
    framework, framework_version = model_input.check_framework(framework, framework_version, call)
    return ModelFacts(
        name=model_input.check_name(name, call),
        tags=model_input.check_texts("tags", tags, call),
        properties=model_input.check_texts("properties", properties, call),
        description=model_input.check_description(description, call),
        framework=framework,
        framework_version=framework_version,
        datasets=model_datasets.check_pairs(datasets, call),
        sample_input=model_datasets.check(sample_input, call),
        sample_output=model_datasets.check(sample_output, call),
    )
