"""A pipeline on its way to another process: the spec, the place it was written, and the workspace, as one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aml_provider.runs.layout import read_json, write_json
from aml_provider.spec.models import PipelineSpec
from aml_provider.workspace.model import WorkspaceFile
from aml_provider.workspace.resolved import LoadedWorkspace

NAME = "request.json"


@dataclass(frozen=True)
class Request:
    """What the other process needs to build the DAG.

    :param folder: the pipeline file's folder.
    """

    dag_id: str
    spec: PipelineSpec
    folder: Path
    workspace: LoadedWorkspace

    def write(self, run_folder: Path) -> None:
        """Leave the request in ``run_folder``."""
        workspace = self.workspace
        write_json(
            run_folder / NAME,
            {
                "dag_id": self.dag_id,
                "spec": self.spec.model_dump(mode="json"),
                "folder": str(self.folder),
                # Unset values stay unset: whether a key was written decides how settings merge.
                "workspace": workspace.file.model_dump(mode="json", exclude_unset=True),
                "workspace_path": str(workspace.path) if workspace.path else None,
                "workspace_folder": str(workspace.folder),
                "workspace_state": str(workspace.state),
            },
        )

    @classmethod
    def read(cls, run_folder: Path) -> Request:
        """The request in ``run_folder``.

        :raises FileNotFoundError: there is none.
        """
        value = read_json(run_folder / NAME)
        if value is None:
            raise FileNotFoundError(run_folder / NAME)
        path = value["workspace_path"]
        file = WorkspaceFile.model_validate({**value["workspace"], "state": value["workspace_state"]})
        workspace = LoadedWorkspace(
            file=file, path=Path(path) if path else None, folder=Path(value["workspace_folder"])
        )
        return cls(value["dag_id"], PipelineSpec.model_validate(value["spec"]), Path(value["folder"]), workspace)
