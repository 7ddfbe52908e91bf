"""A task of a hand-written DAG as a step: what its result depends on, said by its author."""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aml_provider.execution.templates import is_template
from aml_provider.runs.binding import PipelineBinding, StepRun
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import (
    Command,
    DataLocation,
    DatastoreSource,
    EnvironmentSpec,
    ParameterRef,
    PipelineSpec,
    Step,
    StepInput,
    StepOutput,
    SubmitOptions,
    Text,
)
from aml_provider.storage.paths import BOOKKEEPING, normalized
from aml_provider.workspace.discovery import load_workspace
from aml_provider.workspace.model import StepReuseConfig
from aml_provider.workspace.resolved import LoadedWorkspace

#: The index's word for the type of such a step.
TASK_TYPE = "AirflowTask"
_SCALARS = (str, int, float, bool, type(None))
# What stands for {run-id} and {output-name}, and what a person may write for them.
_RUN_ID, _OUTPUT_NAME = "{run-id}", "{output-name}"
_NEARLY = re.compile(r"\{\s*(run|output)[-_ ]?(id|name)\s*\}", re.IGNORECASE)
_MAPPINGS = {"parameters": "values", "inputs": "places", "outputs": "places"}


class DescribedTask:
    """What a task's result depends on, for the classes that look for that result and that record it.

    :param step: the name of its results in the reuse index; one name stands for one kind of computation, and another
        one for another.
    :param code: folder of its code (``.amlignore`` and ``.gitignore`` are followed); relative to the DAG file.
    :param include: ``.gitignore`` patterns of the files in ``code`` that count; empty for all.
    :param parameters: values that count, of JSON's types; ``1`` and ``"1"`` are different.
    :param inputs: name -> place in a datastore, ``datastore:path``; what is there counts, not where it is.
    :param outputs: name -> place that the task writes. ``{run-id}`` in it stands for this sensor in this run, and
        ``{output-name}`` for the name: with a place for each run, none overwrites what another could reuse.
    :param image: image that the task runs in, when it runs in one.
    :param compute_target: the workspace's compute target that the task runs on, by whose engine the image is looked
        up; its ``reuse_as`` declares what is equal. Default: this worker, whose Python and packages count.
    :param version: any text; change it to have everything computed anew.
    :param workspace: path of the workspace file, relative to the DAG file; default: the one that a pipeline file there
        would find.
    """

    DESCRIPTION = (
        *("step", "code", "include", "parameters", "inputs", "outputs"),
        *("image", "compute_target", "version", "workspace"),
    )

    step: str
    code: str | None
    include: Sequence[str]
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    image: str | None
    compute_target: str | None
    version: str | None
    workspace: str | None
    dag: Any
    task_id: str

    def check_types(self) -> None:
        """Refuse what no template could make right.

        :raises PipelineError: an argument is not of its type.
        """
        for name, values in _MAPPINGS.items():
            value = getattr(self, name)
            if not isinstance(value, Mapping) and not is_template(value):
                raise PipelineError(
                    f"step {self.step!r}: {name}={value!r} is no mapping; give names and their {values}, like "
                    f"{name}={{'name': ...}}"
                )
        if isinstance(self.parameters, Mapping):
            for name, value in self.parameters.items():
                _check_value(self.step, name, value)
        if self.step == "":
            raise PipelineError("step is empty; give the step a name")
        for name in ("step", "code", "image", "compute_target", "version", "workspace"):
            value = getattr(self, name)
            kinds = (str, os.PathLike) if name in ("code", "workspace") else str
            if not (isinstance(value, kinds) or (value is None and name != "step") or is_template(value)):
                raise PipelineError(f"step {self.step!r}: {name}={value!r} is no text; write {name}={str(value)!r}")

    def step_run(self, sensor: str, dag_id: str, run_id: str) -> StepRun:
        """The task as a step run.

        :param sensor: id of the sensor's task. The step's own name may occur twice in one DAG.
        :raises PipelineError: a place or a value is not of the described form, or the workspace does not have it.
        :raises WorkspaceFileError: the workspace file is of no use.
        """
        self.check_types()
        folder = Path(self.dag.fileloc).parent
        loaded = load_workspace(folder / self.workspace if self.workspace else None, beside=folder)
        workspace = _including(loaded, self.step, self.include)
        step = Step(
            key=sensor,
            name=self.step,
            type=TASK_TYPE,
            # Its name is all that is known of what it does: two programs may have one folder.
            action=Command(words=(Text(value=self.step),)),
            source_directory=None if self.code is None else str(self.code),
            parameters={name: ParameterRef(name=name) for name in self.parameters},
            inputs=tuple(
                StepInput(name=n, source=DatastoreSource(location=_place(self.step, n, p, workspace)))
                for n, p in self.inputs.items()
            ),
            outputs=tuple(_output(self.step, n, p, workspace) for n, p in self.outputs.items()),
            compute_target=self.compute_target,
            environment=EnvironmentSpec(name="", image=self.image) if self.image else None,
            version=self.version,
        )
        spec = PipelineSpec(
            workspace=workspace.name,
            default_datastore=workspace.file.default_datastore,
            steps=(step,),
            submit=SubmitOptions(experiment=dag_id),
        )
        binding = PipelineBinding(spec, folder, workspace)
        binding.compute_of(step)
        return StepRun(binding, step, dag_id, run_id, dict(self.parameters), lambda _: {})


def _including(workspace: LoadedWorkspace, step: str, include: Sequence[str]) -> LoadedWorkspace:
    """The workspace as if its file said of ``step`` what its author says."""
    if not include:
        return workspace
    # As the last entry it wins.
    steps = dict(workspace.file.reuse.steps)
    name = glob.escape(step)
    own = steps.pop(name, StepReuseConfig()).model_copy(update={"include": tuple(include)})
    reuse = workspace.file.reuse.model_copy(update={"steps": {**steps, name: own}})
    return replace(workspace, file=workspace.file.model_copy(update={"reuse": reuse}))


def _check_value(step: str, name: str, value: Any) -> None:
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_value(step, name, item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise PipelineError(
                    f"step {step!r}, parameter {name!r}: the key {key!r} of type {type(key).__name__} is no text; give "
                    "mappings text as keys"
                )
            _check_value(step, name, item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise PipelineError(
            f"step {step!r}, parameter {name!r}: {value} is no number of JSON, in which Airflow keeps a DAG; give "
            f"text, like {str(value)!r}"
        )
    elif not (isinstance(value, _SCALARS) or is_template(value)):
        raise PipelineError(
            f"step {step!r}, parameter {name!r}: {value!r} of type {type(value).__name__} has no content that could be "
            "compared; give text, numbers, booleans, lists or mappings of them"
        )


def _place(step: str, name: str, text: object, workspace: LoadedWorkspace) -> DataLocation:
    datastore, colon, path = text.partition(":") if isinstance(text, str) else ("", "", "")
    if not colon or not datastore:
        raise PipelineError(f"step {step!r}, {name!r}: {text!r} is no place; write it like workspaceblobstore:folder")
    try:
        workspace.datastore(datastore)
        return DataLocation(datastore=datastore, path=normalized(path, datastore))
    except PipelineError as e:
        raise PipelineError(f"step {step!r}, {name!r}: {e}") from None


def _output(step: str, name: str, text: object, workspace: LoadedWorkspace) -> StepOutput:
    place = _place(step, name, text, workspace)
    if place.path.partition("/")[0] in BOOKKEEPING:
        raise PipelineError(f"step {step!r}, {name!r}: {text!r} is where runs keep records; give another place")
    for word in _NEARLY.finditer(place.path):
        right = _RUN_ID if word[1].lower() == "run" else _OUTPUT_NAME
        if word[0] != right:
            raise PipelineError(f"step {step!r}, {name!r}: {word[0]} in {text!r} stands for nothing; write {right}")
    return StepOutput(name=name, datastore=place.datastore, destination=place.path)
