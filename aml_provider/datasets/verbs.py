"""What datasets of the SDK are made of; importing this is cheap."""

from __future__ import annotations

from aml_provider.runtime.tables.partitions import PartitionFormat, combinations, quoted
from aml_provider.runtime.tables.problems import LibraryMissingError, TableError
from aml_provider.runtime.tables.verbs import FileVerbs, TableVerbs, Verbs, complaining

__all__ = [
    "FileVerbs",
    "LibraryMissingError",
    "PartitionFormat",
    "TableError",
    "TableVerbs",
    "Verbs",
    "combinations",
    "complaining",
    "quoted",
]
