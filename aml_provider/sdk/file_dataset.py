"""v1 ``FileDataset``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from aml_provider.datasets.verbs import FileVerbs, TableError, complaining
from aml_provider.sdk.abstract_dataset import AbstractDataset
from aml_provider.sdk.consumption import DatasetConsumptionConfig
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import is_program


@complaining(UserErrorException)
class FileDataset(AbstractDataset, FileVerbs):
    """Files in datastores."""

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "as_cache": "there is no cache service; data in object stores is kept on each machine that has read it",
        "hydrate": "there is no cache service; data in object stores is kept on each machine that has read it",
    }

    def to_path(self) -> list[str]:
        """The files' paths in the dataset, each with a leading slash; empty while the file is parsed.

        As in v1, what all of them have in common by the way the dataset was written is left out: those of
        ``data/2024-*/*.csv`` are ``/2024-01/a.csv``.
        """
        if not is_program():
            return []
        from aml_provider.datasets.selection import is_written

        if is_written(self.source):
            with self.mount() as mount:
                return sorted("/" + path.name for path in Path(mount.mount_point).iterdir())
        self._say_what_changed()
        return ["/" + file.inner for file in self._found()]

    def download(
        self, target_path: str | None = None, overwrite: bool = False, ignore_not_found: bool = False
    ) -> list[str]:
        """Copy the files below ``target_path`` (default: a new temporary folder); nothing while the file is parsed.

        :param ignore_not_found: no files are no error.
        :return: the copies' paths.
        :raises UserErrorException: a target exists and ``overwrite`` is false, or there are no files.
        """
        if not is_program():
            return []
        from aml_provider.datasets.reading import downloaded

        if target_path is None:
            import tempfile

            target_path = tempfile.mkdtemp(prefix="dataset-")
        self._say_what_changed()
        with self._complaints():
            copies = downloaded(self._stores(), self.source, Path(target_path), overwrite)
            if not copies and not ignore_not_found:
                raise TableError("there are no files to download")
        return [str(path) for path in copies]

    def mount(self, mount_point: str | None = None, **kwargs: Any) -> Any:
        """The dataset as a folder of this machine: ``with dataset.mount() as mount: mount.mount_point``.

        The folder has links to files of this machine, and copies of others. Do not write to it.

        :param mount_point: the folder, which must be empty; default: a new temporary one.
        """
        if not is_program():
            from aml_provider.sdk.null import NULL

            return NULL
        from aml_provider.datasets.mounting import MountContext

        self._say_what_changed()
        return MountContext(self._stores(), self.source, mount_point, self._complaints)

    def as_mount(self, path_on_compute: str | None = None) -> DatasetConsumptionConfig:
        """The dataset as an input without a name of its own, mounted on the compute."""
        return DatasetConsumptionConfig(None, self, "mount", path_on_compute)

    def as_download(self, path_on_compute: str | None = None) -> DatasetConsumptionConfig:
        """The dataset as an input without a name of its own, copied to the compute before the step."""
        return DatasetConsumptionConfig(None, self, "download", path_on_compute)

    def as_hdfs(self) -> DatasetConsumptionConfig:
        """The dataset as an input of a Spark step."""
        return DatasetConsumptionConfig(None, self, "hdfs")
