"""Finding the workspace file that a pipeline is meant for, and loading it once."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from aml_provider.spec.errors import WorkspaceFileError

from .model import WorkspaceFile
from .resolved import LoadedWorkspace, absolute

FILE_NAMES = ("workspace.yaml", "workspace.yml")
ENVIRONMENT_VARIABLE = "AML_WORKSPACE"
AIRFLOW_VARIABLE = "AIRFLOW__AML__WORKSPACE"

# (path, mtime_ns, size) -> what it held. Airflow's dag processor parses many pipelines with one workspace file.
_loaded: dict[Path, tuple[tuple[int, int], LoadedWorkspace]] = {}


def load_workspace(path: str | Path | None = None, *, beside: Path | None = None) -> LoadedWorkspace:
    """The workspace to use.

    Looked for in this order: ``path``; the environment variable ``AML_WORKSPACE``; Airflow's option ``[aml]
    workspace``; ``workspace.yaml`` or ``workspace.yml`` in the folder ``beside`` and above it; the same in the
    current directory and above. When there is none, the embedded default answers.

    :param path: a workspace file, or a folder that holds one.
    :param beside: folder of the pipeline file.
    :raises WorkspaceFileError: a file that was named does not exist, or a file cannot be used; one line for each
        thing that is wrong, with file, line and key.
    """
    found = _named(path) or _upward(beside) or _upward(Path.cwd())
    return LoadedWorkspace(WorkspaceFile(), None, Path.cwd()) if found is None else _load(found)


def _named(path: str | Path | None) -> Path | None:
    """The file somebody asked for by name, ``None`` when nobody did."""
    if path is not None:
        return _existing(path, "")
    if variable := os.environ.get(ENVIRONMENT_VARIABLE):
        return _existing(variable, f"environment variable {ENVIRONMENT_VARIABLE} names ")
    if option := _airflow_option():
        return _existing(option, "Airflow's option [aml] workspace names ")
    return None


def _airflow_option() -> str | None:
    """Airflow's ``[aml] workspace``, asked only where Airflow's configuration is loaded anyway (it costs seconds)."""
    if value := os.environ.get(AIRFLOW_VARIABLE):
        return value
    for name in ("airflow.configuration", "airflow.sdk.configuration"):
        conf = getattr(sys.modules.get(name), "conf", None)
        # A module that is only half imported has no conf yet; the next one may.
        if conf is not None and conf.has_option("aml", "workspace"):
            return str(conf.get("aml", "workspace")) or None
    return None


def _existing(path: str | Path, who: str) -> Path:
    file = absolute(path)
    if file.is_dir():
        inside = next((file / name for name in FILE_NAMES if (file / name).is_file()), None)
        if inside is None:
            raise WorkspaceFileError(f"{who}{file}, a folder without a {' or '.join(FILE_NAMES)}.")
        return inside
    if not file.exists():
        raise WorkspaceFileError(f"{who}{file}, which does not exist; create it or name another workspace file.")
    return file


def _upward(start: Path | None) -> Path | None:
    if start is None:
        return None
    start = absolute(start)
    for folder in (start, *start.parents):
        for name in FILE_NAMES:
            if (folder / name).is_file():
                return folder / name
    return None


def _load(path: Path) -> LoadedWorkspace:
    from .reading import read_workspace_file

    try:
        stat = path.stat()
    except OSError as error:
        raise WorkspaceFileError(f"{path}: cannot be read: {error.strerror}.") from error
    stamp = (stat.st_mtime_ns, stat.st_size)
    known = _loaded.get(path)
    if known is None or known[0] != stamp:
        known = (stamp, LoadedWorkspace(read_workspace_file(path), path, path.parent))
        _loaded[path] = known
    return known[1]
