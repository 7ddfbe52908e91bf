"""Three steps in a row, for each compute target of the workspace, that say in their logs when they compute."""

from azureml.core import Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline, PipelineParameter
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
store = ws.get_default_datastore()

environment = Environment("plain-python")
environment.python.user_managed_dependencies = True
run_config = RunConfiguration()
run_config.environment = environment

for target in sorted({"local", *ws.compute_targets}):
    salt = PipelineParameter("salt", default_value="none")
    seconds = PipelineParameter("seconds", default_value=0.0)
    fails_without = PipelineParameter("fails_without", default_value="nothing")
    gate = PipelineParameter("gate", default_value="nothing")
    build = PipelineParameter("build_number", default_value=0)
    steps, before = [], []
    for name in ("first", "second", "third"):
        out = OutputFileDatasetConfig(name, destination=(store, "counted/{run-id}/{output-name}"))
        arguments = ["--salt", salt, "--seconds", seconds, "--gate", gate, "--fails-without", fails_without]
        steps.append(
            PythonScriptStep(
                "counted.py",
                name=name,
                source_directory="counted",
                arguments=[*arguments, "--out", out, *before],
                params={"build": build},
                compute_target=target,
                runconfig=run_config,
            )
        )
        before = ["--before", out.as_input(f"from_{name}").as_mount()]
    Experiment(ws, f"counted-{target}").submit(Pipeline(ws, steps))
