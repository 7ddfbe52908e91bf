"""Files and models of ``Run``: upload, download, register."""

from __future__ import annotations

import contextlib
import os
import re

from .exceptions import ModelPathNotFoundException, UserErrorException
from .files import regular_files
from .run_base import RunBase
from .store import artifact_name
from .unavailable import unavailable
from .values import as_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence


class StepModel:
    """A model that this run registers. It gets its version when the step succeeds, so here ``version`` is ``None``."""

    def __init__(self, name: str, path: str, tags: dict[str, Any], properties: dict[str, Any]) -> None:
        self.name = name
        self.id = name
        self.version: int | None = None
        self.path = path
        self.tags = tags
        self.properties = properties

    def __repr__(self) -> str:
        return f"Model(name={self.name!r}, path={self.path!r})"


class RunFiles(RunBase):
    """The files of a run are ``artifacts/`` in the attempt's folder; a name can be used once."""

    def upload_file(self, name: str, path_or_stream: Any, datastore_name: str | None = None) -> None:
        """Store a file, or the content of a binary stream, with the run under ``name``.

        :raises UserErrorException: when there is no such file, or the run already has one of this name.
        """
        _no_datastore(datastore_name, "upload_file")
        self._upload(artifact_name(name, "run.upload_file"), path_or_stream)

    def upload_files(
        self,
        names: Sequence[str],
        paths: Sequence[str],
        return_artifacts: bool = False,
        timeout_seconds: int | None = None,
        datastore_name: str | None = None,
    ) -> None:
        """Store several files; ``names`` and ``paths`` belong together by position."""
        _no_datastore(datastore_name, "upload_files")
        names, paths = list(names), list(paths)
        if len(names) != len(paths):
            raise UserErrorException(f"run.upload_files: {len(names)} names for {len(paths)} paths.")
        for name, path in zip(names, paths):
            self._upload(artifact_name(name, "run.upload_files"), path)

    def upload_folder(self, name: str, path: str, datastore_name: str | None = None) -> None:
        """Store all files of a folder below ``name``."""
        _no_datastore(datastore_name, "upload_folder")
        if not os.path.isdir(path):
            raise UserErrorException(f"run.upload_folder: {path} is not a folder.")
        prefix = artifact_name(name, "run.upload_folder")
        for file, relative in regular_files(os.fspath(path)):
            self._upload(f"{prefix}/{relative}", file)

    def get_file_names(self) -> list[str]:
        """Names of the run's files so far, those in ``./outputs`` and ``./logs`` among them."""
        return self._store.names()

    def download_file(self, name: str, output_file_path: str | None = None, _validate_checksum: bool = False) -> None:
        """Copy a file of this run.

        :param output_file_path: a file or an existing folder; by default the file's own name in the current directory.
        :raises UserErrorException: when the run has no such file.
        """
        source = self._store.find(artifact_name(name, "run.download_file"))
        if source is None or not os.path.isfile(source):
            raise UserErrorException(f'The run has no file "{name}". It has: {_listed(self._store.names())}.')
        target = output_file_path or os.path.basename(name)
        if os.path.isdir(target) or target.endswith("/"):
            target = os.path.join(target, os.path.basename(name))
        _copy(source, target)

    def download_files(
        self,
        prefix: str | None = None,
        output_directory: str | None = None,
        output_paths: Sequence[str] | None = None,
        batch_size: int = 100,
        append_prefix: bool = True,
        timeout_seconds: int | None = None,
    ) -> None:
        """Copy the files whose names begin with ``prefix``.

        :param output_paths: one path for each file, instead of a folder.
        :param append_prefix: whether the copies' paths keep the prefix.
        """
        names = [name for name in self._store.names() if name.startswith(prefix or "")]
        if output_paths is not None and len(output_paths) != len(names):
            raise UserErrorException(
                f"run.download_files: {len(output_paths)} output_paths for {len(names)} files: {_listed(names)}."
            )
        for index, name in enumerate(names):
            kept = name if append_prefix or not prefix else name[len(prefix) :].lstrip("/") or os.path.basename(name)
            target = os.path.join(output_directory or ".", kept) if output_paths is None else output_paths[index]
            source = self._store.find(name)
            if source is not None:
                _copy(source, target)

    def register_model(
        self,
        model_name: str,
        model_path: str | None = None,
        tags: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
        model_framework: Any = None,
        model_framework_version: str | None = None,
        description: str | None = None,
        datasets: Any = None,
        sample_input_dataset: Any = None,
        sample_output_dataset: Any = None,
        resource_configuration: Any = None,
        **kwargs: Any,
    ) -> StepModel:
        """Have a file or folder of this run registered as a model when the step succeeds.

        :param model_path: its name among the run's files (``outputs/model.pkl``); by default ``model_name``.
        :raises ModelPathNotFoundException: when the run has no such file or folder.
        :raises UserErrorException: when the name is none for a model.
        """
        _check_model(model_name, model_framework, model_framework_version, resource_configuration)
        path = artifact_name(model_path or model_name, "run.register_model")
        found = self._store.find(path)
        if found is None:
            raise ModelPathNotFoundException(
                f'The model "{model_name}" cannot be registered: the run has no file or folder "{path}". Write it to '
                f"./outputs or upload it first. The run has: {_listed(self._store.names())}."
            )
        _check_file_names(path, found)
        model = StepModel(model_name, path, as_texts(tags), as_texts(properties))
        self._record(
            {
                "type": "model",
                "name": model_name,
                "path": path,
                "tags": model.tags,
                "properties": model.properties,
                "description": description,
                "framework": None if model_framework is None else str(model_framework),
                "framework_version": None if model_framework_version is None else str(model_framework_version),
                "datasets": [[str(purpose), found] for purpose, d in datasets or () for found in _dataset_id(d)],
                "sample_input": next(iter(_dataset_id(sample_input_dataset)), None),
                "sample_output": next(iter(_dataset_id(sample_output_dataset)), None),
            }
        )
        return model

    def _upload(self, name: str, source: Any) -> None:
        if not hasattr(source, "read") and not os.path.isfile(source):
            raise UserErrorException(f'The file "{name}" cannot be stored with the run: {source} does not exist.')
        self._store.put(name, source)
        self._record({"type": "artifact", "name": name, "path": name})


def _check_model(name: Any, framework: Any, framework_version: Any, resource_configuration: Any) -> None:
    # Azure ML's rule for names of models.
    if not isinstance(name, str) or not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9\-._]{0,254}", name):
        raise UserErrorException(
            f"run.register_model: the model's name is {name!r}, but must consist of letters, digits, dashes, periods "
            "and underscores, begin with a letter or a digit, and have 255 characters at most."
        )
    if framework is None and framework_version is not None:
        raise UserErrorException("run.register_model: model_framework_version is given without model_framework.")
    if resource_configuration is not None:
        raise unavailable("run.register_model(resource_configuration=...)", "leave it out: nothing deploys the model.")


def _check_file_names(path: str, found: str) -> None:
    inner = [name for _, name in regular_files(found)] if os.path.isdir(found) else []
    wrong = [name for name in [path, *inner] if set(name) & set("#%?")]
    if wrong:
        raise UserErrorException(
            f"run.register_model: MLflow cannot give back files with #, % or ? in their names: {_listed(wrong)}; "
            "rename them, or put them into an archive."
        )


def _dataset_id(dataset: Any) -> list[str]:
    """The id of a registered dataset; of others none is kept, which is said."""
    if dataset is None:
        return []
    found = getattr(dataset, "id", None)
    if found is None:
        import warnings

        said = f"run.register_model: {dataset!r} is no registered dataset, so the model does not name it."
        warnings.warn(said, stacklevel=3)
    return [] if found is None else [str(found)]


def _copy(source: str, target: str) -> None:
    import shutil

    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    with contextlib.suppress(shutil.SameFileError):  # asked for under the path where it already is
        shutil.copyfile(source, target)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "") if names else "no files"


def _no_datastore(name: str | None, call: str) -> None:
    if name is not None:
        raise unavailable(
            f'run.{call}(datastore_name="{name}")', "declare an output of the step on that datastore, and write there."
        )
