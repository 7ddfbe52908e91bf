"""v1 ``DataPath`` and ``DataPathComputeBinding``: a place in a datastore, and how a step gets at it."""

from __future__ import annotations

from typing import Any

from aml_provider.sdk.identity import clean_path
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.models import DataMode

_MODES = tuple(mode.value for mode in DataMode)


def check_mode(mode: str, what: str) -> str:
    """``mode`` in lower case if it is one of the data modes.

    :raises PipelineError: it is not.
    """
    text = str(getattr(mode, "value", mode)).lower()
    if text not in _MODES:
        raise PipelineError(f"{what}: mode is {mode!r}, but must be one of {', '.join(_MODES)}.")
    return text


class DataPath:
    """A place in a datastore, the value of a data parameter.

    :param datastore: a datastore object.
    :param path_on_datastore: relative to the datastore's root.
    """

    def __init__(self, datastore: Any = None, path_on_datastore: str | None = None, name: str | None = None) -> None:
        if datastore is None:
            raise PipelineError(
                "DataPath: datastore is missing; give a datastore object, for example Datastore(ws, name)."
            )
        self._datastore = datastore
        self._path_on_datastore = path_on_datastore
        self._name = name

    @property
    def datastore_name(self) -> str:
        """Name of the datastore."""
        return self._datastore if isinstance(self._datastore, str) else str(self._datastore.name)

    @property
    def path_on_datastore(self) -> str | None:
        """The path, as the author wrote it."""
        return self._path_on_datastore

    @property
    def location(self) -> tuple[str, str]:
        """``(datastore name, clean path)``."""
        return self.datastore_name, clean_path(self._path_on_datastore)

    def create_data_reference(
        self, data_reference_name: str | None = None, datapath_compute_binding: Any = None
    ) -> Any:
        """A reference to this place."""
        from aml_provider.sdk.data_reference import DataReference

        return DataReference.create(data_reference_name, self, datapath_compute_binding)

    @staticmethod
    def create_from_data_reference(data_reference: Any) -> DataPath:
        """The place that a reference refers to."""
        return DataPath(data_reference.datastore, data_reference.path_on_datastore, data_reference.data_reference_name)

    def __repr__(self) -> str:
        return f"DataPath({self.datastore_name!r}, {self._path_on_datastore!r})"


class DataPathComputeBinding:
    """How a step gets at a :class:`DataPath`.

    :param mode: ``mount``, ``download`` or ``upload``.
    """

    def __init__(self, mode: str = "mount", path_on_compute: str | None = None, overwrite: bool = False) -> None:
        self._mode = check_mode(mode, "DataPathComputeBinding")
        self._path_on_compute = path_on_compute
        self._overwrite = overwrite

    def create_data_reference(self, data_reference_name: str | None = None, datapath: Any = None) -> Any:
        """A reference to ``datapath`` in this way."""
        from aml_provider.sdk.data_reference import DataReference

        return DataReference.create(data_reference_name, datapath, self)

    @staticmethod
    def create_from_data_reference(data_reference: Any) -> DataPathComputeBinding:
        """The way in which a reference is used."""
        return DataPathComputeBinding(data_reference.mode, data_reference.path_on_compute, data_reference.overwrite)
