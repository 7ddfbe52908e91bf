"""The files of a dataset, and which of them its operations leave."""

from __future__ import annotations

import os
from datetime import datetime

from .chance import is_in, number
from .partitions import PartitionFormat
from .problems import TableError
from .scalars import evaluate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable, Mapping, Sequence

    from .expressions import Node


class File:
    """One file.

    :param path: where it is in its datastore.
    :param inner: its name in the dataset, below the folder that the dataset is.
    :param open: gives its bytes, as a file that is read from the beginning.
    :param size: in bytes, :param modified: seconds since the epoch; ``None`` where nobody knows.
    :param local: the same file on this machine, where there is one.
    :param datastore: the datastore's name; inside a step nobody needs it.
    """

    __slots__ = ("datastore", "inner", "local", "modified", "open", "path", "size")

    def __init__(
        self,
        path: str,
        inner: str,
        open: Callable[[], Any],
        size: int | None = None,
        modified: float | None = None,
        local: str | None = None,
        datastore: str = "",
    ) -> None:
        self.datastore = datastore
        self.path = path
        self.inner = inner
        self.open = open
        self.size = size
        self.modified = modified
        self.local = local

    @classmethod
    def here(cls, local: str, path: str, inner: str, datastore: str = "") -> File:
        """A file of this machine."""
        facts = os.stat(local)
        return cls(path, inner, lambda: open(local, "rb"), facts.st_size, facts.st_mtime, local, datastore)

    def facts(self) -> dict[str, Any]:
        """What ``file_metadata`` finds."""
        # A path has no time zone: as everywhere in datasets, times are UTC without saying so.
        moment = None if self.modified is None else _utc(self.modified)
        extension = self.path.rpartition("/")[2].rpartition(".")
        return {"Size": self.size, "LastModifiedTime": moment, "Extension": extension[2] if extension[0] else ""}


def _utc(seconds: float) -> datetime:
    from datetime import timezone

    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None)


def selected(
    files: Sequence[File], operations: Iterable[Mapping[str, Any]], partition_format: str | None = None
) -> list[File]:
    """The files that operations on a list of files leave.

    :raises TableError: an operation is for tables, or an expression cannot be evaluated.
    """
    form = None if partition_format is None else PartitionFormat(partition_format)
    left = list(files)
    for operation in operations:
        op = operation["op"]
        if op == "skip":
            left = left[operation["count"] :]
        elif op == "take":
            left = left[: operation["count"]]
        elif op in ("sample", "split"):
            left = [f for i, f in enumerate(left) if is_in(dict(operation), number(op, operation["seed"], i))]
        elif op == "filter":
            left = [f for f in left if holds(operation["where"], f, form)]
        else:
            raise TableError(f"{op} is for tables, not for files")
    return left


def holds(where: Node, file: File, form: PartitionFormat | None, values: Mapping[str, Any] | None = None) -> bool:
    """Whether a condition on a file is true.

    :param values: the values of its partition keys, where they are known.
    """
    if values is None:
        values = {} if form is None else form.values(file.path)
    return evaluate(where, values, file.facts()) is True


def as_files(operations: Sequence[Mapping[str, Any]]) -> int | None:
    """Where operations on a table turn it into files; ``None``: they do not."""
    return next((i for i, operation in enumerate(operations) if operation["op"] == "to_files"), None)


def matching(files: list[File], glob: str | None) -> list[File]:
    """The files whose names in the dataset match a pattern; all of them without one."""
    if not glob:
        return files
    from .partitions import glob_pattern

    pattern = glob_pattern(glob)
    return [file for file in files if pattern.fullmatch(file.inner)]
