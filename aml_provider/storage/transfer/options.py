"""What a transfer is asked to do, and what it has done."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Overwrite(str, Enum):
    """What happens to a file that is at the destination already.

    ``always``: it is replaced. ``different``: it is replaced unless it is identical. ``never``: it stays.
    ``fail``: nothing is moved when there is one that is not identical.

    A table that is there is replaced by a whole new one (``always``, ``different``, or ``replace``), stays (``never``,
    or ``skip``), or gets the rows besides its own (``append``). With ``fail``, nothing is moved when there is one.
    """

    ALWAYS = "always"
    DIFFERENT = "different"
    NEVER = "never"
    FAIL = "fail"
    APPEND = "append"

    @classmethod
    def _missing_(cls, value: object) -> Overwrite | None:
        """The words that people use of tables."""
        return {"replace": cls.ALWAYS, "skip": cls.NEVER}.get(str(value))


class Verify(str, Enum):
    """How it is made sure that what arrived is what left.

    ``checksum``: by the destination's own checksum, or by reading back where it has none. ``size``: by the size only.
    """

    CHECKSUM = "checksum"
    SIZE = "size"


class PlaceType(str, Enum):
    """What a path stands for; v1's words."""

    FILE = "file"
    DIRECTORY = "directory"


@dataclass(frozen=True)
class Options:
    """How a transfer is done.

    :param include: patterns as in ``.gitignore`` of the files that are moved; empty for all.
    :param exclude: patterns as in ``.gitignore`` of files and folders that are not.
    :param mirror: files at the destination that the source does not have are removed, after all else has arrived.
    :param workers: how many files, or parts of big files, are moved at once.
    :param memory: bytes of files' contents that are in memory at once, but for one part of a file at least. A client
        library may hold each of them two or three times.
    :param source_type: what the source must be; default: what is there.
    :param destination_type: what the destination's path stands for; default: what is there, else what the source is.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    overwrite: Overwrite = Overwrite.DIFFERENT
    verify: Verify = Verify.CHECKSUM
    mirror: bool = False
    workers: int = 8
    memory: int = 32 << 20
    source_type: PlaceType | None = None
    destination_type: PlaceType | None = None


@dataclass
class Summary:
    """What a transfer has done.

    :param files: moved by this transfer; ``bytes`` of theirs together, and ``resumed_bytes`` the part of these that an
        earlier, interrupted transfer had moved already.
    :param skipped: files that were there already, and ``skipped_bytes`` of theirs.
    :param folders: empty folders that were made.
    :param removed: files that only the destination had, and that ``mirror`` removed.
    :param rows: of a table or a query.
    """

    source: str = ""
    destination: str = ""
    files: int = 0
    bytes: int = 0
    skipped: int = 0
    skipped_bytes: int = 0
    resumed_bytes: int = 0
    folders: int = 0
    removed: int = 0
    rows: int | None = None
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON, for an XCom."""
        found = asdict(self)
        if self.rows is None:
            del found["rows"]
        return found
