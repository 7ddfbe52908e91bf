"""The files that a step's script left in ``./outputs`` and ``./logs`` or uploaded, seen from outside."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from aml_provider.sdk.backend import RunBackend
from aml_provider.sdk.exceptions import UserErrorException


class StepFiles:
    """v1's file methods of a step run; mixed into ``StepRun``."""

    _backend: RunBackend
    _key: str

    def _folder(self) -> Path:
        folder = self._backend.files(self._key)
        if folder is None:
            raise UserErrorException(
                f"The files of step {self._key!r} are not visible from here; look at the run's artifacts in MLflow."
            )
        return folder

    def get_file_names(self) -> list[str]:
        """Names like ``outputs/model.pkl``, sorted; empty while the step has not ended."""
        folder = self._folder()
        return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())

    def download_file(self, name: str, output_file_path: str | None = None) -> None:
        """Copy a file.

        :param name: as ``get_file_names`` gives it.
        :param output_file_path: a path, or a folder (ending in a slash or existing); default: the current directory.
        :raises UserErrorException: there is no such file.
        """
        if name not in self.get_file_names():
            raise UserErrorException(
                f"Step {self._key!r} has no file {name!r}; it has {', '.join(self.get_file_names()) or 'none'}."
            )
        target = Path(output_file_path or os.path.basename(name))
        if output_file_path is not None and (output_file_path.endswith(("/", os.sep)) or target.is_dir()):
            target = target / os.path.basename(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._folder() / name, target)

    def download_files(
        self,
        prefix: str | None = None,
        output_directory: str | None = None,
        output_paths: list[str] | None = None,
        batch_size: int = 100,
        append_prefix: bool = True,
        timeout_seconds: Any = None,
    ) -> None:
        """Copy all files whose names start with ``prefix``.

        :param output_directory: where to; default: the current directory.
        :param output_paths: a path for each file instead.
        :param append_prefix: keep the prefix in the copies' paths.
        :param batch_size: without effect; ``timeout_seconds`` likewise.
        """
        names = [n for n in self.get_file_names() if n.startswith(prefix or "")]
        if output_paths is not None and len(output_paths) != len(names):
            raise UserErrorException(
                f"download_files: {len(output_paths)} output_paths for {len(names)} files: {names}."
            )
        for number, name in enumerate(names):
            kept = name if append_prefix or not prefix else name[len(prefix) :].lstrip("/")
            self.download_file(
                name, output_paths[number] if output_paths else os.path.join(output_directory or ".", kept)
            )
