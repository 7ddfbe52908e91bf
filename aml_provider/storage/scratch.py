"""Folders for what is only needed for a while, which go also when their process was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# What is younger may be of a process that has not yet said that it is its own.
_YOUNG_SECONDS = 60.0


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """An empty folder in ``TMPDIR``, which is gone afterwards.

    Those that processes on this machine left when they were killed are removed first.

    :param prefix: what all folders for this purpose are called in the beginning.
    """
    _remove_left(prefix)
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        owned = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # The lock goes with its process, whatever ends that. Some file systems know none: nobody looks there.
            with suppress(OSError):
                fcntl.flock(owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Path(name)
        finally:
            os.close(owned)


def _remove_left(prefix: str) -> None:
    with suppress(OSError):
        for entry in os.scandir(tempfile.gettempdir()):
            if entry.name.startswith(prefix):
                # Another one may be quicker, and others' folders are theirs.
                with suppress(OSError):
                    _remove_if_left(entry.path)


def _remove_if_left(path: str) -> None:
    found = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(found)
        if status.st_uid != os.geteuid() or time.time() - status.st_mtime < _YOUNG_SECONDS:
            return
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path)
    finally:
        os.close(found)
