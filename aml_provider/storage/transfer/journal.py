"""What a transfer has done, line by line: by it the next try knows what is whole and which parts have arrived.

A line that a killed process has written half is left out, and what it would have said is done again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .checksums import Checksum
from .ends import Part

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Arrived:
    """A file that has arrived.

    :param source: the source's mark of it, :param destination: the destination's.
    :param checksum: of its content, as :func:`packed` writes it; empty: nobody knows.
    :param settled: the source's mark was older than its clock is exact.
    """

    source: str
    destination: str
    size: int
    checksum: str
    settled: bool


@dataclass
class Begun:
    """A big file of which parts have arrived.

    :param token: by which the destination finds what has arrived.
    """

    source: str
    size: int
    part_bytes: int
    token: dict[str, Any]
    settled: bool
    parts: dict[int, Part] = field(default_factory=dict)


class Journal:
    """The journal of transfers from one place to another.

    :param folder: where it is kept.
    :param names: what tells source and destination from others.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        key = hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._path = folder / f"{key}.jsonl"
        self._lock = threading.Lock()
        self._file: int | None = None
        self._broken = False
        self.arrived: dict[str, Arrived] = {}
        self.begun: dict[str, Begun] = {}
        self._lock_file = self._locked()
        if self._is_mine:
            self._read()

    @classmethod
    def of(cls, folder: Path, *names: str) -> Journal | None:
        """The journal, for this process alone; ``None``: another process is moving between the same places."""
        made = cls(folder, *names)
        return made if made._is_mine else None

    def note_arrived(self, path: str, arrived: Arrived) -> None:
        """A file is in its place, or will be with the very next step."""
        self.arrived[path] = arrived
        self._write(["arrived", path, *vars(arrived).values()])

    def note_begun(self, path: str, begun: Begun) -> None:
        """Parts of a big file will arrive."""
        self.begun[path] = begun
        self._write(["begun", path, begun.source, begun.size, begun.part_bytes, begun.token, begun.settled])

    def note_part(self, path: str, part: Part) -> None:
        """A part of it has arrived."""
        self._write(["part", path, part.number, part.md5.hex(), part.receipt])

    def note_ended(self, path: str) -> None:
        """The parts are parts of nothing any more."""
        self.begun.pop(path, None)
        self._write(["ended", path])

    @property
    def _is_mine(self) -> bool:
        return self._lock_file is not None

    def close(self, keep: Iterable[str] | None = None) -> None:
        """End it.

        :param keep: the transfer is complete, and these are its files: of all else nothing need be known.
        """
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
        try:
            if keep is not None and not self._broken:
                self._shorten(keep)
        finally:
            if self._lock_file is not None:
                self._lock_file.close()

    # --- inside ---------------------------------------------------------------------------------------------

    def _locked(self) -> IO[bytes] | None:
        """What is held as long as this process uses the journal; ``None``: another one does."""
        file: IO[bytes] | None = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.with_suffix(".lock").open("ab")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            assert file is not None
            file.close()
            return None
        except OSError as error:
            # A file system without locks, or none that can be written: the first note tells that.
            _log.debug("the notes of a transfer cannot be locked: %s", error)
        return file if file is not None else open(os.devnull, "rb")

    def _shorten(self, keep: Iterable[str]) -> None:
        lines = [_line(["arrived", path, *vars(self.arrived[path]).values()]) for path in keep if path in self.arrived]
        if not lines:
            self._path.unlink(missing_ok=True)
            return
        part = self._path.with_suffix(".part")
        part.write_bytes(b"".join(lines))
        part.replace(self._path)

    def _read(self) -> None:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in content.splitlines():
            try:
                kind, path, *rest = json.loads(line)
                self._take(kind, path, rest)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                _log.debug("a line of %s is of no use: %s", self._path, error)

    def _take(self, kind: str, path: str, rest: list[Any]) -> None:
        if kind == "arrived":
            self.arrived[path] = Arrived(*rest)
        elif kind == "begun":
            self.begun[path] = Begun(*rest)
        elif kind == "part":
            number, digest, receipt = rest
            self.begun[path].parts[number] = Part(number, bytes.fromhex(digest), receipt)
        elif kind == "ended":
            self.begun.pop(path, None)

    def _write(self, record: list[Any]) -> None:
        line = _line(record)
        with self._lock:
            if self._broken:
                return
            try:
                if self._file is None:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                    # The line that a killed process has written half ends here.
                    os.write(self._file, b"\n")
                os.write(self._file, line)
            except OSError as error:
                # It only saves work: the transfer goes on.
                self._broken = True
                _log.warning(
                    "how far the transfer has come cannot be noted in %s (%s); if it is interrupted, some of it is "
                    "moved again",
                    self._path,
                    error.strerror,
                )


def packed(checksum: Checksum | None) -> str:
    """A checksum as text."""
    return "" if checksum is None else f"{checksum.md5}:{checksum.parts}:{checksum.part_bytes}"


def unpacked(text: str) -> Checksum | None:
    """The checksum in such a text."""
    if not text:
        return None
    md5, parts, part_bytes = text.split(":")
    return Checksum(md5, int(parts), int(part_bytes))


def _line(record: list[Any]) -> bytes:
    # All ASCII: names that are no UTF-8 stay what they are.
    return (json.dumps(record, separators=(",", ":")) + "\n").encode("ascii")
