"""One file of this machine copied to another: by the kernel where it can, and compared as it goes."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
from collections.abc import Callable, Iterator

from .errors import ChangedError, CorruptError

# What one thread copies before it looks for more.
_STEP = 8 << 20
# Copied and compared at once: two of these fit into the cache that a processor has for itself.
_PIECE = 256 << 10
# Linux's request to share blocks.
_FICLONE = 0x40049409
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
    if _shared(source, target):
        moved(size)
        return
    ranges = _Ranges(source, size)
    helpers = [threading.Thread(target=_share, args=(ranges, source, target, moved, verify), daemon=True)]
    helpers = helpers if verify else []
    for helper in helpers:
        helper.start()
    _share(ranges, source, target, moved, verify)
    for helper in helpers:
        helper.join()
    ranges.tell()
    if ranges.end < size:
        os.ftruncate(target, size)


class _Ranges:
    """What is to be copied, a range at a time; threads share it. The first exception ends it."""

    def __init__(self, source: int, size: int) -> None:
        self._waiting = (
            (at, min(at + _STEP, end)) for start, end in _data(source, size) for at in range(start, end, _STEP)
        )
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self.end = 0

    def next(self) -> tuple[int, int] | None:
        with self._lock:
            found = None if self._error is not None else next(self._waiting, None)
            if found is not None:
                self.end = found[1]
            return found

    def fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error

    def tell(self) -> None:
        if self._error is not None:
            raise self._error


def _share(ranges: _Ranges, source: int, target: int, moved: Callable[[int], None], verify: bool) -> None:
    """Copy ranges as long as there are some.

    What is compared is compared in small pieces, right after they were written: they are still in the processor's
    cache then. While one thread writes, which a file system lets only one do, another one reads and compares.
    """
    try:
        piece, there = bytearray(_PIECE if verify else 0), bytearray(_PIECE if verify else 0)
        while (found := ranges.next()) is not None:
            at, end = found
            while at < end:
                if verify:
                    at += _checked(source, target, at, min(_PIECE, end - at), piece, there)
                else:
                    at += _copy(source, target, at, end - at)
            moved(end - found[0])
    except BaseException as error:  # noqa: BLE001 - raised in the thread that waits for the others
        ranges.fail(error)


def _checked(source: int, target: int, at: int, count: int, one: bytearray, other: bytearray) -> int:
    """Copy a piece, and compare what has arrived; the two arrays only save asking for memory again and again."""
    count = os.preadv(source, [memoryview(one)[:count]], at)
    if not count:
        raise ChangedError("it was changed while it was read")
    done = 0
    while done < count:
        done += os.pwrite(target, memoryview(one)[done:count], at + done)
    done = 0
    while done < count and (more := os.preadv(target, [memoryview(other)[done:count]], at + done)):
        done += more
    same = one == other if count == len(one) else one[:count] == other[:count]
    if done < count or not same:
        raise CorruptError("what was written is not what was read")
    return count


def _shared(source: int, target: int) -> bool:
    """Have the file system let both files have the same blocks, if it can."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


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


def same_content(one: int, other: int, size: int) -> bool:
    """Whether two open files of this size hold the same."""
    for at in range(0, size, _PIECE):
        stop = min(at + _PIECE, size)
        if read_at(one, at, stop) != read_at(other, at, stop):
            return False
    return True
