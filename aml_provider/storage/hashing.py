"""BLAKE3 of single files, read so that neither a change nor a truncation during the reading does harm."""

from __future__ import annotations

import os
import stat
import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from blake3 import blake3

from aml_provider.spec.errors import PipelineError

# Files are read, not mapped: a mapped file that somebody truncates kills the process (SIGBUS). In pieces of 8 MiB,
# reading and hashing 1 GiB takes 0.15 s where a map takes 0.12 s.
_PIECE = 8 << 20
# Below this, starting threads takes longer than they save.
_THREADED_FROM = 4 << 20
_MOST_THREADS = 8
_TRIES = 4
_POOL_FROM = 64
# Files that are smaller on the average are read faster by one thread: several hand the interpreter to and fro.
_POOL_FROM_MEAN_BYTES = 64 << 10
_BATCH = 32
_STAMP = struct.Struct("<QQqqq")
STAMP_BYTES = _STAMP.size


# A tuple, since a plan makes one for every file of its inputs.
class FileStamp(NamedTuple):
    """What the file system says about a file without reading it. Times in nanoseconds since the epoch."""

    dev: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStamp:
        """The stamp in what a stat call gave."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def packed(self) -> bytes:
        """The same as :data:`STAMP_BYTES` bytes."""
        return _STAMP.pack(*self)


@dataclass(frozen=True)
class Hashed:
    """A file that was read.

    :param stamp: the file's, the same before and after the reading.
    :param started_ns: this machine's clock before the reading began.
    """

    digest: str
    stamp: FileStamp
    started_ns: int


def hash_files(paths: Sequence[bytes], total_bytes: int) -> Iterator[Hashed]:
    """Read many files, side by side where that is faster; in the order of ``paths``.

    :param total_bytes: how big they are together, about.
    """
    if len(paths) < _POOL_FROM or total_bytes < len(paths) * _POOL_FROM_MEAN_BYTES:
        yield from map(hash_file, paths)
        return
    batches = [paths[i : i + _BATCH] for i in range(0, len(paths), _BATCH)]
    # A pool of its own each time: one that is kept would be without its threads in a forked process.
    pool = ThreadPoolExecutor(min(_MOST_THREADS, processors()), thread_name_prefix="aml-digest")
    try:
        for results in pool.map(_hash_batch, batches):
            yield from results
    finally:
        pool.shutdown(cancel_futures=True)


def _hash_batch(paths: Sequence[bytes]) -> list[Hashed]:
    return [hash_file(path) for path in paths]


def hash_file(path: bytes) -> Hashed:
    """Read one file.

    :raises FileNotFoundError: there is none.
    :raises PipelineError: it is no regular file, cannot be read, or goes on changing while it is read.
    """
    for _ in range(_TRIES):
        started = time.time_ns()
        descriptor = _open(path)
        try:
            status = os.fstat(descriptor)
            check_regular(path, status)
            before = FileStamp.of(status)
            digest, size = _read(descriptor, before.size)
            after = FileStamp.of(os.fstat(descriptor))
        except OSError as error:
            raise unreadable(path, error) from error
        finally:
            os.close(descriptor)
        if before == after and size == before.size:
            return Hashed(digest, before, started)
    raise PipelineError(
        f"file {shown(path)} changes while it is read; wait until whatever writes it has ended, and try again."
    )


def check_regular(path: bytes, status: os.stat_result) -> None:
    """Refuse what has no content that could be read twice.

    :raises PipelineError: it is a folder, pipe, socket or device.
    """
    if stat.S_ISREG(status.st_mode):
        return
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    kind = kinds.get(stat.S_IFMT(status.st_mode), "something unknown")
    raise PipelineError(f"{shown(path)} is {kind}, where only files can be data; remove it or move it elsewhere.")


def unreadable(path: bytes, error: OSError) -> PipelineError:
    """The sentence for a place that cannot be read."""
    reason = error.strerror or str(error)
    return PipelineError(f"{shown(path)} cannot be read: {reason}; make it readable for this process, or remove it.")


def shown(path: bytes) -> str:
    """A path for a message: odd characters are visible, and printing it cannot fail."""
    return repr(path.decode("utf-8", "backslashreplace"))


def _open(path: bytes) -> int:
    try:
        # Without O_NONBLOCK, opening a pipe that took a file's place would wait for its writer.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(*error.args, os.fsdecode(path)) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _read(descriptor: int, expected: int) -> tuple[str, int]:
    """Digest and size of what can be read; of a file that has grown, no more than shows that it has."""
    size = 0
    if expected < _THREADED_FROM:
        hasher = blake3(max_threads=1)
        while size <= expected and (piece := os.read(descriptor, expected + 1 - size)):
            hasher.update(piece)
            size += len(piece)
        return hasher.hexdigest(), size
    # Never blake3.AUTO: its threads are the whole process's, and in a process forked after their first use (as
    # Airflow forks its tasks) it waits for them forever. A number gives this one hasher threads of its own.
    hasher = blake3(max_threads=min(_MOST_THREADS, processors()))
    buffer = memoryview(bytearray(_PIECE))
    while size <= expected and (count := os.readv(descriptor, [buffer])):
        hasher.update(buffer[:count])
        size += count
    return hasher.hexdigest(), size


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
