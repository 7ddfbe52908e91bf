"""Datasets as a step's script has them: v1's methods over the files that the worker has put there."""

from __future__ import annotations

import os

from .exceptions import UserErrorException
from .files import regular_files
from .tables.files import File, as_files, selected
from .tables.problems import LibraryMissingError, TableError
from .tables.verbs import FileVerbs, TableVerbs, Verbs, complaining
from .unavailable import unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, NoReturn

    Facts = Mapping[str, Any]

_ADVICE = (
    "Choose an image or environment that has {0} (compute kinds docker and kubernetes use the image as it is), or read "
    "the files yourself: download() and to_path() need nothing"
)


class StepDataset(Verbs):
    """What datasets of files and tables share.

    :param name: the input's name.
    :param path: where its files are inside the step.
    :param facts: what the worker says about it: see :mod:`aml_provider.datasets.describing`.
    """

    def __init__(self, name: str, path: str, facts: Facts) -> None:
        self._input = name
        self._path = path
        self._facts = dict(facts)

    @property
    def name(self) -> str:
        """The registered name; that of the input where there is none."""
        return self._facts.get("name") or self._input

    @property
    def version(self) -> int | None:
        """The registered version."""
        version: int | None = self._facts.get("version")
        return version

    @property
    def id(self) -> str | None:
        """``name:version`` of a registered dataset."""
        return None if self.version is None else f"{self.name}:{self.version}"

    @property
    def partition_keys(self) -> list[str]:
        """The keys of its ``partition_format``."""
        from .tables.partitions import PartitionFormat

        form = self._partition_format()
        return [] if form is None else list(PartitionFormat(form).keys)

    def get_partition_key_values(self, partition_keys: list[str] | None = None) -> list[dict[str, Any]]:
        """Each combination of values of its partition keys, once."""
        from .tables.partitions import combinations

        with _complaints(self):
            return combinations(self._found(), self._partition_format(), self._is_quoted(), partition_keys)

    def as_named_input(self, name: str) -> NoReturn:
        """Not inside a step."""
        raise unavailable(f"as_named_input({name!r})", "a step's inputs are declared in the pipeline's file.")

    def register(self, workspace: Any, name: str, *more: Any, **named: Any) -> NoReturn:
        """Not inside a step."""
        raise unavailable(
            f"register(name={name!r})",
            "write to an output of the step and call register_on_complete(name) on that output in the pipeline's file.",
        )

    def _partition_format(self) -> str | None:
        form: str | None = self._facts.get("partition_format")
        return form

    def _is_quoted(self) -> bool:
        return False

    def _found(self) -> list[File]:
        """Every file that the worker has put there, in order."""
        if self._facts.get("files") is not None:
            return [File.here(os.path.join(self._path, inner), path, inner) for inner, path in self._facts["files"]]
        origin = self._facts.get("path") or ""
        if os.path.isfile(self._path):
            return [File.here(self._path, origin or os.path.basename(self._path), os.path.basename(self._path))]
        return [
            File.here(path, f"{origin}/{inner}" if origin else inner, inner)
            for inner, path in sorted((inner, path) for path, inner in regular_files(self._path))
        ]

    def _with(self, cls: Any = None, **changes: Any) -> Any:
        return (cls or type(self))(self._input, self._path, {**self._facts, **changes})

    def _then(self, operation: dict[str, Any]) -> Any:
        return self._with(operations=[*self._facts["operations"], operation])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise unavailable(
            f"{type(self).__name__}.{name}",
            "read the rows with to_pandas_dataframe() (tables) or the files with download() and to_path().",
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id or self._input!r})"


@complaining(UserErrorException)
class FileDataset(StepDataset, FileVerbs):
    """A dataset of files."""

    def to_path(self) -> list[str]:
        """The files, as paths relative to the dataset, each with a leading slash."""
        return ["/" + file.inner for file in self._files()]

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
        copies = []
        for file in self._files():
            target = os.path.join(folder, file.inner)
            if os.path.exists(target) and not overwrite:
                raise UserErrorException(f"{target} exists already: pass overwrite=True to replace it.")
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(str(file.local), target)
            copies.append(target)
        return copies

    def mount(self, mount_point: str | None = None, **kwargs: Any) -> Mount:
        """The dataset as a folder: ``with dataset.mount() as mount: mount.mount_point``."""
        if self._facts["operations"] or mount_point is not None:
            return Mount(mount_point, self)
        return Mount(self._path, None)

    def _files(self) -> list[File]:
        operations = self._facts["operations"]
        with _complaints(self):
            at = as_files(operations)
            if at is None:
                return selected(self._found(), operations, self._partition_format())
            return selected(_written(self, operations[:at], operations[at]), operations[at + 1 :])


@complaining(UserErrorException)
class TabularDataset(StepDataset, TableVerbs):
    """A table."""

    def to_pandas_dataframe(self, on_error: str = "null", out_of_range_datetime: str = "null") -> Any:
        """The rows as a pandas data frame.

        :param on_error: ``null``: a text that is no value of its column's type is missing; ``fail``: it is an error.
        :raises UserErrorException: they cannot be read, or this Python has no pandas.
        """
        from .tables.reading import frame_of

        with _complaints(self):
            return frame_of(self._found(), self._format(), self._facts["operations"], on_error, out_of_range_datetime)

    def _format(self) -> Mapping[str, Any]:
        form: Mapping[str, Any] = self._facts["tabular"]
        return form

    def _with_format(self, **changes: Any) -> TabularDataset:
        made: TabularDataset = self._with(tabular={**self._format(), **changes})
        return made

    def _try(self) -> Any:
        return self.take(1).to_pandas_dataframe()

    def _as_files(self, operation: dict[str, Any]) -> FileDataset:
        made: FileDataset = self._with(FileDataset, operations=[*self._facts["operations"], operation])
        return made

    def _found(self) -> list[File]:
        from .tables.files import matching

        return matching(super()._found(), self._format()["path_glob"])

    def _partition_format(self) -> str | None:
        form: str | None = self._format()["partition_format"]
        return form

    def _is_quoted(self) -> bool:
        return bool(self._format()["quoted"])


class Mount:
    """A dataset as a folder; it is there from :meth:`start` to :meth:`stop`.

    :param mount_point: the folder; ``None`` for a new temporary one.
    :param dataset: whose files are to be put there; ``None``: they are there.
    """

    def __init__(self, mount_point: str | None, dataset: FileDataset | None) -> None:
        self._dataset = dataset
        self._own = mount_point is None
        if mount_point is None:
            import tempfile

            mount_point = tempfile.mkdtemp()
        self.mount_point = mount_point

    def start(self) -> None:
        """Have the files there."""
        if self._dataset is not None:
            for file in self._dataset._files():
                target = os.path.join(self.mount_point, file.inner)
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.symlink(str(file.local), target)

    def stop(self) -> None:
        """Take them away."""
        if self._dataset is None:
            return
        if self._own:
            import shutil

            shutil.rmtree(self.mount_point, ignore_errors=True)
        else:
            for file in self._dataset._files():
                target = os.path.join(self.mount_point, file.inner)
                if os.path.islink(target):
                    os.unlink(target)

    def __enter__(self) -> Mount:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def _written(dataset: StepDataset, operations: Any, how: Mapping[str, Any]) -> list[File]:
    """A table's rows as files, which stay as long as the step."""
    import tempfile

    from .tables.reading import frames_of
    from .tables.writing import write_parts

    form = dataset._facts["tabular"]
    table = dataset._with(TabularDataset)
    paths = write_parts(
        frames_of(table._found(), form, operations), tempfile.mkdtemp(), how["format"], how["separator"]
    )
    return [File.here(path, os.path.basename(path), os.path.basename(path)) for path in paths]


class _complaints:
    """Around reading: what is wrong becomes a sentence that names the dataset and says what to do."""

    def __init__(self, dataset: StepDataset) -> None:
        self._dataset = dataset

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, LibraryMissingError):
            raise UserErrorException(
                f"dataset {self._dataset.name!r} (input {self._dataset._input!r}): {error}. "
                f"{_ADVICE.format(error.library)}."
            ) from None
        if isinstance(error, TableError):
            raise UserErrorException(f"dataset {self._dataset.name!r}: {error}.") from None
