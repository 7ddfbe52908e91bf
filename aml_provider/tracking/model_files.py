"""The files of models: into MLflow's artifacts, and back."""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aml_provider.spec.errors import AmlError

from . import model_tags, names
from .client import patient

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

#: The experiment of the runs that hold the files of models which no run of ours has made.
EXPERIMENT = "registered-models"
_PAGE = 1000
# MLflow takes them for parts of URLs: a file with one in its name comes back under another name, or never.
_LOST_IN_NAMES = frozenset("#%?")


class ModelFileNameError(AmlError):
    """A file that MLflow could not give back."""


class ModelPlaceError(AmlError):
    """A model cannot be put where it is to be downloaded to."""


@contextmanager
def holder(client: MlflowClient, experiment_id: str, name: str) -> Iterator[Run]:
    """An MLflow run for the files of one version; when the block fails, it is removed.

    :param name: the model's.
    """
    from mlflow.exceptions import MlflowException

    run = client.create_run(experiment_id, tags={model_tags.NAME: name}, run_name=name)
    try:
        yield run
        client.set_terminated(run.info.run_id)
    except BaseException:
        # What went wrong counts; if MLflow is gone, the run cannot be removed either.
        with suppress(MlflowException, OSError):
            client.delete_run(run.info.run_id)
        raise


def check_names(files: Mapping[str, Path]) -> None:
    """Look whether MLflow can hold files of these names.

    :raises ModelFileNameError: it cannot.
    """
    wrong = [path for path in files if _LOST_IN_NAMES & set(path)]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelFileNameError(
            f"MLflow cannot keep files with #, % or ? in their names: {', '.join(map(repr, wrong[:3]))}{more}; "
            "rename them, or put them into an archive."
        )


def upload(client: MlflowClient, run_id: str, files: Mapping[str, Path]) -> None:
    """Put files among a run's artifacts, but for those that are there with the same size.

    :param files: path among the artifacts -> file.
    """
    there: dict[str, dict[str, int]] = {}
    for path, file in files.items():
        folder, name = posixpath.split(path)
        if folder not in there:
            items = client.list_artifacts(run_id, folder or None)
            there[folder] = {posixpath.basename(item.path): int(item.file_size or 0) for item in items}
        if there[folder].get(name) != file.stat().st_size:
            with patient():
                client.log_artifact(run_id, str(file), folder or None)


def has(client: MlflowClient, run_id: str, path: str) -> bool:
    """Whether a run has this file or folder."""
    items = client.list_artifacts(run_id, posixpath.dirname(path) or None)
    return any(item.path == path for item in items)


def run_of(client: MlflowClient, pipeline_run_id: str, step_run_id: str | None) -> Run | None:
    """The MLflow run of a pipeline run, or of the latest attempt at a step."""
    experiments: list[str] = []
    token: str | None = None
    while True:
        page = client.search_experiments(max_results=_PAGE, page_token=token)
        experiments += [experiment.experiment_id for experiment in page]
        token = page.token
        if not token:
            break
    wanted = f"tags.`aml.pipeline_run_id` = {names.quoted(pipeline_run_id)}"
    if step_run_id is not None:
        wanted += f" and tags.`aml.step_run_id` = {names.quoted(step_run_id)}"
    found = [
        run
        for run in client.search_runs(experiments, wanted, max_results=_PAGE)
        if step_run_id is not None or "aml.task_id" not in run.data.tags
    ]
    return max(found, key=lambda run: int(run.data.tags.get("aml.attempt") or 0), default=None)


def download(client: MlflowClient, tracking_uri: str, version: ModelVersion, folder: Path, replace: bool) -> Path:
    """Copy a version's file or folder into a folder, as a whole or not at all.

    :param replace: whether files that are there may be replaced; other files stay.
    :raises ModelPlaceError: something is there, or nothing can be written there.
    :return: the file or folder.
    """
    path = version.tags.get(model_tags.PATH)
    target = folder / posixpath.basename(path or version.name)
    if not replace and (target.exists() or target.is_symlink()):
        raise ModelPlaceError(f"{target} exists; pass exist_ok=True to replace it, or another target_dir.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder, prefix=".model-")
    except OSError as error:
        raise ModelPlaceError(f"The model cannot be written to {folder}: {error.strerror}.") from error
    with scratch as place:
        got = _fetch(client, tracking_uri, version, path, os.path.join(place, "files"))
        if target.exists() and target.is_dir() != got.is_dir():
            kinds = ("a file", "a folder")
            raise ModelPlaceError(
                f"{target} is {kinds[target.is_dir()]} and the model {kinds[got.is_dir()]}; pass another target_dir."
            )
        try:
            _place(got, target)
        except OSError as error:
            raise ModelPlaceError(f"The model cannot be written to {target}: {error.strerror}.") from error
    return target


def _fetch(client: MlflowClient, tracking_uri: str, version: ModelVersion, path: str | None, folder: str) -> Path:
    os.mkdir(folder)
    with patient():
        if path is not None and version.run_id:
            return Path(client.download_artifacts(version.run_id, path, folder))
        from mlflow.artifacts import download_artifacts

        uri = client.get_model_version_download_uri(version.name, str(version.version))
        return Path(download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=tracking_uri))


def _place(source: Path, target: Path) -> None:
    if not source.is_dir() or not target.is_dir():
        os.replace(source, target)
        return
    for inner in source.rglob("*"):
        place = target / inner.relative_to(source)
        if inner.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        else:
            os.replace(inner, place)
