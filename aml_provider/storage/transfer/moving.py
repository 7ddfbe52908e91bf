"""Moving one file: what is there already, by the store itself, in one piece, in parts, or as a stream."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aml_provider.storage.faults import DatastoreError, Reason

from .checksums import Checksum, WholeHash, computed, md5, of_parts
from .compare import is_same
from .crew import Budget, Crew
from .ends import Bytes, End, Entry, Landing, Part
from .errors import ChangedError, CorruptError, TransferError, of_disk
from .journal import Arrived, Begun, Journal, packed
from .options import Options, Overwrite
from .progress import Progress

# How often a file that changes, or arrives damaged, is moved again.
TRIES = 3
# The parts of a big object are taken as they were written, if they are of a bearable size.
_LEAST_PART, _MOST_PART = 5 << 20, 32 << 20
_MOST_PARTS = 9_000


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
            self._arrived(job, size or 0)
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
        moved = _Counted(self.progress)
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
        self._arrived(job, size)

    def _stream(self, job: Job) -> None:
        """From the beginning to the end, whose place may not be known."""
        step = self.destination.part_bytes(job.entry.size)
        self.budget.take(step)
        try:
            size = self._streamed(job, step)
        finally:
            self.budget.give(step)
        self._arrived(job, size)

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

    def _arrived(self, job: Job, size: int) -> None:
        self.progress.arrived(size)

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


class _Counted:
    """Counts what one file has moved."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.count = 0

    def __call__(self, count: int) -> None:
        self.count += count
        self._progress.moved(count)


class BigMove:
    """A big file on its way, in parts that many threads move."""

    def __init__(self, mover: Mover, job: Job, size: int) -> None:
        self._mover = mover
        self._job = job
        self._size = size
        self._lock = threading.Lock()
        self._moved = _Counted(mover.progress)
        self._error: TransferError | None = None
        self._parts: dict[int, Part] = {}
        self._whole: WholeHash | None = None

    def start(self) -> None:
        """Begin, or go on where an earlier transfer was interrupted; the rest is done by the crew."""
        entry = self._job.entry
        self._part_bytes = self._choose_parts(entry)
        self._landing = self._resume() or self._begin()
        self._count = -(-self._size // self._part_bytes)
        known = entry.checksum
        # What has arrived already is read again for it, where that is on this machine.
        known_again = not self._parts or self._mover.source.near or self._landing.readable
        if known_again and (self._mover.destination.wants_whole or (known is not None and not known.parts)):
            self._whole = WholeHash()
        self._mover.progress.resumed(sum(self._range(n)[1] - self._range(n)[0] for n in self._parts))
        waiting = [n for n in range(self._count) if n not in self._parts or self._whole is not None]
        self._waiting = iter(waiting)
        self._left = len(waiting)
        self._mover._big.add(self)
        if not waiting:
            self._end()
        for _ in range(min(1, len(waiting)) if self._landing.ordered else len(waiting)):
            self._mover.crew.add(self._part)

    def stop(self) -> None:
        """Let go whoever waits for a part that will not come."""
        if self._whole is not None:
            self._whole.stop()

    # --- beginning ------------------------------------------------------------------------------------------

    def _choose_parts(self, entry: Entry) -> int:
        wanted = self._mover.destination.part_bytes(self._size)
        known = self._mover.source.exact(entry) if entry.checksum is not None else None
        self._job = self._job._replace(entry=entry._replace(checksum=known))
        if known is not None and known.parts:
            step = known.part_bytes
            if _LEAST_PART <= step <= _MOST_PART and self._size <= step * _MOST_PARTS:
                return step
        return wanted

    def _resume(self) -> Landing | None:
        journal, entry = self._mover.journal, self._job.entry
        begun = journal.begun.get(self._job.target) if journal is not None else None
        landing = self._mover.destination.resumed(self._job.target, begun.token) if begun is not None else None
        if begun is None or landing is None:
            return None
        same = (begun.source, begun.size) == (entry.mark, self._size)
        if not same or not (begun.settled or self._mover.source.near):
            # Parts of what the file was.
            landing.abandon()
            return None
        held = landing.held()
        self._part_bytes = begun.part_bytes
        self._parts = {n: part for n, part in begun.parts.items() if held is None or held.get(n) == part.receipt}
        return landing

    def _begin(self) -> Landing:
        entry, target = self._job.entry, self._job.target
        landing = self._mover.destination.begin(target, self._size, self._part_bytes)
        if self._mover.journal is not None and landing.token:
            settled = self._mover.source.settled(entry)
            begun = Begun(entry.mark, self._size, self._part_bytes, landing.token, settled)
            self._mover.journal.note_begun(target, begun)
        return landing

    def _range(self, number: int) -> tuple[int, int]:
        start = number * self._part_bytes
        return start, min(start + self._part_bytes, self._size)

    # --- parts ----------------------------------------------------------------------------------------------

    def _part(self) -> None:
        mover = self._mover
        try:
            mover.budget.take(self._part_bytes)
            try:
                # Only now, with room for it: whoever has a part never waits for one that nobody can read yet.
                with self._lock:
                    number = next(self._waiting)
                if self._error is None:
                    with mover.sentences(self._job):
                        self._move_part(number)
            finally:
                mover.budget.give(self._part_bytes)
        except (ChangedError, CorruptError) as error:
            self._fail(error)
        except TransferError:
            # Let go, because another part has failed.
            if self._error is None:
                raise
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._end()
        elif self._landing.ordered:
            mover.crew.add(self._part)

    def _move_part(self, number: int) -> None:
        mover, (start, end) = self._mover, self._range(number)
        there = self._parts.get(number)
        if there is not None:
            data: Bytes
            if self._landing.readable:
                data = self._landing.read_back(start, end)
            else:
                data = mover.source.read(self._job.entry, start, end)
            if md5(data) != there.md5:
                raise CorruptError("a part that had arrived is not what it was")
            assert self._whole is not None
            self._whole.feed(number, data)
            return
        data = mover.source.read(self._job.entry, start, end)
        digest = md5(data)
        if self._whole is not None:
            self._whole.feed(number, data)
        part = Part(number, digest, self._sent(number, start, data, digest))
        with self._lock:
            self._parts[number] = part
        if mover.journal is not None and self._landing.token:
            mover.journal.note_part(self._job.target, part)
        self._moved(end - start)

    def _sent(self, number: int, start: int, data: Bytes, digest: bytes) -> str:
        """Send a part; one that arrives damaged is sent again."""
        for attempt in range(1, TRIES + 1):
            try:
                return self._landing.write(number, start, data, digest)
            except CorruptError:
                if attempt == TRIES:
                    raise
        raise AssertionError("unreachable")

    def _fail(self, error: TransferError) -> None:
        with self._lock:
            if self._error is None:
                self._error = error
        self.stop()

    # --- the end --------------------------------------------------------------------------------------------

    def _end(self) -> None:
        mover, job = self._mover, self._job
        mover._big.discard(self)
        if self._error is None:
            try:
                with mover.sentences(job):
                    self._publish()
                return
            except (ChangedError, CorruptError) as error:
                self._error = error
        mover.progress.unmoved(self._moved.count)
        with mover.sentences(job):
            self._landing.abandon()
        if mover.journal is not None:
            mover.journal.note_ended(job.target)
        mover.move(mover.again(job, self._error))

    def _publish(self) -> None:
        mover, job = self._mover, self._job
        parts = [self._parts[n] for n in range(self._count)]
        whole = self._whole.hexdigest() if self._whole is not None else None
        mover.check_source(job.entry, parts, whole, self._part_bytes, self._landing)
        mover.source.confirm(job.entry)
        checksum = Checksum(whole) if whole else of_parts((part.md5 for part in parts), self._part_bytes)
        self._landing.publish(parts, whole, mover.note(job, checksum))
        if mover.journal is not None:
            mover.journal.note_ended(job.target)
        mover._arrived(job, self._size)
