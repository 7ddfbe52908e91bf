"""Moving tables: between databases and CSV or Parquet files in any store.

Rows pass through a file of this machine, so that memory does not grow with their number. Files are moved, checked and
published as all others are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from aml_provider.storage.datastores import store_for
from aml_provider.storage.scratch import scratch_folder
from aml_provider.workspace.model import DatastoreConfig

from .errors import CorruptError, TransferError, of_disk
from .options import Options, Overwrite, PlaceType, Summary
from .places import Place
from .progress import INTERVAL, amount
from .tables_files import Files, files_of, format_of, write_file
from .tables_places import TablePlace
from .tables_reading import has_table, spooled, table_named
from .tables_types import library
from .tables_writing import Rows, Write, load

Say = Callable[[str], None]
_HERE = "files of this machine"
_WRITE = {Overwrite.APPEND: Write.APPEND, Overwrite.FAIL: Write.FAIL}


def transfer_tables(
    source: Place | TablePlace, destination: Place | TablePlace, options: Options, say: Say = print
) -> Summary:
    """Move a table or the answer to a query to a file or a table, or files to a table.

    A table is replaced by a whole one, or rows are added to it all at once. A transfer that is killed leaves what was
    there.

    :raises AmlError: what is wrong, in a sentence.
    """
    library()
    started = time.monotonic()
    if options.mirror:
        raise TransferError("mirror is for folders: a table is moved as a whole; leave it out.")
    if isinstance(destination, TablePlace) and destination.query is not None:
        raise TransferError(f"the destination {destination} is a query; give a table, like warehouse:schema.table.")
    if isinstance(source, TablePlace) and isinstance(destination, TablePlace) and _is_same(source, destination):
        raise TransferError(f"the source and the destination are one table, {destination}; give another one.")
    count = _Count(f"{source} -> {destination}", say)
    with scratch_folder("aml-table-") as folder:
        try:
            if isinstance(destination, TablePlace):
                summary = _to_table(source, destination, options, folder, count)
            else:
                assert isinstance(source, TablePlace)
                summary = _to_file(source, destination, options, folder, count)
        except OSError as error:
            if isinstance(error, TransferError) or error.filename is None:
                raise
            raise of_disk(error, "this machine (TMPDIR)", f"moving {source}") from error
    summary.source, summary.destination = str(source), str(destination)
    summary.seconds = round(time.monotonic() - started, 3)
    rows = f"{summary.rows or 0:,} rows"
    done = "nothing: it is there already" if summary.rows is None else f"moved {rows}"
    say(f"{source} -> {destination}: {done}, {amount(summary.bytes)}, in {summary.seconds:.1f} s")
    return summary


def _is_same(source: TablePlace, destination: TablePlace) -> bool:
    return (
        source.query is None
        and source.database.name == destination.database.name
        and table_named(source.table, source.database) == table_named(destination.table, destination.database)
    )


class _Count:
    """Tells now and then how many rows there are by now."""

    def __init__(self, what: str, say: Say) -> None:
        self.what = what
        self.say = say
        self._started = self._told = time.monotonic()

    def __call__(self, verb: str) -> Callable[[int], None]:
        def tell(rows: int) -> None:
            now = time.monotonic()
            if now - self._told >= INTERVAL:
                self._told = now
                self.say(f"{self.what}: {rows:,} rows {verb}, {rows / max(now - self._started, 1e-6):,.0f}/s")

        return tell


# --- to files -----------------------------------------------------------------------------------------------------


def _to_file(source: TablePlace, destination: Place, options: Options, folder: Path, count: _Count) -> Summary:
    from .engine import transfer

    if options.overwrite is Overwrite.APPEND:
        raise TransferError(f"rows can be appended to a table only, and {destination} is a file; choose another one.")
    form = format_of(destination.clean)
    if form is None or destination.says_folder:
        raise TransferError(f"the destination {destination} says no format; give a file that ends in .csv or .parquet.")
    if options.overwrite is Overwrite.NEVER and destination.store.exists(destination.clean):
        return Summary(skipped=1)
    table = table_named(source.table, source.database) if source.table else None
    spool = spooled(source.database, folder / "rows", table=table, query=source.query, count=count("read"))
    made = folder / "files" / Path(destination.clean).name
    made.parent.mkdir()
    written = write_file(spool, made, form)
    if written != spool.rows:
        raise CorruptError(f"{spool.rows:,} rows were read, and {written:,} are in the file.")
    here = Place(store_for(DatastoreConfig(url=str(made.parent)), _HERE), made.name)
    kept = replace(options, include=(), exclude=(), source_type=PlaceType.FILE, destination_type=PlaceType.FILE)
    summary = transfer(here, destination, kept, say=lambda line: None)
    summary.rows = spool.rows
    return summary


# --- to tables ----------------------------------------------------------------------------------------------------


def _to_table(
    source: Place | TablePlace, destination: TablePlace, options: Options, folder: Path, count: _Count
) -> Summary:
    table = table_named(destination.table, destination.database)
    if options.overwrite is Overwrite.NEVER:
        with destination.database.connected(f"looking for table {str(table)!r}") as connection:
            if has_table(connection, table):
                return Summary(skipped=1)
    rows: Rows
    if isinstance(source, TablePlace):
        start = table_named(source.table, source.database) if source.table else None
        rows = spooled(source.database, folder / "rows", table=start, query=source.query, count=count("read"))
        summary = Summary(files=0)
    else:
        rows, summary = _files(source, options, folder)
    write = _WRITE.get(options.overwrite, Write.REPLACE)
    texts = isinstance(rows, Files) and rows.are_texts
    written = load(destination.database, table, rows, write, texts=texts, count=count("written"))
    summary.rows = written.rows
    summary.notes += written.notes
    return summary


def _files(source: Place, options: Options, folder: Path) -> tuple[Files, Summary]:
    """The files of the source on this machine, in the order of their names."""
    from .engine import transfer

    local = source.store.local_root
    chosen = options.include or options.exclude
    if local is not None and not chosen and source.store.is_file(source.clean):
        paths = [local / source.clean]
        return files_of(paths, [source.store.shown(source.clean)]), Summary(files=1, bytes=paths[0].stat().st_size)
    here = Place(store_for(DatastoreConfig(url=str(folder / "files")), _HERE), "")
    (folder / "files").mkdir()
    kept = replace(options, overwrite=Overwrite.ALWAYS, destination_type=PlaceType.DIRECTORY)
    summary = transfer(source, here, kept, say=lambda line: None)
    paths = sorted(path for path in (folder / "files").rglob("*") if path.is_file())
    if not paths:
        raise TransferError(f"there are no files at the source {source}; upload them, or correct the path.")
    return files_of(paths, [path.relative_to(folder / "files").as_posix() for path in paths]), summary
