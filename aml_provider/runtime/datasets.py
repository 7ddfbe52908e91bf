"""``run.input_datasets``, ``run.output_datasets``, ``Dataset``: a script's inputs and outputs by name."""

from __future__ import annotations

from .job import Port
from .unavailable import placeholder, unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, NoReturn

    _Paths = dict[str, Any]
else:
    _Paths = dict


class _Named(_Paths):
    """A dict whose missing keys are answered with the names there are."""

    kind = ""

    def __missing__(self, name: str) -> NoReturn:
        known = ", ".join(sorted(self)) or "none"
        raise KeyError(f"The step has no {self.kind} dataset named {name!r}. It has: {known}.")


class InputDatasets(_Named):
    """Name -> path of the files (mount, download), or the dataset itself (direct)."""

    kind = "input"

    def __init__(self, workspace: Any = None) -> None:
        super().__init__()


class OutputDatasets(_Named):
    """Name -> path to write to."""

    kind = "output"

    def __init__(self, workspace: Any = None) -> None:
        super().__init__()


class Dataset:
    """``azureml.core.Dataset`` inside a step: the step's own inputs, by the names of the datasets that they are."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        raise unavailable("Dataset(...)", "Run.get_context().input_datasets[name] has the step's datasets.")

    @staticmethod
    def get_by_name(workspace: Any, name: str, version: Any = "latest", **kwargs: Any) -> Any:
        """The input of this step that is this registered dataset, or has this name.

        :raises NotAvailableInStepError: the step has none. What it reads is to be declared, or it would be reused
            although that has changed.
        """
        known = _known()
        found = [d for d in known if name in (d._facts.get("name"), d._input)]
        if version not in ("latest", None):
            found = [d for d in found if str(d.version) == str(version)]
        if not found:
            have = ", ".join(sorted({d.id or d._input for d in known})) or "none"
            said = name if version in ("latest", None) else f"{name} version {version}"
            raise unavailable(
                f"Dataset.get_by_name(ws, {name!r})",
                f"the step has no input that is dataset {said}; its datasets: {have}. In the pipeline's file, add "
                f"Dataset.get_by_name(ws, {name!r}).as_named_input({name!r}) to the step's inputs.",
            )
        return found[0]

    @staticmethod
    def get_by_id(workspace: Any, id: str, **kwargs: Any) -> Any:
        """The input of this step that is this registered version (``name:version``)."""
        name, _, version = id.rpartition(":")
        return Dataset.get_by_name(workspace, name or id, version if name else "latest")

    @staticmethod
    def get_all(workspace: Any) -> dict[str, Any]:
        """The datasets among the inputs of this step, by name."""
        return {dataset.name: dataset for dataset in _known()}

    File = placeholder("FileDatasetFactory", "azureml.data.dataset_factory")
    Tabular = placeholder("TabularDatasetFactory", "azureml.data.dataset_factory")


def _known() -> list[Any]:
    """The datasets among this step's inputs, whatever their mode."""
    from .run import Run

    job = Run.get_context()._job
    return [dataset_of(port) for port in job.inputs if port.dataset] if job is not None else []


def dataset_of(port: Port) -> Any:
    """An input as a dataset object."""
    from .step_datasets import FileDataset, TabularDataset

    facts = port.dataset or {"type": "file", "operations": [], "files": None, "path": ""}
    return (TabularDataset if facts["type"] == "tabular" else FileDataset)(port.name, port.path, facts)


def input_datasets(ports: Iterable[Port]) -> InputDatasets:
    """What ``run.input_datasets`` holds: the inputs that are datasets."""
    datasets = InputDatasets()
    for port in ports:
        if port.is_dataset:
            datasets[port.name] = dataset_of(port) if port.mode == "direct" else port.path
    return datasets


def output_datasets(ports: Iterable[Port]) -> OutputDatasets:
    """What ``run.output_datasets`` holds: every output."""
    datasets = OutputDatasets()
    for port in ports:
        datasets[port.name] = port.path
    return datasets
