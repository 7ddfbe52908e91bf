"""Every class under a v1 name has v1's signatures.

tests/facts/surface.json holds what the published SDK has: names of parameters, their order and their defaults.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from aml_provider.azureml_compat.modules import CompatModule
from aml_provider.azureml_compat.table import MODULES
from aml_provider.sdk.dataset_types import PromoteHeadersBehavior
from aml_provider.sdk.unavailable import PartOfV1

FACTS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parents[1] / "facts" / "surface.json").read_text())

#: v1's constants in defaults.
CONSTANTS = {
    "sys.maxsize": sys.maxsize,
    "PYTHON_DEFAULT_VERSION": "3.8.13",
    "MAX_DURATION_SECONDS_DEFAULT": 2592000,
    "DIRECT_MODE": "direct",
    "_DEFAULT_SHM_SIZE": "2g",
    "CPU": "cpu",
    "ViewType.ActiveOnly": "ActiveOnly",
    "Audience.ARM": importlib.import_module("aml_provider.sdk.authentication").Audience.ARM,
    "PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS": PromoteHeadersBehavior.ALL_FILES_HAVE_SAME_HEADERS,
}

#: Methods of v1 that are not there and not in a class's NOT_BUILT table: internals of Azure's own graph, methods of
#: the SDK's first years, static methods about Azure's services.
ABSENT: dict[str, set[str]] = {
    "AmlCompute": {"supported_vmsizes", "list_usages", "list_quotas", "update_quotas"},
    "ComputeInstance": {"get_docs_url", "supported_vmsizes"},
    "CondaDependencies": {"sdk_origin_url", "add_cntk_package"},
    "Dataset": {
        *("from_pandas_dataframe", "from_delimited_files", "auto_read_files", "from_parquet_files", "head", "sample"),
        *("from_excel_files", "from_binary_files", "from_sql_query", "from_json_files", "update_definition", "diff"),
        *("get_definitions", "get_definition", "to_pandas_dataframe", "to_spark_dataframe", "create_snapshot"),
        *("get_snapshot", "delete_snapshot", "get_all_snapshots", "generate_profile", "get_profile", "deprecate"),
        *("archive", "reactivate", "compare_profiles", "update", "register"),
    },
    "Datastore": {"set_as_default", "unregister"},
    "Environment": {"label", "add_private_pip_wheel"},
    "EnvironmentDefinition": {"label", "add_private_pip_wheel"},
    "PipelineStep": {"create_node", "validate_arguments", "resolve_input_arguments", "create_module_def",
                     "create_input_output_bindings", "get_source_directory"},
}  # fmt: skip
for _step in ("PythonScriptStep", "CommandStep", "DataTransferStep"):
    ABSENT[_step] = ABSENT["PipelineStep"]

#: Every class that is built; a list, so that a class cannot leave the test unseen.
COVERED = [
    "AbstractADLSDatastore",
    "AbstractAuthentication",
    "AbstractAzureStorageDatastore",
    "AbstractDataset",
    "AbstractDatastore",
    "ActivityFailedException",
    "AmlCompute",
    "AmlComputeConfiguration",
    "ArmTokenAuthentication",
    "Audience",
    "AuthenticationException",
    "AzureBlobDatastore",
    "AzureCliAuthentication",
    "AzureDataLakeDatastore",
    "AzureDataLakeGen2Datastore",
    "AzureFileDatastore",
    "AzureMLAggregatedException",
    "AzureMLException",
    "AzureMLTokenAuthentication",
    "AzureMySqlDatastore",
    "AzurePostgreSqlDatastore",
    "AzureSqlDatabaseDatastore",
    "CommandStep",
    "ComputeInstance",
    "ComputeTarget",
    "ComputeTargetException",
    "CondaDependencies",
    "ContainerRegistry",
    "DBFSDatastore",
    "DataFactoryCompute",
    "DataPath",
    "DataPathComputeBinding",
    "DataReference",
    "DataReferenceConfiguration",
    "DataTransferStep",
    "DataType",
    "Dataset",
    "DatasetConsumptionConfig",
    "DatasetRegistration",
    "DatasetTimestampMissingError",
    "Datastore",
    "DiscoveryUrlNotFoundException",
    "DockerConfiguration",
    "DockerSection",
    "Environment",
    "EnvironmentDefinition",
    "Experiment",
    "ExperimentExecutionException",
    "FileDataset",
    "FileDatasetFactory",
    "HDFSDatastore",
    "HistoryConfiguration",
    "InferenceConfig",
    "InputPortBinding",
    "InteractiveLoginAuthentication",
    "KubernetesCompute",
    "Model",
    "ModelNotFoundException",
    "ModelPackage",
    "ModelPathNotFoundException",
    "MountOptions",
    "MpiConfiguration",
    "MsiAuthentication",
    "OutputDatasetConfig",
    "OutputFileDatasetConfig",
    "OutputPortBinding",
    "OutputTabularDatasetConfig",
    "Pipeline",
    "PipelineData",
    "PipelineDataset",
    "PipelineOutputAbstractDataset",
    "PipelineOutputFileDataset",
    "PipelineOutputTabularDataset",
    "PipelineParameter",
    "PipelineRun",
    "PipelineStep",
    "PortDataReference",
    "ProjectSystemException",
    "PromoteHeadersBehavior",
    "PyTorchConfiguration",
    "PythonScriptStep",
    "PythonSection",
    "RegistrationConfiguration",
    "ResourceConfiguration",
    "Run",
    "RunConfiguration",
    "RunConfigurationException",
    "RunDetails",
    "RunEnvironmentException",
    "ScriptRun",
    "ScriptRunConfig",
    "ServicePrincipalAuthentication",
    "SnapshotException",
    "SqlDataReference",
    "StepRun",
    "StepRunOutput",
    "StepSequence",
    "TabularDataset",
    "TabularDatasetFactory",
    "TensorflowConfiguration",
    "TokenAuthentication",
    "TrainingException",
    "TransformationMixin",
    "UploadOptions",
    "UserErrorException",
    "ViewType",
    "WebserviceException",
    "Workspace",
    "WorkspaceException",
]

CLASSES = {
    (module, name): fact
    for module, entries in FACTS.items()
    for name, fact in entries.items()
    if fact["kind"] == "class"
}
FUNCTIONS = {
    (module, name): fact
    for module, entries in FACTS.items()
    for name, fact in entries.items()
    if fact["kind"] == "func"
}


def ours(module: str, name: str) -> Any:
    """The object that the v1 name stands for."""
    return getattr(CompatModule(module), name)


def expected(params: list[list[Any]]) -> list[tuple[str, str, Any]]:
    """v1's parameters without private ones: name, kind, default."""
    return [(n, k, _value(d)) for n, k, d in params if n not in ("self", "cls") and not n.startswith("_")]


def _value(text: str | None) -> Any:
    if text is None:
        return inspect.Parameter.empty
    if text in CONSTANTS:
        return CONSTANTS[text]
    return ast.literal_eval(text)


def actual(function: Any) -> list[tuple[str, str, Any]]:
    kinds = {
        inspect.Parameter.POSITIONAL_OR_KEYWORD: "pos",
        inspect.Parameter.KEYWORD_ONLY: "kw",
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
    }
    parameters = inspect.signature(function).parameters.values()
    public = [p for p in parameters if p.name not in ("self", "cls") and not p.name.startswith("_")]
    return [(p.name, kinds[p.kind], p.default) for p in public]


def test_the_classes_that_are_covered() -> None:
    assert sorted({name for _, name in CLASSES}) == COVERED


@pytest.mark.parametrize(("module", "name"), sorted(CLASSES), ids=lambda value: value)
def test_constructors(module: str, name: str) -> None:
    cls = ours(module, name)
    fact = CLASSES[module, name]
    if fact.get("init") is None or issubclass(cls, (dict,)) or _is_enum(cls):
        return
    function = cls.__init__ if "__init__" in _defined(cls) else cls.__new__
    assert actual(function) == expected(fact["init"])


@pytest.mark.parametrize(("module", "name"), sorted(CLASSES), ids=lambda value: value)
def test_methods(module: str, name: str) -> None:
    cls = ours(module, name)
    not_built = {n for c in cls.__mro__ if issubclass(c, PartOfV1) for n in c.__dict__.get("NOT_BUILT", ())}
    problems = []
    for method, fact in CLASSES[module, name].get("methods", {}).items():
        if method.startswith("_"):
            continue
        found = inspect.getattr_static(cls, method, None)
        if found is None:
            if method not in not_built | ABSENT.get(name, set()):
                problems.append(f"{method} is missing")
            continue
        if method in ABSENT.get(name, set()) and not issubclass(cls, ours("azureml.core", "Dataset")):
            problems.append(f"{method} is there, but listed as absent")
        kind = {staticmethod: "static", classmethod: "class"}.get(type(found), "method")
        if kind != fact["kind"]:
            problems.append(f"{method} is a {kind}, v1's a {fact['kind']}")
        if name == "Dataset" and method in ABSENT["Dataset"]:
            continue  # inherited from today's datasets, where the name has another meaning
        if actual(getattr(cls, method)) != expected(fact["params"]):
            problems.append(f"{method}{actual(getattr(cls, method))} but v1: {expected(fact['params'])}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(("module", "name"), sorted(FUNCTIONS), ids=lambda value: value)
def test_functions(module: str, name: str) -> None:
    assert actual(ours(module, name)) == expected(FUNCTIONS[module, name]["params"])


def test_the_table_resolves() -> None:
    for module, names in MODULES.items():
        for name in names:
            assert ours(module, name) is not None


def _defined(cls: type) -> set[str]:
    return {name for c in cls.__mro__ if c is not object for name in c.__dict__}


def _is_enum(cls: type) -> bool:
    from enum import Enum

    return issubclass(cls, Enum)
