"""The file behind the digest cache: a row per folder, in SQLite. Whatever is wrong with it, no caller gets an error."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from blake3 import blake3

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_LOCK_SECONDS = 2.0
_CHECK_BYTES = 16
# SQLite's own limit is a billion bytes.
_MAX_ROW = 500_000_000
_KEEP_DAYS = 90
_MAX_ROWS = 200_000
# SQLite has taken so many values in one question from its first versions on.
_AT_ONCE = 999
# Errors that say that the file cannot be used as things stand, not that it is damaged.
_PASSING = ("locked", "busy", "readonly", "full", "disk i/o error", "unable to open")
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS folders_1 (id INTEGER PRIMARY KEY, used INTEGER NOT NULL, body BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS folders_1_used ON folders_1 (used)",
)


class DigestRows:
    """Bytes by folder.

    :param file: the database; made when it is missing, made anew when it is damaged.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._database: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._off = False
        self._renewed = False
        self._unused: set[int] = set()

    def read(self, folder: bytes) -> bytes:
        """What is kept for the folder; empty when that is nothing."""
        return self._try(lambda database: self._body(database, folder), b"")

    def read_many(self, folders: Collection[bytes]) -> dict[bytes, bytes]:
        """:meth:`read` of many folders, in few questions."""
        return self._try(lambda database: self._bodies(database, folders), {})

    def update(self, folders: Collection[bytes], change: Callable[[bytes, bytes], bytes]) -> None:
        """Change what is kept for some folders, in one transaction.

        :param change: from a folder and what is kept for it to what is to be kept.
        """
        if folders or self._unused:
            self._try(lambda database: self._update(database, folders, change), None)

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self._lock:
            database, self._database = self._database, None
            if database is None or self._process != os.getpid():
                return
            try:
                database.close()
            except sqlite3.Error as error:
                _log.debug("closing %s: %s", self._file, error)

    # --- rows -----------------------------------------------------------------------------------------------

    def _body(self, database: sqlite3.Connection, folder: bytes) -> bytes:
        row_id = _row_id(folder)
        row = database.execute("SELECT body, used FROM folders_1 WHERE id = ?", (row_id,)).fetchone()
        return b"" if row is None else self._checked(folder, row_id, *row)

    def _bodies(self, database: sqlite3.Connection, folders: Collection[bytes]) -> dict[bytes, bytes]:
        ids = {_row_id(folder): folder for folder in folders}
        found = dict.fromkeys(folders, b"")
        numbers = list(ids)
        for start in range(0, len(numbers), _AT_ONCE):
            some = numbers[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            for row_id, body, used in database.execute(
                f"SELECT id, body, used FROM folders_1 WHERE id IN ({marks})",  # noqa: S608  (marks are question marks)
                some,
            ):
                found[ids[row_id]] = self._checked(ids[row_id], row_id, body, used)
        return found

    def _checked(self, folder: bytes, row_id: int, body: object, used: object) -> bytes:
        if not isinstance(body, bytes) or body[:_CHECK_BYTES] != _check(folder, body[_CHECK_BYTES:]):
            _log.warning("digest cache %s: a row is damaged; its files are read again", self._file)
            return b""
        if used != _today():
            self._unused.add(row_id)
        return body[_CHECK_BYTES:]

    def _update(
        self, database: sqlite3.Connection, folders: Collection[bytes], change: Callable[[bytes, bytes], bytes]
    ) -> None:
        database.execute("BEGIN IMMEDIATE")
        try:
            today = _today()
            database.executemany("UPDATE folders_1 SET used = ? WHERE id = ?", [(today, i) for i in self._unused])
            for folder in folders:
                body = change(folder, self._body(database, folder))
                if len(body) <= _MAX_ROW:
                    row = (_row_id(folder), today, _check(folder, body) + body)
                    database.execute("INSERT OR REPLACE INTO folders_1 VALUES (?, ?, ?)", row)
            _prune(database, today)
            database.execute("COMMIT")
            self._unused.clear()
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")

    # --- file -----------------------------------------------------------------------------------------------

    def _try(self, work: Callable[[sqlite3.Connection], _T], otherwise: _T) -> _T:
        with self._lock:
            while not self._off:
                try:
                    return work(self._opened())
                # Text in a damaged file makes SQLite's Python module raise more than its own errors.
                except (sqlite3.Error, OSError, ValueError, OverflowError, MemoryError) as error:
                    self._failed(error)
            return otherwise

    def _opened(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            # Forked: the connection is the parent's.
            self._database, self._process = None, os.getpid()
        if self._database is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if not self._file.exists():
                _forget_machines(self._file.parent)
            self._inode = None
            self._database = database = sqlite3.connect(
                self._file, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._inode = self._file.stat().st_ino
            # Not WAL: it maps a file, and whoever cuts that off kills the process (SIGBUS).
            database.execute("PRAGMA journal_mode = DELETE")
            # A power cut may damage the file, which is noticed.
            database.execute("PRAGMA synchronous = OFF")
            database.execute("PRAGMA cell_size_check = ON")
            for statement in _SCHEMA:
                database.execute(statement)
        return self._database

    def _failed(self, error: Exception) -> None:
        self.close()
        message = str(error).lower()
        passing = isinstance(error, (OSError, MemoryError)) or any(word in message for word in _PASSING)
        if self._renewed or passing:
            self._off = True
            _log.warning("digest cache %s cannot be used: %s; files are read again each time", self._file, error)
            return
        self._renewed = True
        _log.warning("digest cache %s is damaged (%s); it is made anew", self._file, error)
        try:
            # Another process may have renewed it already.
            if self._inode in (None, self._file.stat().st_ino):
                for file in _files(self._file):
                    file.unlink(missing_ok=True)
        except OSError as problem:
            _log.debug("removing %s: %s", self._file, problem)


def _prune(database: sqlite3.Connection, today: int) -> None:
    """Once a day, forget folders that nobody has asked for in a long time, and the oldest when there are many."""
    if database.execute("PRAGMA user_version").fetchone()[0] == today:
        return
    database.execute(f"PRAGMA user_version = {today:d}")
    database.execute("DELETE FROM folders_1 WHERE used < ?", (today - _KEEP_DAYS,))
    (count,) = database.execute("SELECT count(*) FROM folders_1").fetchone()
    if count > _MAX_ROWS:
        database.execute(
            "DELETE FROM folders_1 WHERE id IN (SELECT id FROM folders_1 ORDER BY used LIMIT ?)", (count - _MAX_ROWS,)
        )


def _files(database: Path) -> list[Path]:
    return [database, database.with_name(database.name + "-journal")]


def _forget_machines(folder: Path) -> None:
    """Remove what machines left that have used nothing in a long time: each pod is a machine of its own."""
    limit = time.time() - _KEEP_DAYS * 86_400
    for database in folder.glob("digests-*.db"):
        files = [file for file in _files(database) if file.exists()]
        if all(file.stat().st_mtime < limit for file in files):
            for file in files:
                file.unlink(missing_ok=True)


def _row_id(folder: bytes) -> int:
    # A collision is harmless: the check covers the folder's path.
    return int.from_bytes(blake3(folder).digest(8), "little", signed=True)


def _check(folder: bytes, body: bytes) -> bytes:
    return blake3(b"%d:%b" % (len(folder), folder)).update(body).digest(_CHECK_BYTES)


def _today() -> int:
    return int(time.time() // 86_400)
