"""One file of this machine copied to another: by the kernel where it can, and compared as it goes."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from .errors import ChangedError, CorruptError

Bytes = bytes | bytearray | memoryview
# What is copied from one report to the next.
_STEP = 8 << 20
# What is written at once, and compared while it is in the processor's cache. Linux looks for memory in one piece for
# what is written at once: where memory is in fragments, twice as much takes three times as long.
_PIECE = 128 << 10
# Linux's request to share blocks.
_FICLONE = 0x40049409
_CANNOT = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM}


def copy_content(source: int, target: int, size: int, moved: Callable[[int], None], *, verify: bool) -> None:
    """Copy ``size`` bytes between two open files; ``target`` is empty.

    Where both are on one file system that can share blocks (btrfs, xfs), nothing is copied at all. Holes stay holes.

    :param moved: told how many more bytes have been copied.
    :param verify: compare what has arrived with the source.
    :raises ChangedError: the source has become shorter.
    :raises CorruptError: they differ.
    """
    if _shared(source, target):
        moved(size)
        return
    ranges = _Ranges(source, size)
    # While one thread writes, which a file system lets only one do, another one reads and compares.
    helpers = [threading.Thread(target=_share, args=(ranges, source, target, moved, verify), daemon=True)]
    helpers = helpers if verify else []
    for helper in helpers:
        helper.start()
    _share(ranges, source, target, moved, verify)
    for helper in helpers:
        helper.join()
    ranges.tell()
    os.ftruncate(target, size)


class _Ranges:
    """What is to be copied, a range at a time; threads share it. The first exception ends it."""

    def __init__(self, source: int, size: int) -> None:
        self._waiting = (
            (at, min(at + _STEP, end)) for start, end in _data(source, size) for at in range(start, end, _STEP)
        )
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def next(self, target: int) -> tuple[int, int] | None:
        """The next range, up to whose end the target is long by then."""
        with self._lock:
            found = None if self._error is not None else next(self._waiting, None)
            if found is not None:
                os.ftruncate(target, found[1])
            return found

    def fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error

    def tell(self) -> None:
        if self._error is not None:
            raise self._error


def _share(ranges: _Ranges, source: int, target: int, moved: Callable[[int], None], verify: bool) -> None:
    """Copy ranges as long as there are some."""
    try:
        array = bytearray(_PIECE if verify else 0)
        while (found := ranges.next(target)) is not None:
            at, end = found
            if verify:
                _copy_checked(source, target, at, end, array)
            while at < end and not verify:
                at += _copy(source, target, at, end - at)
            moved(end - found[0])
    except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for the others
        ranges.fail(error)


def write_at(target: int, at: int, data: Bytes, *, verify: bool) -> None:
    """Write to a place in an open file.

    :param verify: compare what has arrived with ``data``.
    :raises CorruptError: they differ.
    """
    if len(data) <= _PIECE:
        _write_piece(target, at, data, verify)
        return
    view = memoryview(data)
    for start in range(0, len(view), _PIECE):
        _write_piece(target, at + start, view[start : start + _PIECE], verify)


def _write_piece(target: int, at: int, data: Bytes, verify: bool) -> None:
    done = os.pwrite(target, data, at)
    while done < len(data):
        done += os.pwrite(target, memoryview(data)[done:], at + done)
    # Bytes, since views are compared very slowly.
    if verify and read_at(target, at, at + len(data)) != bytes(data):
        raise CorruptError("what was written is not what was sent")


def _copy_checked(source: int, target: int, start: int, end: int, array: bytearray) -> None:
    """Copy a range, and compare what has arrived piece by piece, while it is in the processor's cache."""
    first = start - start % mmap.ALLOCATIONGRANULARITY
    seen: mmap.mmap | None = None
    # Some file systems cannot be mapped.
    with suppress(OSError, ValueError):
        # What is compared in its place need not be copied once more. Who truncates a file that is mapped kills this
        # process; of this one, nobody else knows.
        seen = mmap.mmap(target, end - first, mmap.MAP_SHARED, mmap.PROT_READ, offset=first)
    at, same = start, True
    try:
        while at < end and same:
            count = os.preadv(source, [memoryview(array)[: end - at]], at)
            if not count:
                raise ChangedError("it was changed while it was read")
            write_at(target, at, memoryview(array)[:count], verify=seen is None)
            if seen is not None:
                with memoryview(seen) as view, view[at - first : at - first + count] as there:
                    same = (array if count == len(array) else array[:count]) == there
            at += count
    finally:
        if seen is not None:
            seen.close()
    if not same:
        raise CorruptError("what was written is not what was read")


def _shared(source: int, target: int) -> bool:
    """Have the file system let both files have the same blocks, if it can."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


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
    """Copy up to ``count`` bytes, at least one, and look at nothing of it."""
    for way in (_by_range, _by_hand):
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


def _by_hand(source: int, target: int, at: int, count: int) -> int:
    data = os.pread(source, min(count, _PIECE), at)
    write_at(target, at, data, verify=False)
    return len(data)


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


def same_content(one: int, other: int, size: int) -> bool:
    """Whether two open files of this size hold the same."""
    for at in range(0, size, _PIECE):
        stop = min(at + _PIECE, size)
        if read_at(one, at, stop) != read_at(other, at, stop):
            return False
    return True
