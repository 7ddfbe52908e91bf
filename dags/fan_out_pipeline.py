"""Five steps that fan out and in again: numbers are drawn, looked at in three ways side by side, and summed up.

An ordinary Azure ML SDK v1 file. Its scripts need only Python's standard library. One of the three ways wants a
GPU target; the workspace file says what that is made of.
"""

from azureml.core import Environment, Experiment, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.compute_target import ComputeTargetException
from azureml.core.runconfig import RunConfiguration
from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter, StepSequence
from azureml.pipeline.steps import CommandStep, PythonScriptStep

ws = Workspace.from_config()
datastore = ws.get_default_datastore()


def compute(name, vm_size, max_nodes):
    """Find a compute target, or create it."""
    try:
        return ComputeTarget(workspace=ws, name=name)
    except ComputeTargetException:
        config = AmlCompute.provisioning_configuration(vm_size=vm_size, max_nodes=max_nodes)
        target = ComputeTarget.create(ws, name, config)
        target.wait_for_completion(show_output=True)
        return target


cpu = compute("cpu-cluster", "STANDARD_D1_V2", max_nodes=4)
gpu = compute("gpu-cluster", "STANDARD_NC6", max_nodes=1)

# Nothing to install: the interpreter of the machine or of the image is used as it is.
environment = Environment("plain-python")
environment.python.user_managed_dependencies = True
run_config = RunConfiguration()
run_config.environment = environment

count = PipelineParameter("count", default_value=10_000)

numbers = PipelineData("numbers", datastore=datastore)
mean = PipelineData("mean", datastore=datastore)
histogram = PipelineData("histogram", datastore=datastore)
smallest = PipelineData("smallest", datastore=datastore)
report = PipelineData("report", datastore=datastore, pipeline_output_name="report")


def python_step(name, script_name, arguments, inputs=(), outputs=(), target=cpu):
    """Make a step of a script in the folder fan_out."""
    return PythonScriptStep(
        name=name,
        script_name=script_name,
        source_directory="fan_out",
        arguments=arguments,
        inputs=list(inputs),
        outputs=list(outputs),
        compute_target=target,
        runconfig=run_config,
    )


draw = python_step("draw", "draw.py", ["--count", count, "--numbers", numbers], outputs=[numbers])
estimate = python_step(
    "estimate",
    "estimate.py",
    ["--numbers", numbers, "--mean", mean],
    inputs=[numbers],
    outputs=[mean],
    target=gpu,
)
count_bins = python_step(
    "histogram",
    "histogram.py",
    ["--numbers", numbers, "--histogram", histogram],
    inputs=[numbers],
    outputs=[histogram],
)
find_smallest = CommandStep(
    name="smallest",
    command=["sort -g", numbers, "| head -n 3 >", smallest],
    inputs=[numbers],
    outputs=[smallest],
    source_directory="fan_out",
    compute_target=cpu,
    runconfig=run_config,
)
write_report = python_step(
    "report",
    "report.py",
    ["--count", count, "--parts", mean, histogram, smallest, "--report", report],
    inputs=[mean, histogram, smallest],
    outputs=[report],
)

steps = StepSequence(steps=[draw, [estimate, count_bins, find_smallest], write_report])
pipeline = Pipeline(workspace=ws, steps=steps)
pipeline.validate()

run = Experiment(ws, "fan-out").submit(pipeline)
run.wait_for_completion(show_output=True)

for step_run in run.get_steps():
    print(step_run.name, step_run.get_status())
run.get_pipeline_output("report").download("downloads", overwrite=True)
