"""``Dataset``: the way to v1's datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aml_provider.sdk.abstract_dataset import AbstractDataset
from aml_provider.sdk.file_dataset import FileDataset
from aml_provider.sdk.tabular_dataset import TabularDataset
from aml_provider.spec.errors import NotSupportedError

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace

__all__ = ["AbstractDataset", "Dataset", "FileDataset", "TabularDataset"]


class Dataset(AbstractDataset):
    """The way to datasets: ``Dataset.File``, ``Dataset.Tabular``, ``Dataset.get_by_name``.

    v1's methods of the years before ``File`` and ``Tabular`` do not exist.
    """

    def __init__(self, definition: Any, workspace: Any = None, name: str | None = None, id: str | None = None) -> None:
        raise NotSupportedError("Dataset(...) cannot be made directly; use Dataset.File.from_files(...).")

    @staticmethod
    def get(workspace: Workspace, name: str | None = None, id: str | None = None) -> Any:
        """A registered dataset by name or id."""
        if name is not None:
            return AbstractDataset.get_by_name(workspace, name)
        return AbstractDataset.get_by_id(workspace, id or "")

    @staticmethod
    def list(workspace: Workspace) -> Any:
        """The newest version of every registered dataset."""
        return [*AbstractDataset.get_all(workspace).values()]
