"""What goes wrong when a dataset is described or read."""

from __future__ import annotations


class TableError(Exception):
    """A dataset that cannot be read as it is described; the message ends a sentence that names the dataset."""


class LibraryMissingError(TableError):
    """This Python has no pandas, or no pyarrow.

    :param library: the one that is missing.
    """

    def __init__(self, library: str, what: str) -> None:
        super().__init__(f"{what} needs {library}, which this Python does not have")
        self.library = library
