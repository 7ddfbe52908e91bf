"""Copies of files that a reader never sees half written, and walks that no link or pipe can hang."""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator


def regular_files(folder: str) -> Iterator[tuple[str, str]]:
    """All regular files below ``folder`` as (path, path relative to folder), links followed, each folder once.

    Pipes, sockets and devices are passed over: reading them could block for ever.
    """
    seen: set[tuple[int, int]] = set()
    pending = [(folder, "")]
    while pending:
        path, relative = pending.pop()
        try:
            facts = os.stat(path)
        except OSError:
            continue  # removed meanwhile
        if (facts.st_dev, facts.st_ino) in seen:
            continue
        seen.add((facts.st_dev, facts.st_ino))
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                inner = f"{relative}/{entry.name}" if relative else entry.name
                # Of a link that leads to itself, an entry cannot be asked.
                if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
                    pending.append((entry.path, inner))
                elif os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file():
                    yield entry.path, inner


def make_folder(path: str) -> None:
    """Create a folder in the attempt's folder that every user may use: the worker may have another user id."""
    before = os.umask(0)
    try:
        os.makedirs(path, 0o777, exist_ok=True)
    finally:
        os.umask(before)


def place(source: str, target: str, scratch: str, link: bool = False) -> None:
    """Make ``target`` a copy of ``source``, complete from the moment it is visible, readable by all.

    :param scratch: a folder on the target's file system for the unfinished copy.
    :param link: whether a hard link will do where the file system has them (the source will not change any more).
    """
    make_folder(os.path.dirname(target))
    if link:
        try:
            os.link(os.path.realpath(source), target)
            open_to_all(target)
            return
        except OSError:
            pass  # another file system, one without links, or a file of another user: copy
    import shutil  # 8 ms that most steps do not need to spend

    make_folder(scratch)
    partial = os.path.join(scratch, f"{os.getpid()}-{os.urandom(6).hex()}")
    try:
        shutil.copyfile(source, partial)
        open_to_all(partial)
        os.replace(partial, target)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise


def open_to_all(path: str) -> None:
    """Let every user read the file; the owner's other rights stay."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o444 != 0o444:
        os.chmod(path, mode | 0o444)


def write_atomically(path: str, data: bytes) -> None:
    """Write a file so that it is there with all of its content, on the disk, or not at all."""
    partial = f"{path}.{os.getpid()}.tmp"
    before = os.umask(0)
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    finally:
        os.umask(before)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            sync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(partial, path)
    except BaseException:
        if os.path.exists(partial):
            os.unlink(partial)
        raise
    sync_path(os.path.dirname(path))


def sync(descriptor: int) -> None:
    """Bring a file to the disk, where its file system can."""
    import errno

    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # a file system that has no fsync
            raise


def sync_path(path: str) -> None:
    """Bring a file or a folder's list of names to the disk; nothing to do when it does not exist."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
