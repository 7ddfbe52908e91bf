"""One file of this machine copied to another: by the kernel where it can, and compared as it goes."""

from __future__ import annotations

import errno
import mmap
import os
import queue
import threading
from collections.abc import Callable, Iterator

from .errors import ChangedError, CorruptError

# The kernel copies this much at a time; what it has copied is compared meanwhile, while it is still in memory.
_STEP = 32 << 20
# Read for comparing: two of these fit into a processor's cache.
_PIECE = 512 << 10
# A smaller file is not worth a thread.
_THREADED_FROM = 4 << 20
_CANNOT = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM}


def copy_content(source: int, target: int, size: int, moved: Callable[[int], None], *, verify: bool) -> None:
    """Copy ``size`` bytes between two open files; ``target`` is empty.

    Where both are on one file system that can share blocks (btrfs, xfs), nothing is copied at all. Holes stay holes.

    :param moved: told how many more bytes have been copied.
    :param verify: compare what has arrived with the source.
    :raises ChangedError: the source has become shorter.
    :raises CorruptError: they differ.
    """
    if size < _THREADED_FROM:
        _copy_small(source, target, size, verify)
        moved(size)
        return
    checker = _Checker(source, target) if verify else None
    try:
        end = 0
        for start, end in _data(source, size):
            at = start
            while at < end:
                count = _copy(source, target, at, min(_STEP, end - at))
                if checker is not None:
                    checker.check(at, at + count)
                moved(count)
                at += count
        if end < size:
            os.ftruncate(target, size)
    finally:
        if checker is not None:
            checker.close()
    if checker is not None:
        checker.tell()


def _copy_small(source: int, target: int, size: int, verify: bool) -> None:
    data = os.read(source, size + 1)
    while len(data) < size and (more := os.read(source, size - len(data))):
        data += more
    if len(data) != size:
        raise ChangedError("it was changed while it was read")
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
    if verify and read_at(target, 0, size) != data:
        raise CorruptError("what was written is not what was read")


def _data(source: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are not holes."""
    if os.fstat(source).st_blocks * 512 >= size:
        yield 0, size
        return
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            yield at, size
            return
        at = min(os.lseek(source, start, os.SEEK_HOLE), size)
        yield start, at


def _copy(source: int, target: int, at: int, count: int) -> int:
    """Copy up to ``count`` bytes, at least one."""
    for way in (_by_range, _by_sendfile, _by_hand):
        try:
            done = way(source, target, at, count)
        except OSError as error:
            if error.errno not in _CANNOT or way is _by_hand:
                raise
            continue
        if done:
            return done
        # Some file systems that the kernel makes up answer 0 to all but a plain read.
    raise ChangedError("it was changed while it was read")


def _by_range(source: int, target: int, at: int, count: int) -> int:
    if not hasattr(os, "copy_file_range"):
        raise OSError(errno.ENOSYS, "no copy_file_range")
    return os.copy_file_range(source, target, count, at, at)


def _by_sendfile(source: int, target: int, at: int, count: int) -> int:
    os.lseek(target, at, os.SEEK_SET)
    return os.sendfile(target, source, at, count)


def _by_hand(source: int, target: int, at: int, count: int) -> int:
    data = os.pread(source, min(count, _PIECE), at)
    done = 0
    while done < len(data):
        done += os.pwrite(target, data[done:], at + done)
    return done


def read_at(descriptor: int, start: int, end: int) -> bytes:
    """The bytes of an open file from one place to another; fewer when it ends before."""
    data = os.pread(descriptor, end - start, start)
    while len(data) < end - start and (more := os.pread(descriptor, end - start - len(data), start + len(data))):
        data += more
    return data


def read_apart(descriptor: int, start: int, end: int) -> memoryview:
    """The same in memory of its own, which the system has back when nobody needs it any more.

    What many threads allocate and free as usual stays with the process, for each of them.
    """
    view = memoryview(mmap.mmap(-1, end - start))
    at = 0
    while at < len(view) and (count := os.preadv(descriptor, [view[at:]], start + at)):
        at += count
    return view[:at]


def holds(descriptor: int, start: int, data: bytes | bytearray | memoryview) -> bool:
    """Whether an open file has this content at a place."""
    view = memoryview(data)
    for at in range(0, len(view), _PIECE):
        piece = bytes(view[at : at + _PIECE])
        if read_at(descriptor, start + at, start + at + len(piece)) != piece:
            return False
    return True


class _Checker:
    """A thread that compares what has been copied."""

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        self._ranges: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="aml-compare", daemon=True)
        self._thread.start()

    def check(self, start: int, end: int) -> None:
        self._ranges.put((start, end))

    def close(self) -> None:
        self._ranges.put(None)
        self._thread.join()

    def tell(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (found := self._ranges.get()) is not None:
            if self._error is None:
                try:
                    self._compare(*found)
                except Exception as error:  # noqa: BLE001 - raised in the thread that copies
                    self._error = error

    def _compare(self, start: int, end: int) -> None:
        for at in range(start, end, _PIECE):
            stop = min(at + _PIECE, end)
            if read_at(self._source, at, stop) != read_at(self._target, at, stop):
                raise CorruptError("what was written is not what was read")


def same_content(one: int, other: int, size: int) -> bool:
    """Whether two open files of this size hold the same."""
    for at in range(0, size, _PIECE):
        stop = min(at + _PIECE, size)
        if read_at(one, at, stop) != read_at(other, at, stop):
            return False
    return True
