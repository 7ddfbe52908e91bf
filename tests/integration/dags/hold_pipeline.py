"""A step on every compute target of the workspace, side by side, each held until a test lets it go; then one that
reads what they wrote."""

from azureml.core import Dataset, Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
store = ws.get_default_datastore()

environment = Environment("plain-python")
environment.python.user_managed_dependencies = True
run_config = RunConfiguration()
run_config.environment = environment

gate = PipelineParameter("gate", default_value="none")
gates = Dataset.File.from_files((store, "gates"))

steps, written = [], []
for target in sorted({"local", *ws.compute_targets}):
    output = OutputFileDatasetConfig(f"held_{target}", destination=(store, "hold/{run-id}/{output-name}"))
    step = PythonScriptStep(
        name=target,
        script_name="hold.py",
        source_directory="hold",
        arguments=["--gates", gates.as_named_input(f"gates_{target}").as_mount(), "--gate", gate, "--held", output],
        compute_target=target,
        runconfig=run_config,
    )
    steps.append(step)
    written.append(output)

gathered = PipelineData("gathered", datastore=store)
gather = PythonScriptStep(
    name="gather",
    script_name="gather.py",
    source_directory="hold",
    arguments=["--gathered", gathered, *(output.as_input(f"from_{output.name}") for output in written)],
    outputs=[gathered],
    compute_target="local",
    runconfig=run_config,
)

pipeline = Pipeline(workspace=ws, steps=[*steps, gather])
Experiment(ws, "hold").submit(pipeline)
