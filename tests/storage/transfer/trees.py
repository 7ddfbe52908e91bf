"""Folders to move, and what has become of them."""

from __future__ import annotations

import os
import random
from pathlib import Path

#: Names that a careless program trips over, and every store can have.
ODD_NAMES = (
    "with blanks /and more .csv",
    "-rf",
    "--option=x",
    "ünï/çødé-日本.txt",
    "quote'\"s",
    "semi;colon & $HOME `x`",
    "per%20cent#hash?query=1",
    "UPPER",
    "upper",
    "star*/que?stion",
    "[a-z]",
    ".hidden/.file",
    "dots..and...more",
    "x" * 200,
)


def content(number: int, size: int) -> bytes:
    """Bytes that no compression and no luck make equal."""
    return random.Random(number).randbytes(size)


def write(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def odd_tree(big: int = 0) -> dict[str, bytes]:
    """A tree with odd names, an empty file, and perhaps one big one."""
    files = {name: content(number, 10 * number) for number, name in enumerate(ODD_NAMES)}
    files["empty"] = b""
    files["deep/er/and/deeper/file.bin"] = content(99, 70_000)
    if big:
        files["big.bin"] = content(100, big)
    return files


def age(folder: Path, seconds: float = 60) -> None:
    """Make files as old as data mostly is: of one that has just been written, a time tells little."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            was = path.stat().st_mtime
            os.utime(path, (was - seconds, was - seconds))
