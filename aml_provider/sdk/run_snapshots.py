"""Snapshots of code that are kept with a run."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from pathlib import Path

from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.run_reporting import Reporting

_FOLDER = "snapshots"


class RunSnapshots(Reporting):
    """v1's snapshot methods; mixed into ``Run``."""

    def take_snapshot(self, file_or_folder_path: str) -> str:
        """Keep a file, or the files of a folder, with the run as a zip file.

        :raises UserErrorException: there is no such file or folder.
        :return: the snapshot's id.
        """
        path = Path(file_or_folder_path)
        if not path.exists():
            raise UserErrorException(f"run.take_snapshot: {file_or_folder_path} does not exist.")
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
                # A fixed time: the same files are the same snapshot.
                name = file.name if file == path else file.relative_to(path).as_posix()
                archive.writestr(zipfile.ZipInfo(name), file.read_bytes(), zipfile.ZIP_DEFLATED)
        identity = hashlib.sha256(content.getvalue()).hexdigest()[:32]
        name = f"{_FOLDER}/{identity}.zip"
        if name not in self.get_file_names():
            content.seek(0)
            self.upload_file(name, content)
        self.add_properties({"ContentSnapshotId": identity})
        return identity

    def get_snapshot_id(self) -> str | None:
        """The id of the snapshot of the run's code, ``None`` when it has none."""
        return self.get_properties().get("ContentSnapshotId")

    def restore_snapshot(self, snapshot_id: str | None = None, path: str | None = None) -> str:
        """Write a snapshot to a zip file.

        :param snapshot_id: default: the newest of the run.
        :param path: the folder, or the file's path if it ends in ``.zip``; default: the current directory.
        :raises UserErrorException: the run has no such snapshot.
        :return: the zip file's path.
        """
        wanted = snapshot_id or self.get_snapshot_id()
        target = Path(path or ".")
        if target.suffix != ".zip":
            target = target / f"{wanted or self.id}.zip"
        kept = None if wanted is None else self._store.find(f"{_FOLDER}/{wanted}.zip")
        if kept is None:
            raise UserErrorException(
                f"run.restore_snapshot: no snapshot{f' {snapshot_id!r}' if snapshot_id else ''} was taken of run "
                f"{self.id}. The code of a step is among the artifacts of its run in MLflow."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept, target)
        return str(target)
