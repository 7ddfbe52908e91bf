"""v1's enumerations about reading files as tables, and ``DataType``."""

from __future__ import annotations

from enum import Enum
from typing import Any


class PromoteHeadersBehavior(Enum):
    """Which files of a delimited dataset have a line of column names."""

    NO_HEADERS = 0
    ONLY_FIRST_FILE_HAS_HEADERS = 1
    COMBINE_ALL_FILES_HEADERS = 2
    ALL_FILES_HAVE_SAME_HEADERS = 3


class DataType:
    """A column's type; made by the static methods."""

    def __init__(self) -> None:
        self.kind = "string"
        self.options: dict[str, Any] = {}

    @classmethod
    def _of(cls, kind: str, **options: Any) -> DataType:
        made = cls()
        made.kind, made.options = kind, options
        return made

    @staticmethod
    def to_string() -> DataType:
        """Text."""
        return DataType._of("string")

    @staticmethod
    def to_long() -> DataType:
        """A whole number."""
        return DataType._of("long")

    @staticmethod
    def to_float(decimal_mark: str = ".") -> DataType:
        """A number."""
        return DataType._of("float", decimal_mark=decimal_mark)

    @staticmethod
    def to_bool() -> DataType:
        """True or false."""
        return DataType._of("bool")

    @staticmethod
    def to_stream(workspace: Any, escaped: bool = False) -> DataType:
        """A file's path."""
        return DataType._of("stream", escaped=escaped)

    @staticmethod
    def to_datetime(formats: Any = None) -> DataType:
        """A point in time."""
        return DataType._of("datetime", formats=formats)
