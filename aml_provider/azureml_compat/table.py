"""Module of ``azureml`` -> name -> ``module of aml_provider.sdk:object``."""

from __future__ import annotations


def _from(module: str, *names: str) -> dict[str, str]:
    return {name: f"{module}:{name}" for name in names}


_AUTHENTICATION = _from(
    "authentication",
    "AbstractAuthentication",
    "ArmTokenAuthentication",
    "Audience",
    "AzureCliAuthentication",
    "AzureMLTokenAuthentication",
    "InteractiveLoginAuthentication",
    "MsiAuthentication",
    "ServicePrincipalAuthentication",
    "TokenAuthentication",
)
_EXCEPTIONS = _from(
    "exceptions",
    "ActivityFailedException",
    "AuthenticationException",
    "AzureMLAggregatedException",
    "AzureMLException",
    "ComputeTargetException",
    "DatasetTimestampMissingError",
    "DiscoveryUrlNotFoundException",
    "ExperimentExecutionException",
    "ModelNotFoundException",
    "ModelPathNotFoundException",
    "ProjectSystemException",
    "RunConfigurationException",
    "RunEnvironmentException",
    "SnapshotException",
    "TrainingException",
    "UserErrorException",
    "WebserviceException",
    "WorkspaceException",
)
_COMPUTE = _from("compute", "AmlCompute", "ComputeInstance", "ComputeTarget", "DataFactoryCompute", "KubernetesCompute")
_COMPUTE_EXCEPTION = _from("exceptions", "ComputeTargetException")
_RUNCONFIG = _from(
    "runconfig",
    "DEFAULT_CPU_IMAGE",
    "DEFAULT_GPU_IMAGE",
    "AmlComputeConfiguration",
    "DataReferenceConfiguration",
    "DockerConfiguration",
    "EnvironmentDefinition",
    "HistoryConfiguration",
    "MpiConfiguration",
    "PyTorchConfiguration",
    "RunConfiguration",
    "TensorflowConfiguration",
)
_ENVIRONMENT = _from(
    "environment", "DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE", "DockerSection", "Environment", "PythonSection"
)
_CONTAINER_REGISTRY = _from("environment", "ContainerRegistry")
_DATA_REFERENCE = _from("data_reference", "DataReference")
_DATAPATH = _from("datapath", "DataPath", "DataPathComputeBinding")
_CONSUMPTION = _from("consumption", "DatasetConsumptionConfig")
_FACTORIES = {
    **_from("dataset_factory", "FileDatasetFactory", "TabularDatasetFactory"),
    **_from("dataset_types", "DataType"),
}
_OUTPUTS = _from(
    "outputs",
    "MountOptions",
    "OutputDatasetConfig",
    "OutputFileDatasetConfig",
    "OutputTabularDatasetConfig",
    "RegistrationConfiguration",
    "TransformationMixin",
    "UploadOptions",
)
_STORAGE = _from("datastore_azure", "AbstractAzureStorageDatastore", "AzureBlobDatastore", "AzureFileDatastore")
_PIPELINE_DATASETS = _from(
    "ports",
    "DatasetRegistration",
    "PipelineOutputAbstractDataset",
    "PipelineOutputFileDataset",
    "PipelineOutputTabularDataset",
)
_PORTS = _from("ports", "InputPortBinding", "OutputPortBinding", "PipelineData", "PipelineDataset")
_STEP = _from("steps.base", "PipelineStep", "StepSequence")
_RUNS = {
    **_from("pipeline_run", "PipelineRun"),
    **_from("step_run", "PortDataReference", "StepRun", "StepRunOutput"),
}
_PARAMETER = _from("parameter", "PipelineParameter")
_PYTHON_STEP = _from("steps.python_script", "PythonScriptStep")
_COMMAND_STEP = _from("steps.command", "CommandStep")
_TRANSFER_STEP = _from("steps.data_transfer", "DataTransferStep")

MODULES: dict[str, dict[str, str]] = {
    "azureml": {},
    "azureml.core": {
        **_from("compute", "ComputeTarget"),
        **_CONTAINER_REGISTRY,
        **_from("datasets", "Dataset"),
        **_from("datastore", "Datastore"),
        **_from("environment", "Environment"),
        **_from("experiment", "Experiment"),
        **_from("model", "Model"),
        **_from("run", "Run", "get_run"),
        **_from("runconfig", "RunConfiguration"),
        **_from("script_run", "ScriptRun"),
        **_from("script_run_config", "ScriptRunConfig"),
        **_from("version", "VERSION"),
        "__version__": "version:VERSION",
        **_from("workspace", "Workspace"),
    },
    "azureml.core.authentication": _AUTHENTICATION,
    "azureml.core.compute": {**_COMPUTE, **_COMPUTE_EXCEPTION},
    "azureml.core.compute.amlcompute": {**_from("compute", "AmlCompute"), **_COMPUTE_EXCEPTION},
    "azureml.core.compute.compute": {**_from("compute", "ComputeTarget"), **_COMPUTE_EXCEPTION},
    "azureml.core.compute.computeinstance": _from("compute", "ComputeInstance"),
    "azureml.core.compute.datafactory": _from("compute", "DataFactoryCompute"),
    "azureml.core.compute.kubernetescompute": _from("compute", "KubernetesCompute"),
    "azureml.core.compute_target": {**_COMPUTE_EXCEPTION, **_from("compute", "ComputeTarget")},
    "azureml.core.conda_dependencies": _from("conda", "PYTHON_DEFAULT_VERSION", "CondaDependencies"),
    "azureml.core.container_registry": _CONTAINER_REGISTRY,
    "azureml.core.dataset": _from("datasets", "Dataset"),
    "azureml.core.datastore": _from("datastore", "Datastore"),
    "azureml.core.environment": {**_ENVIRONMENT, **_CONTAINER_REGISTRY, **_from("conda", "CondaDependencies")},
    "azureml.core.experiment": _from("experiment", "Experiment", "ViewType"),
    "azureml.core.model": {**_from("model", "Model"), **_from("model_serving", "InferenceConfig", "ModelPackage")},
    "azureml.core.resource_configuration": _from("model_serving", "ResourceConfiguration"),
    # Scripts that also run outside of a step ask for the type of their run.
    "azureml.core.run": {**_from("run", "Run", "get_run"), "_OfflineRun": "offline:OfflineRun"},
    "azureml.core.runconfig": {**_RUNCONFIG, **_CONTAINER_REGISTRY, **_from("conda", "CondaDependencies")},
    "azureml.core.script_run": _from("script_run", "ScriptRun"),
    "azureml.core.script_run_config": _from("script_run_config", "MAX_DURATION_SECONDS_DEFAULT", "ScriptRunConfig"),
    "azureml.core.workspace": _from("workspace", "Workspace"),
    "azureml.data": {
        **_from("datasets", "FileDataset", "TabularDataset"),
        **_from("dataset_types", "DataType"),
        **_from("outputs", "OutputFileDatasetConfig"),
    },
    "azureml.data.abstract_dataset": _from("datasets", "AbstractDataset"),
    "azureml.data.abstract_datastore": _from("datastore_base", "AbstractDatastore"),
    "azureml.data.azure_data_lake_datastore": _from(
        "datastore_lake", "AbstractADLSDatastore", "AzureDataLakeDatastore", "AzureDataLakeGen2Datastore"
    ),
    "azureml.data.azure_my_sql_datastore": _from("datastore_sql", "AzureMySqlDatastore"),
    "azureml.data.azure_postgre_sql_datastore": _from("datastore_sql", "AzurePostgreSqlDatastore"),
    "azureml.data.azure_sql_database_datastore": _from("datastore_sql", "AzureSqlDatabaseDatastore"),
    "azureml.data.azure_storage_datastore": _STORAGE,
    "azureml.data.dbfs_datastore": _from("datastore_lake", "DBFSDatastore"),
    "azureml.data.hdfs_datastore": _from("datastore_lake", "HDFSDatastore"),
    "azureml.data.data_reference": _DATA_REFERENCE,
    "azureml.data.datapath": _DATAPATH,
    "azureml.data.dataset_consumption_config": _CONSUMPTION,
    "azureml.data.dataset_factory": _FACTORIES,
    "azureml.data.dataset_type_definitions": _from("dataset_types", "PromoteHeadersBehavior"),
    "azureml.data.file_dataset": _from("datasets", "FileDataset"),
    "azureml.data.output_dataset_config": _OUTPUTS,
    "azureml.data.sql_data_reference": _from("sql_data_reference", "SqlDataReference"),
    "azureml.data.tabular_dataset": _from("datasets", "TabularDataset"),
    "azureml.exceptions": _EXCEPTIONS,
    "azureml._common": {},
    "azureml._common.exceptions": _from("exceptions", "AzureMLException"),
    "azureml.pipeline": {},
    "azureml.pipeline.core": {
        **_from("pipeline", "Pipeline"),
        **_PARAMETER,
        **_PORTS,
        **_RUNS,
        **_STEP,
    },
    "azureml.pipeline.core.builder": {**_STEP, **_from("ports", "PipelineData")},
    "azureml.pipeline.core.graph": {
        **_PARAMETER,
        **_from("ports", "InputPortBinding", "OutputPortBinding", "PipelineDataset"),
        **_from("step_run", "PortDataReference"),
    },
    "azureml.pipeline.core.pipeline": _from("pipeline", "Pipeline"),
    "azureml.pipeline.core.pipeline_output_dataset": _PIPELINE_DATASETS,
    "azureml.pipeline.core.run": _from("pipeline_run", "PipelineRun") | _from("step_run", "StepRun", "StepRunOutput"),
    "azureml.pipeline.steps": {**_PYTHON_STEP, **_COMMAND_STEP, **_TRANSFER_STEP},
    "azureml.pipeline.steps.command_step": _COMMAND_STEP,
    "azureml.pipeline.steps.data_transfer_step": _TRANSFER_STEP,
    "azureml.pipeline.steps.python_script_step": _PYTHON_STEP,
    "azureml.telemetry": _from("telemetry", "set_diagnostics_collection"),
    "azureml.widgets": _from("widgets", "RunDetails"),
    "msrest": {},
    "msrest.exceptions": _from(
        "http_errors",
        "AuthenticationError",
        "ClientException",
        "ClientRequestError",
        "HttpOperationError",
        "TokenExpiredError",
        "ValidationError",
    ),
}
