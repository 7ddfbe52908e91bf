"""Moving files from any datastore to any other."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from aml_provider.spec.errors import AmlError
from aml_provider.storage.hashing import processors

from .compare import is_same
from .crew import Crew
from .ends import End
from .errors import TransferError, listed, of_disk
from .journal import Journal
from .moving import Job, Mover
from .options import Options, Overwrite, Summary, Verify
from .places import Place, route
from .progress import INTERVAL, Progress, told
from .selection import Selection
from .tables_places import TablePlace

R = TypeVar("R")
Say = Callable[[str], None]
DEFAULTS = Options()
# Files that are smaller on the average are moved faster by one thread: several hand the interpreter to and fro.
_SMALL_BYTES = 64 << 10


def transfer(
    source: Place | TablePlace,
    destination: Place | TablePlace,
    options: Options = DEFAULTS,
    *,
    state: Path | None = None,
    say: Say = print,
) -> Summary:
    """Move a file, or all files below a folder; or a table, see :mod:`.tables`.

    No reader ever sees a part of a file: each appears whole, in the place of what was there before. What an interrupted
    transfer has moved is not moved again; of big files, no part is.

    :param state: folder of this machine where transfers note how far they are; ``None``: after an interruption, only
        what the stores' own checksums show to be whole is not moved again.
    :param say: gets a line now and then.
    :raises AmlError: what is wrong, in a sentence.
    """
    if isinstance(source, TablePlace) or isinstance(destination, TablePlace):
        from .tables import transfer_tables

        return transfer_tables(source, destination, options, say)
    if options.overwrite is Overwrite.APPEND:
        raise TransferError("overwrite is 'append', which is for tables; for files it can be 'always' or 'different'.")
    started = time.monotonic()
    way = _at_disk(source, lambda: route(source, destination, options))
    way.destination.verify = options.verify is Verify.CHECKSUM
    selection = _at_disk(source, lambda: Selection(way, options))
    summary = Summary(str(source), str(destination))
    progress = Progress(summary, len(selection.jobs), selection.size, say)
    journal = _journal(way.source, way.destination, state, say)
    complete = False
    try:
        mover = Mover(way.source, way.destination, options, journal, progress)
        if options.overwrite is Overwrite.FAIL:
            selection.jobs = _absent(mover, selection, options, journal, progress)
        say(f"{source} -> {destination}: {progress.line()}")
        _run(mover, selection.jobs, mover.move, max(1, options.workers), progress)
        _at_disk(destination, lambda: _finish(way.destination, selection, summary, journal))
        complete = True
    finally:
        if journal is not None:
            journal.close([job.target for job in selection.jobs] if complete else None)
    if options.include and not selection.jobs:
        summary.notes.append(f"no file of the source matches {listed(options.include)}")
    empty = len(selection.folders) or int(selection.nothing)
    if empty and not way.destination.keeps_folders:
        summary.notes.append(f"{empty:,} empty folders, which the destination cannot keep")
    summary.seconds = round(time.monotonic() - started, 3)
    say(f"{source} -> {destination}: {told(summary)}")
    return summary


def _run(mover: Mover, jobs: list[Job], work: Callable[[Job], None], workers: int, progress: Progress) -> None:
    mover.crew = Crew(workers, iter(jobs), work, mover.stop, _at_first(mover, jobs, workers))
    mover.crew.finish(progress.tick, INTERVAL / 5)


def _absent(
    mover: Mover, selection: Selection, options: Options, journal: Journal | None, progress: Progress
) -> list[Job]:
    """The files that are not there yet.

    :raises TransferError: there is one that is another one.
    """
    others: list[str] = []

    def compare(job: Job) -> None:
        assert job.there is not None
        known = journal.arrived.get(job.target) if journal is not None else None
        with mover.sentences(job):
            if not is_same(mover.source, job.entry, mover.destination, job.there, known):
                others.append(job.target)
                return
        progress.skipped(job.there.size or 0)

    met = [job for job in selection.jobs if job.there is not None]
    _run(mover, met, compare, max(1, options.workers), progress)
    if others:
        raise TransferError(
            f"nothing was moved: {mover.destination.origin} has {listed(sorted(others))} already, and overwrite is "
            "'fail'; remove what is there, or choose another destination or overwrite."
        )
    return [job for job in selection.jobs if job.there is None]


def _finish(end: End, selection: Selection, summary: Summary, journal: Journal | None) -> None:
    if end.keeps_folders:
        for path in selection.folders:
            end.make_folder(path)
            summary.folders += 1
        if not selection.jobs:
            end.make_folder("")
    for path in selection.others:
        end.remove(path)
        summary.removed += 1
    if journal is not None:
        for path, begun in list(journal.begun.items()):
            # Parts of what is not moved any more.
            landing = end.resumed(path, begun.token)
            if landing is not None:
                landing.abandon()
    end.sweep()


def _journal(source: End, destination: End, state: Path | None, say: Say) -> Journal | None:
    # Between folders of this machine, comparing costs no more than reading a journal's marks would save.
    if state is None or (source.near and destination.near):
        return None
    names = (source.store.url, source.place, destination.store.url, destination.place)
    journal = Journal.of(state, *names)
    if journal is None:
        say("another transfer between the same places is under way; if this one is interrupted, its parts are lost")
    return journal


def _at_first(mover: Mover, jobs: list[Job], workers: int) -> int:
    """With how many threads to begin; a folder of this machine may be on another one, which only using it tells."""
    if not (mover.source.near and mover.destination.near):
        return workers
    small = sum(job.entry.size or 0 for job in jobs) < len(jobs) * _SMALL_BYTES
    return 1 if small else min(workers, processors())


def _at_disk(place: Place, work: Callable[[], R]) -> R:
    try:
        return work()
    except AmlError:
        raise
    except OSError as error:
        raise of_disk(
            error, f"datastore {place.store.name!r}", f"looking at {place.store.shown(place.path)!r}"
        ) from error
