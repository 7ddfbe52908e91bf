"""Moving one big file, in parts that many threads move."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .checksums import Checksum, WholeHash, md5, of_parts
from .ends import Bytes, Entry, Landing, Part
from .errors import ChangedError, CorruptError, TransferError
from .journal import Begun
from .progress import Counted

if TYPE_CHECKING:
    from .moving import Job, Mover

# The parts of a big object are taken as they were written, if they are of a bearable size.
_LEAST_PART, _MOST_PART = 5 << 20, 32 << 20
_MOST_PARTS = 9_000
# How often a part that arrives damaged is sent.
_SENDINGS = 3


class BigMove:
    """A big file on its way, in parts that many threads move."""

    def __init__(self, mover: Mover, job: Job, size: int) -> None:
        self._mover = mover
        self._job = job
        self._size = size
        self._lock = threading.Lock()
        self._moved = Counted(mover.progress)
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
        self._mover.began(self)
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
        for attempt in range(1, _SENDINGS + 1):
            try:
                return self._landing.write(number, start, data, digest)
            except CorruptError:
                if attempt == _SENDINGS:
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
        mover.ended(self)
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
        mover.progress.arrived(self._size)
