"""A task of a hand-written DAG as a step: what its result depends on, said by its author."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
)
from aml_provider.spec.names import legal_key
from aml_provider.workspace.discovery import load_workspace

#: The index's word for the type of such a step.
TASK_TYPE = "AirflowTask"
_SCALARS = (str, int, float, bool, type(None))


class DescribedTask:
    """What a task's result depends on, for the classes that look for that result and that record it.

    :param step: the name of its results in the reuse index; one name stands for one kind of computation.
    :param code: folder of its code (``.amlignore`` and ``.gitignore`` are followed); relative to the DAG file.
    :param include: ``.gitignore`` patterns of the files in ``code`` that count; empty for all.
    :param parameters: values that count, of JSON's types; ``1`` and ``"1"`` are different.
    :param inputs: name -> place in a datastore, ``datastore:path``; what is there counts, not where it is.
    :param outputs: name -> place that the task writes.
    :param image: image that the task runs in, when it runs in one.
    :param compute_target: the workspace's compute target that the task runs on, by whose engine the image is looked
        up; its ``reuse_as`` declares what is equal. Default: this worker, whose Python and packages count.
    :param version: any text; change it to have everything computed anew.
    :param workspace: path of the workspace file; default: the one that a pipeline file there would find.
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

    def step_run(self, dag_id: str, run_id: str) -> StepRun:
        """The task as a step run.

        :raises PipelineError: a place or a value is not of the described form.
        :raises WorkspaceFileError: the workspace file is of no use.
        """
        for name, value in self.parameters.items():
            _check_value(self.step, name, value)
        folder = Path(self.dag.fileloc).parent
        workspace = load_workspace(self.workspace, beside=folder)
        step = Step(
            key=legal_key(self.step),
            name=self.step,
            type=TASK_TYPE,
            action=Command(words=()),
            source_directory=self.code,
            parameters={name: ParameterRef(name=name) for name in self.parameters},
            inputs=tuple(
                StepInput(name=n, source=DatastoreSource(location=_place(self.step, n, p)))
                for n, p in self.inputs.items()
            ),
            outputs=tuple(_output(self.step, n, p) for n, p in self.outputs.items()),
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
        return StepRun(binding, step, dag_id, run_id, dict(self.parameters), lambda _: {})


def _check_value(step: str, name: str, value: Any) -> None:
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_value(step, name, item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_value(step, name, key if not isinstance(key, str) else item)
    elif not isinstance(value, _SCALARS):
        raise PipelineError(
            f"step {step!r}, parameter {name!r}: {value!r} of type {type(value).__name__} has no content that could be "
            "compared; give text, numbers, booleans, lists or mappings of them"
        )


def _place(step: str, name: str, text: str) -> DataLocation:
    datastore, colon, path = text.partition(":")
    if not colon or not datastore:
        raise PipelineError(f"step {step!r}, {name!r}: {text!r} is no place; write it like workspaceblobstore:folder")
    return DataLocation(datastore=datastore, path=path.strip("/"))


def _output(step: str, name: str, text: str) -> StepOutput:
    place = _place(step, name, text)
    return StepOutput(name=name, datastore=place.datastore, destination=place.path)
