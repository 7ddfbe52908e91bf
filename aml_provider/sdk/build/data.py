"""Inputs and outputs of a step as spec data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aml_provider.sdk.build.closure import Members
from aml_provider.sdk.build.parameters import Parameters
from aml_provider.sdk.consumption import DatasetConsumptionConfig
from aml_provider.sdk.data_reference import DataReference
from aml_provider.sdk.datapath import DataPath, DataPathComputeBinding
from aml_provider.sdk.datasets import AbstractDataset
from aml_provider.sdk.identity import Identity, default_reference_name
from aml_provider.sdk.outputs import OutputDatasetConfig, OutputFileDatasetConfig, OutputTabularDatasetConfig
from aml_provider.sdk.parameter import PipelineParameter
from aml_provider.sdk.ports import (
    DEFAULT_DESTINATION,
    InputPortBinding,
    OutputPortBinding,
    PipelineData,
    PipelineDataset,
    PipelineOutputAbstractDataset,
)
from aml_provider.sdk.sql_data_reference import SqlDataReference
from aml_provider.sdk.steps.base import PipelineStep
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import (
    DataLocation,
    DataMode,
    DatasetSource,
    DatastoreSource,
    InputRef,
    OutputRef,
    ParameterSource,
    Registration,
    Source,
    StepInput,
    StepOutput,
    StepOutputSource,
)
from aml_provider.spec.names import data_name_part, unique_name
from aml_provider.spec.tables import SqlQuery
from aml_provider.storage.paths import normalized

VARIABLE = "AZUREML_DATAREFERENCE_"


@dataclass
class Names:
    """The names of a pipeline's steps and data, the same whenever and wherever the pipeline is built.

    :param keys: step -> key.
    :param outputs: identity -> name of the output port.
    :param generated: identities of the outputs that nobody named.
    """

    keys: dict[PipelineStep, str]
    outputs: dict[Identity, str] = field(default_factory=dict)
    generated: set[Identity] = field(default_factory=set)


def written(step: PipelineStep, members: Members) -> list[Any]:
    """The step's output objects, those that stand only in the arguments included."""
    found = list(step.outputs)
    seen = {id(getattr(output, "identity", None)) for output in found}
    for item in step.arguments:
        if (
            isinstance(item, OutputDatasetConfig)
            and id(item.identity) not in seen
            and members.producer(item.identity) is step
        ):
            seen.add(id(item.identity))
            found.append(item)
    return found


def name_outputs(steps: list[PipelineStep], members: Members, names: Names) -> None:
    """Give every output its port name; one without a name is named after its place: ``output_<step key>_<n>``."""
    unnamed: list[tuple[str, Identity]] = []
    taken: set[str] = set()
    for step in steps:
        count = 0
        for output in written(step, members):
            identity = getattr(output, "identity", None)
            if not isinstance(identity, Identity):
                raise PipelineError(
                    f"Step {step.name!r}: {output!r} cannot be an output; use PipelineData or OutputFileDatasetConfig."
                )
            data = output.pipeline_data if isinstance(output, PipelineOutputAbstractDataset) else output
            name = getattr(data, "output_name", identity.name)
            if name is None:
                count += 1
                unnamed.append((f"output_{data_name_part(names.keys[step])}_{count}", identity))
            else:
                taken.add(name)
                names.outputs[identity] = name
    for wanted, identity in unnamed:
        names.outputs[identity] = unique_name(wanted, taken)
        names.generated.add(identity)


class StepData:
    """The data of one step, and what the objects in its arguments refer to.

    :ivar inputs: the step's inputs, :ivar outputs: its outputs.
    """

    def __init__(self, step: PipelineStep, members: Members, names: Names, parameters: Parameters, store: str) -> None:
        self._step = step
        self._members = members
        self._names = names
        self._parameters = parameters
        self._default_datastore = store
        self.inputs: list[StepInput] = []
        self.outputs: list[StepOutput] = []
        #: Identity of an object -> what stands for it in an argument.
        self._references: dict[Any, InputRef | OutputRef] = {}
        #: ``$AZUREML_DATAREFERENCE_<name>`` in text -> what it means.
        self.variables: dict[str, InputRef | OutputRef] = {}
        self._unnamed = 0
        self._entered: set[Any] = set()
        for output in written(step, members):
            self._add_output(output)
        for item in step.inputs:
            self._add_input(item)
        for item in step.arguments:
            # As in v1, dataset inputs that stand only in the arguments need not be listed as well.
            if isinstance(item, DatasetConsumptionConfig) or (
                self._is_read_output(item) and self.reference(item) is None
            ):
                self._add_input(item)

    def _is_read_output(self, item: Any) -> bool:
        return isinstance(item, OutputDatasetConfig) and self._members.producer(item.identity) is not self._step

    def reference(self, item: Any) -> InputRef | OutputRef | None:
        """What a data object in the arguments stands for; ``None`` when it is neither input nor output."""
        return next((self._references[k] for k in _keys(item) if k in self._references), None)

    def _error(self, message: str) -> PipelineError:
        return PipelineError(f"Step {self._step.name!r}: {message}")

    # --- outputs --------------------------------------------------------------------------------------------

    def _add_output(self, output: Any) -> None:
        made = self._output(output)
        if any(other.name == made.name for other in self.outputs):
            raise self._error(f"two outputs are named {made.name!r}; give one of them another name.")
        reference = OutputRef(name=made.name)
        self.outputs.append(made)
        for key in _keys(output):
            self._references.setdefault(key, reference)
        self._note_variable(made.environment_variable, reference)

    def _output(self, output: Any) -> StepOutput:
        registration: Registration | None = getattr(output, "registration", None)
        if isinstance(output, PipelineOutputAbstractDataset):
            output = output.pipeline_data
        if isinstance(output, OutputTabularDatasetConfig):
            if registration is not None:
                read_as = {"tabular": output.tabular, "operations": output.operations}
                registration = registration.model_copy(update=read_as)
            output = output.source
        name = self._names.outputs[output.identity]
        generated = output.identity in self._names.generated
        if isinstance(output, OutputFileDatasetConfig):
            store, destination = output.destination
            datastore = self._default_datastore if store is None else store.name
            try:
                normalized(destination, datastore)
            except PipelineError as error:
                raise self._error(f"output {name!r}: {error}") from None
            return StepOutput(
                name=name,
                generated=generated,
                datastore=datastore,
                destination=destination,
                directory=True,
                mode=DataMode(output.mode),
                path_on_compute=output.source,
                overwrite=output.overwrite,
                source_globs=output.source_globs,
                environment_variable=name,
                registration=registration,
            )
        if not isinstance(output, (PipelineData, OutputPortBinding)):
            raise self._error(f"{output!r} cannot be an output; use PipelineData or OutputFileDatasetConfig.")
        if isinstance(output, OutputPortBinding) and output.dataset_registration is not None:
            registration = Registration(name=output.dataset_registration.name)
        store = output.datastore
        return StepOutput(
            name=name,
            generated=generated,
            datastore=self._default_datastore if store is None else getattr(store, "name", store),
            destination=output._destination if isinstance(output, PipelineData) else DEFAULT_DESTINATION,
            mode=DataMode(output.mode),
            path_on_compute=output.path_on_compute,
            overwrite=output.overwrite,
            environment_variable=VARIABLE + output.name,
            pipeline_output_name=output.pipeline_output_name,
            registration=registration,
        )

    # --- inputs ---------------------------------------------------------------------------------------------

    def _add_input(self, item: Any) -> None:
        key = _keys(item)[0]
        if key in self._entered:
            return
        self._entered.add(key)
        made = self._input(item)
        reference = InputRef(name=made.name)
        clash = next((other for other in self.inputs if other.name == made.name), None)
        if clash is not None:
            if clash == made:
                self._refer(item, reference)
                return
            raise self._error(f"two inputs are named {made.name!r}; give one of them another name.")
        if any(other.name == made.name for other in self.outputs):
            raise self._error(f"an input and an output are both named {made.name!r}; give one of them another name.")
        self.inputs.append(made)
        self._refer(item, reference)
        self._note_variable(made.environment_variable, reference)

    def _refer(self, item: Any, reference: InputRef) -> None:
        for key in _keys(item):
            self._references.setdefault(key, reference)

    def _note_variable(self, variable: str | None, reference: InputRef | OutputRef) -> None:
        if variable is not None:
            self.variables.setdefault(variable, reference)

    def _input(self, item: Any) -> StepInput:
        if isinstance(item, DatasetConsumptionConfig):
            return self._dataset_input(item)
        if isinstance(item, InputPortBinding):
            return self._port_input(item)
        if isinstance(item, (PipelineData, OutputPortBinding)):
            return self._reference_input(item.name, self._produced(item), "mount")
        if isinstance(item, DataReference):
            return self._reference_input(
                item.data_reference_name,
                _referenced(item),
                item.mode,
                item.path_on_compute,
                item.overwrite,
                item.name_is_generated,
            )
        if isinstance(item, OutputDatasetConfig):
            return self._dataset_input(item.as_input())
        if isinstance(item, PipelineOutputAbstractDataset):
            return self._named_dataset(
                item.input_name or item.name, self._produced(item), item.mode, item.path_on_compute
            )
        if isinstance(item, PipelineDataset):
            source = self._dataset_source(item.dataset, item.parameter_name)
            return self._reference_input(item.name, source, item.bind_mode, item.path_on_compute, item.overwrite)
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], DataPathComputeBinding):
            return self._bound_path(*item)
        if isinstance(item, AbstractDataset):
            raise self._error(
                f"{item!r} is a dataset without an input name; pass dataset.as_named_input('name') instead."
            )
        if isinstance(item, DataPath):
            raise self._error(
                f"{item!r} needs a way to read it; pass (datapath, DataPathComputeBinding(mode='mount'))."
            )
        raise self._error(f"{item!r} cannot be an input; use PipelineData, a DataReference or a dataset input.")

    def _port_input(self, binding: InputPortBinding) -> StepInput:
        inner = binding.bind_object
        if isinstance(inner, (DatasetConsumptionConfig, OutputDatasetConfig, PipelineOutputAbstractDataset)):
            made = self._input(inner)
            return made.model_copy(update={"name": binding.name, "environment_variable": binding.name})
        if isinstance(inner, DataReference):
            source: Source = _referenced(inner)
        elif isinstance(inner, PipelineDataset):
            source = self._dataset_source(inner.dataset, inner.parameter_name)
        elif isinstance(inner, (PipelineData, OutputPortBinding)):
            source = self._produced(inner)
        else:
            raise self._error(f"input {binding.name!r} is bound to {inner!r}, which is no data.")
        return self._reference_input(
            binding.name, source, binding.bind_mode, binding.path_on_compute, bool(binding.overwrite)
        )

    def _reference_input(
        self,
        name: str,
        source: Source,
        mode: str,
        path_on_compute: str | None = None,
        overwrite: bool = False,
        generated: bool = False,
    ) -> StepInput:
        return StepInput(
            name=name,
            generated=generated,
            source=source,
            mode=DataMode(mode),
            path_on_compute=path_on_compute,
            environment_variable=VARIABLE + name,
            overwrite=overwrite,
        )

    def _named_dataset(
        self, name: str, source: Source, mode: str, path_on_compute: str | None, generated: bool = False
    ) -> StepInput:
        if mode in ("mount", "download") and _has_rows_only(source):
            raise self._error(
                f"dataset input {name!r} is a table with operations, so its files are not its rows: use it without "
                f"as_{mode}() (the script then gets a table), or make files of it with to_csv_files() or "
                "to_parquet_files() first."
            )
        return StepInput(
            name=name,
            generated=generated,
            source=source,
            mode=DataMode(mode),
            path_on_compute=path_on_compute,
            environment_variable=name,
            is_dataset=True,
        )

    def _dataset_input(self, config: DatasetConsumptionConfig) -> StepInput:
        data = config.dataset
        name: str | None = config.name
        if isinstance(data, (OutputDatasetConfig, PipelineOutputAbstractDataset)):
            generated = name is None and data.identity in self._names.generated
            name = name or self._names.outputs[data.identity]
            return self._named_dataset(name, self._produced(data), config.mode, config.path_on_compute, generated)
        generated = name is None
        if name is None:
            self._unnamed += 1
            name = f"input_{data_name_part(self._names.keys[self._step])}_{self._unnamed}"
        if isinstance(data, PipelineParameter):
            self._parameters.use(data, self._step.name)
            source: Source = ParameterSource(name=data.name)
        elif isinstance(data, AbstractDataset):
            source = self._dataset_source(data)
        else:
            raise self._error(
                f"dataset input {name!r} is of {data!r}, which is no dataset; make one with Dataset.File.from_files."
            )
        return self._named_dataset(name, source, config.mode, config.path_on_compute, generated)

    def _dataset_source(self, dataset: Any, parameter: str | None = None) -> Source:
        if parameter is not None:
            declared = PipelineParameter(parameter, dataset)
            self._parameters.use(declared, self._step.name)
            return ParameterSource(name=parameter)
        source: DatasetSource = dataset.source
        return source

    def _bound_path(self, path: Any, binding: DataPathComputeBinding) -> StepInput:
        if isinstance(path, PipelineParameter):
            self._parameters.use(path, self._step.name)
            if not isinstance(path.default_value, DataPath):
                raise self._error(
                    f"parameter {path.name!r} is used as a data path, but its default is {path.default_value!r}; "
                    "give it a DataPath."
                )
            name, generated = data_name_part(path.name) or "datapath", False
            made: Source = ParameterSource(name=path.name)
        elif isinstance(path, DataPath):
            store, inner = path.location
            name, generated = path._name or default_reference_name(store, inner), not path._name
            made = DatastoreSource(location=DataLocation(datastore=store, path=inner))
        else:
            raise self._error(f"({path!r}, DataPathComputeBinding) needs a DataPath or a PipelineParameter with one.")
        return self._reference_input(name, made, binding._mode, binding._path_on_compute, binding._overwrite, generated)

    def _produced(self, item: Any) -> StepOutputSource:
        producer = self._members.producer(item.identity)
        if producer is None:  # the closure has refused this already
            raise self._error(f"{item!r} is produced by no step.")
        return StepOutputSource(
            step=self._names.keys[producer],
            output=self._names.outputs[item.identity],
            tabular=getattr(item, "tabular", None),
            operations=getattr(item, "operations", ()),
        )


def _referenced(reference: DataReference) -> Source:
    """What a reference refers to: a place, or the answer to a query."""
    store, path = reference.location
    if isinstance(reference, SqlDataReference) and reference.sql_query:
        return DatasetSource(query=SqlQuery(datastore=store, query=reference.sql_query), dataset_type="tabular")
    return DatastoreSource(location=DataLocation(datastore=store, path=path))


def _has_rows_only(source: Source) -> bool:
    """Whether only reading it as a table gives what it is."""
    if isinstance(source, StepOutputSource):
        return source.tabular is not None and bool(source.operations)
    return (
        isinstance(source, DatasetSource)
        and source.dataset_type == "tabular"
        and (bool(source.operations) or source.query is not None)
    )


def _keys(item: Any) -> list[Any]:
    """What makes two data objects the same thing in a step's arguments, the most particular first."""
    if isinstance(item, DatasetConsumptionConfig):
        data = item.dataset
        inner = getattr(data, "identity", data)
        if item.name:
            return [("dataset", item.name, id(inner)), ("data", id(inner))]
        return [("unnamed", id(inner), item.mode, item.path_on_compute), ("data", id(inner))]
    if isinstance(item, InputPortBinding):
        inner = getattr(item.bind_object, "identity", item.bind_object)
        return [("port", item.name, id(inner)), ("data", id(inner))]
    if isinstance(item, DataReference):
        return [("reference", item.data_reference_name, item.location)]
    if isinstance(item, tuple) and len(item) == 2:
        return [("bound", id(item[0]), id(item[1])), ("bound", id(item[0]))]
    identity = getattr(item, "identity", None)
    if isinstance(identity, Identity):
        return [("data", id(identity))]
    return [("object", id(item))]
