"""Datasets that are the answer of a database.

What a step reads is the very answer by which it was decided whether an earlier result fits: it is kept in a file that
is called after its content.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aml_provider.datasets.access import Stores
from aml_provider.runtime.tables.files import File
from aml_provider.runtime.tables.problems import TableError
from aml_provider.spec.tables import SqlQuery, TabularFormat
from aml_provider.storage.hashing import hash_file
from aml_provider.storage.scratch import scratch_folder
from aml_provider.storage.sql import database_for
from aml_provider.workspace.resolved import LoadedWorkspace

#: In the run store: the answers that steps read.
FOLDER = "answers"
#: What an input's identity begins with that is an answer; its digest comes next.
ANSWERED = "answer"
#: Answers that nobody has used for so long are removed.
KEPT_SECONDS = 7 * 24 * 3600


def answered(stores: Stores, query: SqlQuery, form: TabularFormat | None) -> Iterator[Any]:
    """The answer in frames, at least one.

    :param form: says which columns get another type.
    :raises DatastoreError: the database refuses it.
    :raises TableError: a value has no type there.
    """
    known = stores.answers.get(query)
    if known is not None:
        yield from _frames(known, form)
        return
    with scratch_folder("aml-answer-") as folder:
        yield from _frames(_asked(stores.workspace, query, folder), form)


def keep(workspace: LoadedWorkspace, query: SqlQuery, root: Path) -> str:
    """Ask, and keep the answer for steps; the digest of it.

    :param root: of the run store.
    :raises DatastoreError: the database refuses it.
    :raises TableError: a value has no type in files.
    """
    folder = _folder(root, query)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".asked-", dir=folder) as part:
        made = _asked(workspace, query, Path(part))
        digest = hash_file(os.fsencode(made)).digest
        # Those who have the same answer have the same file.
        os.replace(made, folder / f"{digest}.parquet")
    _forget_old(folder)
    return digest


def kept(workspace: LoadedWorkspace, query: SqlQuery, root: Path, digest: str) -> Path:
    """The file of a kept answer.

    :raises TableError: it is gone, and the database gives another one now.
    """
    path = _folder(root, query) / f"{digest}.parquet"
    try:
        os.utime(path)
    except FileNotFoundError:
        if keep(workspace, query, root) != digest:
            raise TableError(
                "the answer of the query by which the step was planned is gone, and the database gives another one "
                "now; start a new run"
            ) from None
    return path


def check(workspace: LoadedWorkspace, query: SqlQuery) -> None:
    """See that the datastore is a database; it is not asked.

    :raises NotSupportedError: it holds files.
    """
    database_for(workspace.datastore(query.datastore), query.datastore)


def _asked(workspace: LoadedWorkspace, query: SqlQuery, folder: Path) -> Path:
    from aml_provider.storage.transfer import TransferError
    from aml_provider.storage.transfer.tables_files import write_file
    from aml_provider.storage.transfer.tables_reading import spooled

    database = database_for(workspace.datastore(query.datastore), query.datastore)
    try:
        rows = folder / "rows"
        spool = spooled(database, rows, query=query.query, timeout_seconds=query.timeout_seconds)
        made = folder / "answer.parquet"
        write_file(spool, made, "parquet")
    except TransferError as error:
        raise TableError(str(error).rstrip(".")) from None
    rows.unlink()
    return made


def _frames(path: Path, form: TabularFormat | None) -> Iterator[Any]:
    from aml_provider.runtime.tables.reading import frames_of

    types = {} if form is None else form.column_types
    read = TabularFormat(format="parquet", column_types=types).model_dump(mode="json")
    return frames_of([File.here(str(path), path.name, path.name)], read, ())


def _folder(root: Path, query: SqlQuery) -> Path:
    name = hashlib.sha256(f"{query.datastore}\0{query.query}".encode()).hexdigest()[:32]
    return root / FOLDER / name


def _forget_old(folder: Path) -> None:
    for path in folder.glob("*.parquet"):
        try:
            if path.stat().st_mtime < time.time() - KEPT_SECONDS:
                path.unlink()
        except FileNotFoundError:
            continue  # another run has removed it just now
