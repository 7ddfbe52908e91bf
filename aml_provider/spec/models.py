"""What a pipeline *is*: frozen, validated data, the same whether it came from Python, JSON or a designer.

Everything after :mod:`aml_provider.sdk` works from :class:`PipelineSpec` alone. The models hold names, never
handles: a datastore is its name in the workspace, a compute target is its name, a step is its key. No path in
a spec depends on the machine that built it, so two checkouts of one pipeline give the same bytes.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated, Any, Literal, Union

from pydantic import Field

from aml_provider.spec.base import Model
from aml_provider.spec.tables import Operations, SqlQuery, TabularFormat

SPEC_VERSION: Literal[1] = 1


class DataMode(str, Enum):
    """How a step gets at data; the words are Azure ML's."""

    MOUNT = "mount"
    DOWNLOAD = "download"
    UPLOAD = "upload"
    DIRECT = "direct"
    HDFS = "hdfs"


class ParameterType(str, Enum):
    """The types a v1 ``PipelineParameter`` can have, taken from its default value."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATAPATH = "datapath"
    DATASET = "dataset"


class DataLocation(Model):
    """A path (or glob) inside a datastore; ``path`` is relative to the datastore's root, with forward slashes."""

    datastore: str
    path: str = ""


class StoredOutput(DataLocation):
    """What a step wrote, and where it is.

    :param digest: identity of the content; ``None`` when nobody has looked.
    :param bytes: of all files together.
    """

    digest: str | None = None
    files: int | None = None
    bytes: int | None = None


class Parameter(Model):
    """A value that may change from run to run.

    :param default: the declared default; for ``datapath`` a ``{"datastore", "path"}`` mapping, for ``dataset`` what a
        :class:`DatasetSource` says besides its defaults.
    """

    name: str
    type: ParameterType
    default: Any = None

    def taken(self, value: Any) -> Any:
        """A value as steps get it: what JSON has as 2 is 2.0 for a parameter whose values are fractions."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        return float(value) if self.type is ParameterType.NUMBER and whole else value


# --- values in an argument list, rendered when the step starts -------------------------------------------------


class Text(Model):
    """Text that is passed as it stands."""

    kind: Literal["text"] = "text"
    value: str


class ParameterRef(Model):
    """The value a pipeline parameter has in this run."""

    kind: Literal["parameter"] = "parameter"
    name: str


class InputRef(Model):
    """The path of one of the step's inputs on its compute."""

    kind: Literal["input"] = "input"
    name: str


class OutputRef(Model):
    """The path of one of the step's outputs on its compute."""

    kind: Literal["output"] = "output"
    name: str


Part = Annotated[Union[Text, ParameterRef, InputRef, OutputRef], Field(discriminator="kind")]


class Concat(Model):
    """Several parts written without a space between them: one word of the command line."""

    kind: Literal["concat"] = "concat"
    parts: tuple[Part, ...]


Argument = Annotated[Union[Text, ParameterRef, InputRef, OutputRef, Concat], Field(discriminator="kind")]


# --- data -------------------------------------------------------------------------------------------------------


class StepOutputSource(Model):
    """What another step of the pipeline wrote: ``step`` is that step's key.

    :param tabular: the reader gets the files as a table.
    :param operations: what is done to the table's rows, in order.
    """

    kind: Literal["step_output"] = "step_output"
    step: str
    output: str
    tabular: TabularFormat | None = None
    operations: Operations = ()


class DatastoreSource(Model):
    """One place in a datastore: a v1 ``DataReference`` or ``DataPath``."""

    kind: Literal["datastore"] = "datastore"
    location: DataLocation


class DatasetSource(Model):
    """A v1 dataset: one or more places, each of which may be a glob, or what a database answers.

    :param dataset_type: what the script gets: files, or a table.
    :param tabular: how the files are read as a table.
    :param partition_format: of a dataset of files: how parts of a file's path become values to filter by.
    :param operations: what is done to the files or rows, in order.
    :param name: the registered name, :param version: the registered version; of the dataset that it is derived from
        where it is ``derived``.
    """

    kind: Literal["dataset"] = "dataset"
    locations: tuple[DataLocation, ...] = ()
    query: SqlQuery | None = None
    dataset_type: Literal["file", "tabular"] = "file"
    tabular: TabularFormat | None = None
    partition_format: str | None = None
    operations: Operations = ()
    name: str | None = None
    version: int | None = None
    derived: bool = False


class ParameterSource(Model):
    """Data chosen per run by a pipeline parameter of type ``datapath`` or ``dataset``."""

    kind: Literal["parameter"] = "parameter"
    name: str


Source = Annotated[
    Union[StepOutputSource, DatastoreSource, DatasetSource, ParameterSource], Field(discriminator="kind")
]


class StepInput(Model):
    """Data a step reads.

    :param generated: nobody named it: the name comes from the step's, and says nothing about what is read.
    :param environment_variable: variable that holds the path inside the step, as v1 sets it.
    :param is_dataset: the script also finds it in ``Run.get_context().input_datasets``.
    """

    name: str
    generated: bool = False
    source: Source
    mode: DataMode = DataMode.MOUNT
    path_on_compute: str | None = None
    environment_variable: str | None = None
    is_dataset: bool = False
    overwrite: bool = False


class Registration(Model):
    """A dataset version to register when the step has succeeded.

    :param tabular: how the files are read as a table; ``None``: the dataset is one of files.
    :param operations: what is done to its rows, in order.
    """

    name: str
    description: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    tabular: TabularFormat | None = None
    operations: Operations = ()


class StepOutput(Model):
    """Data a step writes.

    :param generated: nobody named it, as for a :class:`StepInput`.
    :param directory: ``True``: the script finds an existing, empty directory (v1 ``OutputFileDatasetConfig``);
        ``False``: the script itself creates a file or a directory at the path (v1 ``PipelineData``).
    :param destination: path in the datastore, may hold ``{run-id}`` (the step run's id) and ``{output-name}``.
    """

    name: str
    generated: bool = False
    datastore: str
    destination: str
    directory: bool = False
    mode: DataMode = DataMode.MOUNT
    path_on_compute: str | None = None
    overwrite: bool = False
    source_globs: tuple[str, ...] = ()
    environment_variable: str | None = None
    pipeline_output_name: str | None = None
    registration: Registration | None = None


# --- environment and compute ------------------------------------------------------------------------------------


class PythonSpec(Model):
    """The Python a step wants.

    :param user_managed: use the interpreter as it is, install nothing.
    :param version: wanted Python version, ``None`` for whatever the compute has.
    """

    user_managed: bool = False
    interpreter: str = "python"
    version: str | None = None
    pip_packages: tuple[str, ...] = ()
    pip_options: tuple[str, ...] = ()
    conda_packages: tuple[str, ...] = ()
    conda_channels: tuple[str, ...] = ()


class EnvironmentSpec(Model):
    """A v1 ``Environment``, as far as it can change what a step does.

    :param image: image the author asked for, ``None`` when the compute target chooses it.
    :param shm_size: size of ``/dev/shm`` as Docker writes it (``2g``).
    """

    name: str
    version: str | None = None
    image: str | None = None
    dockerfile: str | None = None
    python: PythonSpec = PythonSpec()
    variables: dict[str, str] = Field(default_factory=dict)
    shm_size: str | None = None


class ComputeSpec(Model):
    """A compute target that the pipeline file itself provisions (``ComputeTarget.create``)."""

    name: str
    vm_size: str | None = None
    min_nodes: int = 0
    max_nodes: int | None = None


# --- steps ------------------------------------------------------------------------------------------------------


class PythonScript(Model):
    """Run ``script`` (relative to the step's source directory) with the environment's Python."""

    kind: Literal["python_script"] = "python_script"
    script: str
    arguments: tuple[Argument, ...] = ()


class Command(Model):
    """Run a command line with ``/bin/sh``: the rendered words are joined by blanks, so the shell expands them."""

    kind: Literal["command"] = "command"
    words: tuple[Argument, ...]


class Transfer(Model):
    """Move the step's one input to the place of its one output; the worker itself does it.

    :param source_type: what is at the source; ``None``: what is there decides.
    :param destination_type: what the destination's path stands for; ``None``: what is there, else what the source is.
    """

    kind: Literal["transfer"] = "transfer"
    source_type: Literal["file", "directory"] | None = None
    destination_type: Literal["file", "directory"] | None = None


Action = Annotated[Union[PythonScript, Command, Transfer], Field(discriminator="kind")]


class Step(Model):
    """One step.

    :param key: unique in the pipeline and legal as an Airflow task id.
    :param name: what the author called it; need not be unique.
    :param source_directory: relative to the folder of the pipeline file (absolute only when the author wrote it
        so); ``None`` for a command that needs no code.
    :param parameters: v1 ``params``: passed as ``--name value`` and as ``AML_PARAMETER_name``.
    :param after: keys of steps that must end first, beyond those implied by data.
    :param runconfig_parameters: run-configuration properties (``NodeCount``...) that a parameter sets.
    """

    key: str
    name: str
    type: str
    action: Action
    source_directory: str | None = None
    parameters: dict[str, Part] = Field(default_factory=dict)
    inputs: tuple[StepInput, ...] = ()
    outputs: tuple[StepOutput, ...] = ()
    compute_target: str | None = None
    environment: EnvironmentSpec | None = None
    after: tuple[str, ...] = ()
    allow_reuse: bool = True
    version: str | None = None
    runconfig_parameters: dict[str, ParameterRef] = Field(default_factory=dict)
    timeout_seconds: int | None = None

    @property
    def upstream(self) -> tuple[str, ...]:
        """Keys of every step that must end before this one starts, each once, in a stable order."""
        produced = (i.source.step for i in self.inputs if isinstance(i.source, StepOutputSource))
        return tuple(dict.fromkeys((*produced, *self.after)))


class SubmitOptions(Model):
    """What ``submit`` was told besides the pipeline.

    :param parameters: values that replace the declared defaults in this submission.
    :param regenerate_outputs: every step runs, whatever has been computed before.
    :param assume_unchanged: names of steps whose latest result is taken, whatever has changed since.
    :param script: it was a ``ScriptRunConfig``, of which the only step is made.
    """

    experiment: str
    script: bool = False
    parameters: dict[str, Any] = Field(default_factory=dict)
    continue_on_step_failure: bool = False
    regenerate_outputs: bool = False
    assume_unchanged: tuple[str, ...] = ()
    tags: dict[str, str] = Field(default_factory=dict)


class PipelineSpec(Model):
    """A whole pipeline. Steps are in a topological order in which independent steps keep the author's order."""

    spec_version: Literal[1] = SPEC_VERSION
    workspace: str
    description: str | None = None
    default_datastore: str
    parameters: tuple[Parameter, ...] = ()
    compute: tuple[ComputeSpec, ...] = ()
    steps: tuple[Step, ...]
    submit: SubmitOptions

    def step(self, key: str) -> Step:
        """The step with this key.

        :raises KeyError: no step has it.
        """
        for step in self.steps:
            if step.key == key:
                return step
        raise KeyError(key)

    @property
    def run_options(self) -> dict[str, Any]:
        """What a run can be told besides its parameters, and what it does when it is not; a parameter's name is its."""
        options = {
            "regenerate_outputs": self.submit.regenerate_outputs,
            "assume_unchanged": list(self.submit.assume_unchanged),
        }
        taken = {p.name for p in self.parameters}
        return {name: value for name, value in options.items() if name not in taken}

    def to_json(self) -> str:
        """Canonical JSON: the same pipeline always gives the same text."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
