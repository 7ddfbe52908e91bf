"""Moving one file: what is there already, by the store itself, in one piece, in parts, or as a stream."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aml_provider.storage.faults import DatastoreError, Reason

from .big import BigMove
from .checksums import Checksum, computed, md5, of_parts
from .compare import is_same
from .crew import Budget, Crew
from .ends import Bytes, End, Entry, Landing, Part
from .errors import ChangedError, CorruptError, TransferError, of_disk
from .journal import Arrived, Journal, packed
from .options import Options, Overwrite
from .progress import Counted, Progress

# How often a file that changes, or arrives damaged, is moved again.
TRIES = 3


class Job(NamedTuple):
    """One file to move.

    :param target: its path at the destination.
    :param there: what is there now.
    """

    entry: Entry
    target: str
    there: Entry | None = None
    tries: int = 1


class Mover:
    """Moves files of one transfer; its methods are called by many threads."""

    crew: Crew[Job]

    def __init__(
        self, source: End, destination: End, options: Options, journal: Journal | None, progress: Progress
    ) -> None:
        self.source = source
        self.destination = destination
        self.journal = journal
        self.progress = progress
        self.budget = Budget(options.memory)
        self._overwrite = options.overwrite
        self._big: set[BigMove] = set()
        self._shared = destination.shared(source)

    def stop(self) -> None:
        """Let go whoever waits."""
        self.budget.stop()
        for big in list(self._big):
            big.stop()

    def began(self, big: BigMove) -> None:
        """A big file's parts are on their way."""
        self._big.add(big)

    def ended(self, big: BigMove) -> None:
        """None of them is any more."""
        self._big.discard(big)

    def move(self, job: Job) -> None:
        """Move a file, or find that it need not be.

        :raises AmlError: what is wrong, in a sentence.
        """
        while True:
            try:
                with self.sentences(job):
                    return self._move(job)
            except (ChangedError, CorruptError) as error:
                job = self.again(job, error)

    def again(self, job: Job, error: TransferError) -> Job:
        """The same once more, with the file as it is now.

        :raises TransferError: that has been tried often enough, or it is gone.
        """
        name = repr(self.source.path(job.entry.path))
        if job.tries >= TRIES:
            if isinstance(error, CorruptError):
                raise TransferError(
                    f"{name} of {self.source.origin} has arrived damaged in {self.destination.origin} {job.tries} "
                    f"times: {error}; nothing was replaced by it. Look after the network and the store, and try again.",
                    again=True,
                ) from error
            raise TransferError(
                f"{name} of {self.source.origin} goes on changing while it is read ({error}); wait until whatever "
                "writes it has ended, and try again.",
                again=True,
            ) from error
        with self.sentences(job):
            entry = self.source.look(job.entry.path)
        if not isinstance(entry, Entry):
            raise TransferError(
                f"{name} of {self.source.origin} was removed while the transfer went on; try again.", again=True
            ) from error
        return Job(entry, job.target, job.there, job.tries + 1)

    def sentences(self, job: Job) -> _Sentences:
        """Around work on a file: what this machine's disks complain of becomes a sentence."""
        return _Sentences(self, job)

    # --- the ways -------------------------------------------------------------------------------------------

    def _move(self, job: Job) -> None:
        entry, size = job.entry, job.entry.size
        if job.there is not None and self._stays(entry, job.there, job.target):
            self.progress.skipped(job.there.size or 0)
        elif self._shared and self._copied_within(job):
            self.progress.arrived(size or 0)
        elif size is None or not self.source.seekable:
            self._stream(job)
        elif size <= self.destination.whole_bytes:
            self._whole(job, size)
        else:
            BigMove(self, job, size).start()

    def _stays(self, entry: Entry, there: Entry, target: str) -> bool:
        if self._overwrite is Overwrite.NEVER:
            return True
        if self._overwrite is Overwrite.ALWAYS:
            return False
        known = self.journal.arrived.get(target) if self.journal is not None else None
        return is_same(self.source, entry, self.destination, there, known)

    def _copied_within(self, job: Job) -> bool:
        moved = Counted(self.progress)
        try:
            mark = self.destination.copy_within(job.entry, self.source, job.target, moved)
        except BaseException:
            self.progress.unmoved(moved.count)
            raise
        if mark is None:
            return False
        self.note(job, job.entry.checksum)(mark)
        return True

    def _whole(self, job: Job, size: int) -> None:
        self.budget.take(size)
        try:
            data = self.source.read(job.entry, 0, size)
            digest = md5(data)
            self.check_source(job.entry, [Part(0, digest, "")], digest.hex(), max(size, 1), None)
            self.source.confirm(job.entry)
            self.destination.put(job.target, data, digest, self.note(job, Checksum(digest.hex())))
        finally:
            self.budget.give(size)
        self.progress.moved(size)
        self.progress.arrived(size)

    def _stream(self, job: Job) -> None:
        """From the beginning to the end, whose place may not be known."""
        step = self.destination.part_bytes(job.entry.size)
        self.budget.take(step)
        try:
            size = self._streamed(job, step)
        finally:
            self.budget.give(step)
        self.progress.arrived(size)

    def _streamed(self, job: Job, step: int) -> int:
        pieces = self.source.stream(job.entry, step)
        first = next(pieces, b"")
        if len(first) < step:
            # Read on, so that an end that comes too early is noticed.
            for _ in pieces:
                raise ChangedError("it has grown while it was read")
            digest = md5(first)
            self.source.confirm(job.entry)
            self.destination.put(job.target, first, digest, self.note(job, Checksum(digest.hex())))
            self.progress.moved(len(first))
            return len(first)
        landing = self.destination.begin(job.target, job.entry.size, step)
        whole, size = hashlib.md5(usedforsecurity=False), 0
        parts: list[Part] = []
        try:
            piece: Bytes | None = first
            while piece:
                whole.update(piece)
                digest = md5(piece)
                parts.append(Part(len(parts), digest, landing.write(len(parts), size, piece, digest)))
                size += len(piece)
                self.progress.moved(len(piece))
                piece = next(pieces, None)
            self.source.confirm(job.entry)
            landing.publish(parts, whole.hexdigest(), self.note(job, Checksum(whole.hexdigest()), size))
        except BaseException:
            self.progress.unmoved(size)
            landing.abandon()
            raise
        return size

    # --- what the ways share --------------------------------------------------------------------------------

    def note(self, job: Job, checksum: Checksum | None, size: int | None = None) -> Callable[[str], None]:
        """What notes that the file is in its place."""
        journal, entry = self.journal, job.entry

        def arrived(mark: str) -> None:
            if journal is not None:
                known = entry.size or 0 if size is None else size
                settled = self.source.settled(entry)
                journal.note_arrived(job.target, Arrived(entry.mark, mark, known, packed(checksum), settled))

        return arrived

    def check_source(
        self, entry: Entry, parts: Sequence[Part], whole: str | None, part_bytes: int, landing: Landing | None
    ) -> None:
        """Compare what was read with the checksum that the source's store has of it.

        :raises CorruptError: they differ.
        """
        known = entry.checksum
        if known is None or not self.destination.verify:
            return
        exact = self.source.exact(entry) or known
        found: Checksum | None = None
        if exact.parts and (exact.parts == 1 or exact.part_bytes == part_bytes):
            found = of_parts((part.md5 for part in parts), part_bytes)
        elif not exact.parts and whole is not None:
            found = Checksum(whole)
        elif landing is not None and (exact.part_bytes or not exact.parts) and landing.readable:
            found = computed(landing.read_back, entry.size or 0, exact)
        if found is not None and found.md5 != exact.md5 and self.source.is_plain(entry):
            raise CorruptError("what was read is not what the source's checksum says")


class _Sentences:
    """See :meth:`Mover.sentences`. A class, since a generator takes longer than all else about a small file."""

    __slots__ = ("_job", "_mover")

    def __init__(self, mover: Mover, job: Job) -> None:
        self._mover = mover
        self._job = job

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DatastoreError):
            if error.reason is Reason.CHANGED:
                raise ChangedError(str(error)) from error
            if error.reason is Reason.OTHER:
                # Nobody knows whether it is there to stay.
                raise TransferError(str(error), again=True) from error
        elif isinstance(error, OSError):
            source, end, entry = self._mover.source, self._mover.destination, self._job.entry
            here = end if end.near else source
            if source.near and end.near and entry.inner[0] == error.filename:
                here = source
            raise of_disk(error, str(here.origin), f"moving {source.store.shown(source.path(entry.path))!r}") from error
