"""Train a classifier of handwritten digits in two steps: a data-preparation step whose output feeds a training step.

An ordinary Azure ML SDK v1 file. Run it with ``aml run dags/digits_pipeline.py``, or put it, with the folder
``digits``, into Airflow's dags folder.
"""

from azureml.core import Dataset, Datastore, Environment, Experiment, Workspace
from azureml.core.compute import AmlCompute, ComputeTarget
from azureml.core.compute_target import ComputeTargetException
from azureml.core.conda_dependencies import CondaDependencies
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline, PipelineData, PipelineParameter
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
datastore = Datastore(ws, "workspaceblobstore")

# The compute target: use it when it exists, create it when it does not.
cluster_name = "cpu-cluster"
try:
    cluster = ComputeTarget(workspace=ws, name=cluster_name)
except ComputeTargetException:
    config = AmlCompute.provisioning_configuration(vm_size="STANDARD_D1_V2", min_nodes=0, max_nodes=4)
    cluster = ComputeTarget.create(ws, cluster_name, config)
    cluster.wait_for_completion(show_output=True)

# What the scripts import. Azure's own packages in this list cost nothing here.
environment = Environment("digits")
environment.python.conda_dependencies = CondaDependencies.create(
    python_version="3.11", pip_packages=["azureml-defaults", "scikit-learn==1.9.1"]
)
run_config = RunConfiguration()
run_config.target = cluster
run_config.environment = environment

# The raw data: 1,797 scans of 8 x 8 pixels and what they show.
datastore.upload(src_dir="digits/data", target_path="digits/raw", overwrite=True, show_progress=False)
raw = Dataset.File.from_files((datastore, "digits/raw/*.csv")).as_named_input("raw")

test_share = PipelineParameter("test_share", default_value=0.25)
prepared = OutputFileDatasetConfig("prepared", destination=(datastore, "digits/{run-id}/{output-name}"))
model = PipelineData("model", datastore=datastore)

prep_step = PythonScriptStep(
    name="prep",
    script_name="prep.py",
    source_directory="digits",
    arguments=["--raw", raw.as_mount(), "--prepared", prepared, "--test-share", test_share],
    compute_target=cluster,
    runconfig=run_config,
)
train_step = PythonScriptStep(
    name="train",
    script_name="train.py",
    source_directory="digits",
    arguments=["--prepared", prepared.as_input("prepared"), "--model", model],
    outputs=[model],
    compute_target=cluster,
    runconfig=run_config,
)

pipeline = Pipeline(workspace=ws, steps=[prep_step, train_step])
pipeline.validate()

run = Experiment(ws, "digits").submit(pipeline, tags={"sample": "digits"})
run.wait_for_completion(show_output=True)

for step_run in run.find_step_run("train"):
    print("accuracy:", step_run.get_metrics()["accuracy"])
    step_run.get_output_data("model").download("downloads", overwrite=True)
    print("the model is in the folder downloads")
