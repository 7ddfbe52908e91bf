"""v1 ``DataTransferStep``."""

from __future__ import annotations

from typing import Any, Literal

from aml_provider.sdk.consumption import unwrapped
from aml_provider.sdk.data_reference import DataReference
from aml_provider.sdk.datapath import DataPathComputeBinding
from aml_provider.sdk.outputs import OutputFileDatasetConfig
from aml_provider.sdk.plain import plain_errors
from aml_provider.sdk.ports import InputPortBinding, OutputPortBinding, PipelineData, PipelineOutputAbstractDataset
from aml_provider.sdk.step_run import PortDataReference
from aml_provider.sdk.steps.base import PipelineStep
from aml_provider.spec.errors import PipelineError

_TYPES = ("file", "directory")


class DataTransferStep(PipelineStep):
    """Moves a file or a folder from one datastore to another; the worker does it, without a container.

    As with Azure Data Factory, what is at the destination and not at the source stays, and a file of the same name is
    replaced. Changed: a file that is there already is not moved again, and every file is compared with its source.

    :param name: shown everywhere; need not be unique.
    :param source_data_reference: a ``DataReference``, another step's output, or an ``InputPortBinding`` of one.
    :param destination_data_reference: a ``DataReference``, or ``PipelineData`` or an ``OutputFileDatasetConfig`` that
        this step then writes.
    :param compute_target: a ``DataFactoryCompute`` or any other target, or its name: its pool bounds how many transfers
        run at once.
    :param source_reference_type: ``file`` or ``directory``; default: what is there.
    :param destination_reference_type: likewise; default: what is there, else what the source is.
    :param allow_reuse: a transfer whose source has not changed, and whose destination still holds it, is not repeated.
    """

    STEP_TYPE = "DataTransferStep"

    @plain_errors
    def __init__(
        self,
        name: str,
        source_data_reference: Any = None,
        destination_data_reference: Any = None,
        compute_target: Any = None,
        source_reference_type: str | None = None,
        destination_reference_type: str | None = None,
        allow_reuse: bool = True,
    ) -> None:
        for what, given, example in (
            ("source_data_reference", source_data_reference, "a DataReference"),
            ("destination_data_reference", destination_data_reference, "a DataReference"),
            ("compute_target", compute_target, "a DataFactoryCompute or the name of a compute target"),
        ):
            if given is None:
                raise PipelineError(f"DataTransferStep {name!r}: {what} is missing; give {example}.")
        self.source_reference_type = _type(name, "source_reference_type", source_reference_type)
        self.destination_reference_type = _type(name, "destination_reference_type", destination_reference_type)
        self.compute_target = compute_target
        self.allow_reuse = allow_reuse
        source = _source(name, source_data_reference)
        self._output = _output(name, destination_data_reference, source)
        super().__init__(name, [source], [self._output])

    def get_output(self) -> Any:
        """What has been moved, as an input of later steps, which then wait for the transfer."""
        output = self._output
        return output.pipeline_data if isinstance(output, PipelineOutputAbstractDataset) else output


def _type(name: str, parameter: str, value: str | None) -> Literal["file", "directory"] | None:
    if value is None or value in _TYPES:
        return value  # type: ignore[return-value]  # the check narrows it to these words
    raise PipelineError(f"DataTransferStep {name!r}: {parameter} is {value!r}; it can be 'file' or 'directory'.")


def _source(name: str, given: Any) -> Any:
    if isinstance(given, PortDataReference):
        given = given.data_reference
    is_bound_path = isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], DataPathComputeBinding)
    kinds = (DataReference, InputPortBinding, PipelineData, OutputPortBinding, PipelineOutputAbstractDataset)
    if is_bound_path or isinstance(given, kinds) or isinstance(unwrapped(given), OutputFileDatasetConfig):
        return given
    raise PipelineError(
        f"DataTransferStep {name!r}: source_data_reference is {given!r}; give a DataReference, PipelineData or an "
        "OutputFileDatasetConfig of another step. The place of a dataset is a DataReference, too."
    )


def _output(name: str, given: Any, source: Any) -> Any:
    """The destination as an output of the step: what reads it waits for the transfer."""
    if isinstance(given, InputPortBinding):
        given = given.bind_object
    if isinstance(given, (PipelineData, OutputPortBinding, PipelineOutputAbstractDataset, OutputFileDatasetConfig)):
        return given
    if isinstance(given, PortDataReference):
        given = given.data_reference
    if not isinstance(given, DataReference):
        raise PipelineError(
            f"DataTransferStep {name!r}: destination_data_reference is {given!r}; give a DataReference, or "
            "PipelineData or an OutputFileDatasetConfig for a place of this run's own."
        )
    if getattr(given, "sql_query", None):
        raise PipelineError(
            f"DataTransferStep {name!r}: destination_data_reference is a query, and nothing can be written to one; "
            "give it a sql_table."
        )
    wanted = given.data_reference_name
    taken = getattr(source, "data_reference_name", getattr(source, "name", None))
    # A reference to a place may have any name, and one step cannot have two things of one name.
    made = PipelineData(f"{wanted}_output" if wanted == taken else wanted, datastore=given.datastore)
    made._destination = given.location[1]
    return made
