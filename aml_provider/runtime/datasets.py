"""``run.input_datasets`` and ``run.output_datasets``: paths by name."""

from __future__ import annotations

import os

from .exceptions import UserErrorException
from .files import regular_files
from .job import Port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable, NoReturn

    _Paths = dict[str, Any]
else:
    _Paths = dict


class _Named(_Paths):
    """A dict whose missing keys are answered with the names there are."""

    kind = ""

    def __missing__(self, name: str) -> NoReturn:
        known = ", ".join(sorted(self)) or "none"
        raise KeyError(f"The step has no {self.kind} dataset named {name!r}. It has: {known}.")


class InputDatasets(_Named):
    """Name -> path of the files (mount, download), or a :class:`DirectDataset` (direct)."""

    kind = "input"

    def __init__(self, workspace: Any = None) -> None:
        super().__init__()


class OutputDatasets(_Named):
    """Name -> path to write to."""

    kind = "output"

    def __init__(self, workspace: Any = None) -> None:
        super().__init__()


class DirectDataset:
    """A file dataset consumed in direct mode: the script itself asks for its files.

    :param path: where the files are inside the step.
    """

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self._path = path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"The dataset {self.name!r} has no {name!r} inside a step. Consume it with as_mount() or as_download() and "
            f"read the files at its path (for a table: pandas.read_csv or pandas.read_parquet)."
        )

    def to_path(self) -> list[str]:
        """The files, as paths relative to the dataset, each with a leading slash."""
        if os.path.isfile(self._path):
            return ["/" + os.path.basename(self._path)]
        return sorted("/" + relative for _, relative in regular_files(self._path))

    def download(
        self, target_path: str | None = None, overwrite: bool = False, ignore_not_found: bool = False
    ) -> list[str]:
        """Copy the files to a folder.

        :param target_path: the folder; a new temporary one when ``None``.
        :return: the paths of the copies.
        :raises UserErrorException: when a file is there already and ``overwrite`` is false.
        """
        import shutil
        import tempfile

        folder = tempfile.mkdtemp() if target_path is None else target_path
        single = os.path.isfile(self._path)
        root = os.path.dirname(self._path) if single else self._path
        copies = []
        for relative in self.to_path():
            target = os.path.join(folder, relative.lstrip("/"))
            if os.path.exists(target) and not overwrite:
                raise UserErrorException(f"{target} exists already: pass overwrite=True to replace it.")
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(os.path.join(root, relative.lstrip("/")), target)
            copies.append(target)
        return copies

    def mount(self, mount_point: str | None = None, **kwargs: Any) -> _Mount:
        """The dataset as a folder: ``with dataset.mount() as mount: mount.mount_point``. It is mounted already."""
        return _Mount(self._path)

    def __str__(self) -> str:
        return self._path


class _Mount:
    def __init__(self, path: str) -> None:
        self.mount_point = path

    def start(self) -> None:
        """Nothing to start: the worker mounted the data."""

    def stop(self) -> None:
        """Nothing to stop: the mount ends with the step."""

    def __enter__(self) -> _Mount:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def input_datasets(ports: Iterable[Port]) -> InputDatasets:
    """What ``run.input_datasets`` holds: the inputs that are datasets."""
    datasets = InputDatasets()
    for port in ports:
        if port.is_dataset:
            datasets[port.name] = DirectDataset(port.name, port.path) if port.mode == "direct" else port.path
    return datasets


def output_datasets(ports: Iterable[Port]) -> OutputDatasets:
    """What ``run.output_datasets`` holds: every output."""
    datasets = OutputDatasets()
    for port in ports:
        datasets[port.name] = port.path
    return datasets
