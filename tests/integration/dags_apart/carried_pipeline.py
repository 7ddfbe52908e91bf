"""Two steps in pods that see none of the workers' files, which count until a test lets them go."""

from azureml.core import Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline, PipelineParameter
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
environment = Environment("plain-python")
environment.python.user_managed_dependencies = True
run_config = RunConfiguration()
run_config.environment = environment
gate = PipelineParameter("gate", default_value="none")


def held(target):
    output = OutputFileDatasetConfig("held", destination=(ws.get_default_datastore(), "held/{run-id}"))
    return PythonScriptStep(
        name=target,
        script_name="count.py",
        source_directory="code",
        arguments=["--who", target, "--gate", gate, "--held", output],
        compute_target=target,
        runconfig=run_config,
    )


Experiment(ws, "carried").submit(Pipeline(ws, [held("watched"), held("deferred")]))
