"""v1 ``DatasetConsumptionConfig``: a dataset under the name by which a step reads it."""

from __future__ import annotations

import copy
from typing import Any

from aml_provider.sdk.datapath import check_mode
from aml_provider.spec.names import check_data_name

DIRECT_MODE = "direct"
MOUNT_MODE = "mount"


class DatasetConsumptionConfig:
    """How a step reads a dataset.

    :param name: name of the input and of the environment variable; ``None`` lets the builder name it by its place.
    :param dataset: a dataset, a ``PipelineParameter`` whose default is one, or a step's output dataset.
    :param mode: ``direct`` (the script gets a dataset), ``mount`` or ``download`` (a path), ``hdfs``.
    """

    def __init__(
        self, name: str | None, dataset: Any, mode: str = DIRECT_MODE, path_on_compute: str | None = None
    ) -> None:
        self._name = None if name is None else check_data_name(name, "A dataset input")
        self.dataset = dataset
        self.mode = check_mode(mode, f"Dataset input {name!r}")
        self.path_on_compute = path_on_compute

    @property
    def name(self) -> Any:
        """The input's name."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        self._name = check_data_name(name, "A dataset input")

    def _in_mode(self, mode: str, path_on_compute: str | None) -> DatasetConsumptionConfig:
        other = copy.copy(self)
        other.mode, other.path_on_compute = mode, path_on_compute
        return other

    def as_download(self, path_on_compute: str | None = None) -> DatasetConsumptionConfig:
        """The same dataset, copied to the compute before the step."""
        return self._in_mode("download", path_on_compute)

    def as_mount(self, path_on_compute: str | None = None) -> DatasetConsumptionConfig:
        """The same dataset, mounted on the compute."""
        return self._in_mode("mount", path_on_compute)

    def as_direct(self) -> DatasetConsumptionConfig:
        """The same dataset, given to the script as a dataset object."""
        return self._in_mode("direct", None)

    def as_hdfs(self) -> DatasetConsumptionConfig:
        """The same dataset, for Spark steps."""
        return self._in_mode("hdfs", None)

    def __repr__(self) -> str:
        return f"DatasetConsumptionConfig({self._name!r}, {self.dataset!r}, mode={self.mode!r})"


def unwrapped(data: Any) -> Any:
    """The data itself, without what says how it is read."""
    while True:
        if isinstance(data, DatasetConsumptionConfig):
            data = data.dataset
        elif hasattr(data, "bind_object"):
            data = data.bind_object
        else:
            return data
