"""A dataset as a folder of this machine, for a while."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from aml_provider.datasets.access import Stores
from aml_provider.datasets.reading import lay_out
from aml_provider.runtime.tables.problems import TableError
from aml_provider.spec.models import DatasetSource


class MountContext:
    """v1's mount: the files are there from :meth:`start` to :meth:`stop`.

    :param mount_point: the folder; ``None`` for a new temporary one.
    :param complaints: what turns problems into sentences.
    """

    def __init__(
        self,
        stores: Stores,
        dataset: DatasetSource,
        mount_point: str | None,
        complaints: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._stores, self._dataset, self._complaints = stores, dataset, complaints
        self._temporary = mount_point is None
        self.mount_point = tempfile.mkdtemp(prefix="mount-") if mount_point is None else str(mount_point)
        self._mounted = False

    def start(self) -> None:
        """Put the files there.

        :raises UserErrorException: the folder is not empty, or the files cannot be had.
        """
        if self._mounted:
            return
        folder = Path(self.mount_point)
        with self._complaints():
            if folder.exists() and any(folder.iterdir()):
                raise TableError(f"it cannot be mounted at {self.mount_point}, which is not empty")
            self._mounted = True
            lay_out(self._stores, self._dataset, folder, link=True)

    def stop(self) -> None:
        """Take the files away, and the folder if it was made for them. What they are links to stays."""
        if not self._mounted:
            return
        self._mounted = False
        folder = Path(self.mount_point)
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        if self._temporary:
            folder.rmdir()

    def __enter__(self) -> MountContext:
        self.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.stop()
