"""A wide pipeline whose every step has been computed, and the same by hand for Airflow, which skips its tasks alike."""

from __future__ import annotations

import time
from pathlib import Path

from aml_provider.cli.inspect import collect
from aml_provider.reuse.contents import Contents
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.plan import Planner, Verdict
from aml_provider.reuse.records import Record
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.spec.models import DataLocation, StoredOutput
from aml_provider.storage.datastores import store_for
from aml_provider.storage.digest_cache import DigestCache

WIDTH, DEPTH = 200, 5
EXPERIMENT, BY_HAND = "wide", "wide-by-hand"

PIPELINE = """\
from azureml.core import Dataset, Environment, Experiment, Workspace
from azureml.core.runconfig import RunConfiguration
from azureml.data import OutputFileDatasetConfig
from azureml.pipeline.core import Pipeline
from azureml.pipeline.steps import PythonScriptStep

ws = Workspace.from_config()
store = ws.get_default_datastore()
environment = Environment("wide")
environment.python.user_managed_dependencies = True
run_config = RunConfiguration()
run_config.environment = environment

steps, before = [], [None] * __WIDTH__
for layer in range(__DEPTH__):
    now = []
    for column in range(__WIDTH__):
        out = OutputFileDatasetConfig(f"out_{layer}_{column}", destination=(store, "wide/{run-id}/{output-name}"))
        reads = [out.as_input(f"in_{n}") for n, out in enumerate((before[column], before[column - 1])) if out]
        if not reads:
            reads = [Dataset.File.from_files((store, f"raw/{column}.csv")).as_named_input("raw").as_mount()]
        steps.append(
            PythonScriptStep(
                "work.py",
                name=f"step_{layer}_{column}",
                source_directory="wide",
                arguments=["--column", column, "--out", out, "--reads", *reads],
                compute_target="local",
                runconfig=run_config,
            )
        )
        now.append(out)
    before = now
Experiment(ws, "wide").submit(Pipeline(ws, steps))
"""

# The least that an Airflow author can do to skip the same graph: one task decides, and skips all others by one call.
HAND = """\
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import DownstreamTasksSkipped


class Skip(BaseOperator):
    def execute(self, context):
        raise DownstreamTasksSkipped(tasks=sorted(set(self.dag.task_ids) - {self.task_id}))


with DAG("wide-by-hand", schedule=None):
    head = Skip(task_id="head")
    before = [head]
    for layer in range(__DEPTH__):
        now = [EmptyOperator(task_id=f"step_{layer}_{n}", trigger_rule="none_failed") for n in range(__WIDTH__)]
        for n, task in enumerate(now):
            task.set_upstream(list(dict.fromkeys((before[n % len(before)], before[(n - 1) % len(before)]))))
        before = now
"""
SCRIPT = "raise SystemExit('this step has been computed; nobody was to run it')\n"


def write(dags: Path, width: int = WIDTH, depth: int = DEPTH, *, by_hand: bool = False) -> Path:
    """The pipeline's file and its script, in ``dags``; returns the file."""
    dags.mkdir(parents=True, exist_ok=True)
    (dags / "wide").mkdir(exist_ok=True)
    (dags / "wide" / "work.py").write_text(SCRIPT)
    size = {"__WIDTH__": str(width), "__DEPTH__": str(depth)}
    texts = {"wide_pipeline.py": PIPELINE, **({"wide_by_hand.py": HAND} if by_hand else {})}
    for name, text in texts.items():
        for word, number in size.items():
            text = text.replace(word, number)
        (dags / name).write_text(text)
    return dags / "wide_pipeline.py"


def binding_of(file: Path) -> PipelineBinding:
    """The pipeline that a file submits, on this machine."""
    ((spec, source, workspace),) = collect(file)
    return PipelineBinding(spec, source.folder, workspace)


def compute_all(file: Path) -> PipelineBinding:
    """Leave behind what a run of every step would: its output in the datastore and its record in the index.

    :param file: submits a pipeline whose steps have one output each.
    """
    binding = binding_of(file)
    name = binding.spec.default_datastore
    store = store_for(binding.workspace.datastore(name), name)
    part = file.with_name("part.csv")
    for column in range(sum(not step.upstream for step in binding.spec.steps)):
        part.write_text(f"{column}\n")
        store.put(part, f"raw/{column}.csv")
    index = ReuseIndex.of(binding.store)
    outputs: dict[str, dict[str, StoredOutput]] = {}
    with DigestCache(binding.digest_cache) as cache:
        contents = Contents(binding.workspace, cache)
        planner = Planner(binding, {}, cache=cache, index=index)
        for step in binding.spec.steps:
            run = StepRun(binding, step, binding.spec.submit.experiment, "computed", {}, outputs.__getitem__)
            decision = planner.decide(run)
            assert decision.verdict is Verdict.RUN, decision.reason
            assert decision.fingerprint is not None, decision.reason
            (output,) = step.outputs
            path = output.destination.replace("{run-id}", run.step_run_id).replace("{output-name}", output.name)
            part.write_text(f"{step.name}\n")
            store.put(part, f"{path}/part.csv")
            stored = contents.stored(DataLocation(datastore=output.datastore, path=path))
            outputs[step.key] = {output.name: stored}
            index.commit(_record(run, decision.fingerprint.key, decision.fingerprint.parts, stored, output.name))
    part.unlink()
    return binding


def _record(run: StepRun, key: str, parts: dict[str, object], stored: StoredOutput, name: str) -> Record:
    now = time.time()
    return Record(
        fingerprint=key,
        parts={"key": parts, "details": {}},
        step={"name": run.step.name, "type": run.step.type, "key": run.step.key},
        run={
            "pipeline_run_id": run.pipeline_run_id,
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            "step_run_id": run.step_run_id,
            "experiment": run.binding.spec.submit.experiment,
            "attempt_folder": "",
        },
        started=now - 1,
        ended=now,
        seconds=1.0,
        created=now,
        outputs={name: stored.model_dump()},
    )
