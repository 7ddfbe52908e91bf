"""Names that a store can have, and names that would do harm."""

from __future__ import annotations

# What ext4, xfs and most other file systems take.
FILE_NAME_BYTES = 255
FILE_PATH_BYTES = 4095


def harmful(path: str) -> str | None:
    """Why a relative path must not be used anywhere, as the end of a sentence; ``None``: it may."""
    if "\0" in path:
        return "has a NUL character in its name"
    parts = path.split("/")
    if ".." in parts:
        return "would lead out of the destination"
    if "" in parts or "." in parts:
        return "has an empty part or a dot in its path, which no folder could keep"
    return None


def no_file_name(path: str, full: str) -> str | None:
    """Why a file system cannot have a file of this path.

    :param full: the whole path there.
    """
    for part in path.split("/"):
        size = len(part.encode("utf-8", "surrogateescape"))
        if size > FILE_NAME_BYTES:
            return f"has a name of {size} bytes, and the destination takes {FILE_NAME_BYTES}"
    if len(full.encode("utf-8", "surrogateescape")) > FILE_PATH_BYTES:
        return f"has a path of more than {FILE_PATH_BYTES} bytes at the destination"
    return None


def no_object_name(key: str, limit: int, *, characters: bool = False) -> str | None:
    """Why an object store cannot have an object of this key.

    :param limit: how long a key may be: in bytes, or in ``characters``.
    """
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "has a name that is no valid UTF-8, which the destination cannot keep"
    size = len(key) if characters else len(encoded)
    if size > limit:
        unit = "characters" if characters else "bytes"
        return f"would have a name of {size} {unit} there, and the destination takes {limit}"
    return None
