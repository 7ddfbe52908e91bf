"""What can go wrong with a transfer, in sentences."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from aml_provider.spec.errors import AmlError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHOWN = 3


class TransferError(AmlError):
    """A transfer that did not come to its end. What had arrived whole is kept, and is not moved again.

    :ivar again: whether the same may work a little later.
    """

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


class ChangedError(TransferError):
    """A file that was changed while it was read."""

    def __init__(self, message: str) -> None:
        super().__init__(message, again=True)


class CorruptError(TransferError):
    """What arrived is not what left."""

    def __init__(self, message: str) -> None:
        super().__init__(message, again=True)


def of_disk(error: OSError, place: str, doing: str) -> TransferError:
    """The sentence for what an operating system refuses.

    :param place: the datastore, :param doing: what was done, after "while".
    """
    name = error.filename2 or error.filename
    path = f" ({os.fsdecode(name)})" if name and not isinstance(name, int) else ""
    if error.errno in _FULL:
        return TransferError(
            f"{place} is full while {doing}{path}; make room there and try again, what has arrived is kept.", again=True
        )
    if error.errno == errno.ENAMETOOLONG:
        return TransferError(f"{place}: a name is too long while {doing}{path}; shorten it.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return TransferError(f"{place} forbids {doing}{path}: {error.strerror}; have this process allowed to.")
    if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
        return TransferError(
            f"{place}: {error.strerror} while {doing}{path}; a file and a folder cannot have one name: "
            "rename or remove one."
        )
    reason = error.strerror or str(error)
    return TransferError(f"{place}: {reason} while {doing}{path}; see to it and try again.", again=True)


def listed(names: Sequence[str]) -> str:
    """The first of many names, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
