"""A folder moved from one datastore to another, and a step that reads it there."""

from azureml.core import Datastore, Environment, Experiment, Workspace
from azureml.core.compute import ComputeTarget, DataFactoryCompute
from azureml.core.runconfig import RunConfiguration
from azureml.data.datapath import DataPath, DataPathComputeBinding
from azureml.exceptions import ComputeTargetException
from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter
from azureml.pipeline.steps import DataTransferStep, PythonScriptStep

ws = Workspace.from_config()
blobs, files = ws.get_default_datastore(), Datastore.get(ws, "workspacefilestore")
try:
    # Any compute target will do; this one has a pool already.
    factory = ComputeTarget(ws, "local")
except ComputeTargetException:
    factory = ComputeTarget.create(ws, "adf", DataFactoryCompute.provisioning_configuration())

environment = Environment("plain-python")
environment.python.user_managed_dependencies = True
run_config = RunConfiguration()
run_config.environment = environment

source = PipelineParameter("source", default_value=DataPath(files, "to move"))
out = PipelineData("moved", datastore=blobs)
move = DataTransferStep(
    name="move",
    source_data_reference=(source, DataPathComputeBinding()),
    destination_data_reference=out,
    compute_target=factory,
)
counted = PipelineData("counted", datastore=blobs)
count = PythonScriptStep(
    "count.py",
    name="count",
    source_directory="moved",
    arguments=["--data", move.get_output(), "--out", counted],
    inputs=[move.get_output()],
    outputs=[counted],
    compute_target="local",
    runconfig=run_config,
)
Experiment(ws, "moved").submit(Pipeline(ws, [count]))
