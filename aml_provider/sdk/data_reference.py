"""v1 ``DataReference``: one place in a datastore, as a step reads it."""

from __future__ import annotations

from typing import Any

from aml_provider.sdk.datapath import DataPath, DataPathComputeBinding, check_mode
from aml_provider.sdk.identity import clean_path, default_reference_name
from aml_provider.spec.errors import PipelineError
from aml_provider.spec.names import check_data_name


class DataReference:
    """A place in a datastore. ``str()`` gives ``$AZUREML_DATAREFERENCE_<name>``.

    Changed: a reference without a name is named after its place; v1 named it by chance.

    :param datastore: a datastore object.
    :param mode: ``mount``, ``download`` or ``upload``.
    """

    def __init__(
        self,
        datastore: Any,
        data_reference_name: str | None = None,
        path_on_datastore: str | None = None,
        mode: str = "mount",
        path_on_compute: str | None = None,
        overwrite: bool = False,
    ) -> None:
        if datastore is None or isinstance(datastore, str):
            raise PipelineError(
                f"DataReference: datastore is {datastore!r}; give a datastore object, for example Datastore(ws, name)."
            )
        self.datastore = datastore
        #: Whether the name only repeats the place.
        self.name_is_generated = data_reference_name is None
        if data_reference_name is None:
            data_reference_name = default_reference_name(datastore.name, path_on_datastore)
        self.data_reference_name = check_data_name(data_reference_name, "A DataReference")
        self.path_on_datastore = path_on_datastore
        self.mode = check_mode(mode, f"DataReference {data_reference_name!r}")
        self.path_on_compute = path_on_compute
        self.overwrite = bool(overwrite)

    @property
    def location(self) -> tuple[str, str]:
        """``(datastore name, clean path)``."""
        return self.datastore.name, clean_path(self.path_on_datastore)

    def path(self, path: str | None = None, data_reference_name: str | None = None) -> DataReference:
        """A reference to a path below this one."""
        base, below = clean_path(self.path_on_datastore).rstrip("/"), clean_path(path)
        joined = "/".join(p for p in (base, below) if p)
        return DataReference(
            self.datastore, data_reference_name, joined or None, self.mode, self.path_on_compute, self.overwrite
        )

    def _in_mode(self, mode: str, path_on_compute: str | None, overwrite: bool) -> DataReference:
        made = DataReference(
            self.datastore, self.data_reference_name, self.path_on_datastore, mode, path_on_compute, overwrite
        )
        made.name_is_generated = self.name_is_generated
        return made

    def as_download(self, path_on_compute: str | None = None, overwrite: bool = False) -> DataReference:
        """The same place, copied to the compute before the step."""
        return self._in_mode("download", path_on_compute, overwrite)

    def as_upload(self, path_on_compute: str | None = None, overwrite: bool = False) -> DataReference:
        """The same place, written when the step has ended."""
        return self._in_mode("upload", path_on_compute, overwrite)

    def as_mount(self) -> DataReference:
        """The same place, mounted on the compute."""
        return self._in_mode("mount", None, False)

    def to_config(self) -> Any:
        """The run configuration's form."""
        from aml_provider.sdk.runconfig import DataReferenceConfiguration

        return DataReferenceConfiguration(
            self.datastore.name, self.mode, self.path_on_datastore, self.path_on_compute, self.overwrite
        )

    @staticmethod
    def create(
        data_reference_name: str | None = None,
        datapath: DataPath | None = None,
        datapath_compute_binding: DataPathComputeBinding | None = None,
    ) -> DataReference:
        """A reference to a :class:`DataPath`."""
        if datapath is None:
            raise PipelineError("DataReference.create: datapath is missing.")
        binding = datapath_compute_binding or DataPathComputeBinding()
        return DataReference(
            datapath._datastore,
            data_reference_name or datapath._name,
            datapath.path_on_datastore,
            binding._mode,
            binding._path_on_compute,
            binding._overwrite,
        )

    def __str__(self) -> str:
        return f"$AZUREML_DATAREFERENCE_{self.data_reference_name}"

    def __repr__(self) -> str:
        return str(self)
