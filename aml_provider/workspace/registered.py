"""Datastores that programs have registered: their descriptions, in the workspace's state folder.

No credentials are here: those are in a connection, see :mod:`aml_provider.storage.kept_connections`.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from aml_provider.spec.errors import WorkspaceFileError

from .model import DatastoreConfig

#: Below the state folder.
NAME = "datastores.json"
CONNECTIONS_NAME = "connections.json"

# Path -> (what the file looked like, what it held): a parse asks for the datastores many times.
_read: dict[Path, tuple[tuple[int, int, int], dict[str, RegisteredDatastore]]] = {}


class RegisteredDatastore(DatastoreConfig):
    """A datastore as ``Datastore.register_...`` describes it.

    :param kind: v1's ``datastore_type``.
    :param details: what v1's object of that type shows; nothing of it is secret.
    """

    kind: str
    details: dict[str, Any] = Field(default_factory=dict)


def read_registered(state: Path) -> dict[str, RegisteredDatastore]:
    """Every registered datastore by name.

    :raises WorkspaceFileError: the file that keeps them cannot be read.
    """
    path = state / NAME
    try:
        stat = path.stat()
        # Each change makes a new file, which the clock of a file system may be too coarse to tell.
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        known = _read.get(path)
        if known is None or known[0] != stamp:
            content = json.loads(path.read_text(encoding="utf-8"))
            kept = state / CONNECTIONS_NAME
            made = {name: RegisteredDatastore(**value).kept_in(kept) for name, value in content.items()}
            known = _read[path] = (stamp, made)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise WorkspaceFileError(f"{path}: cannot be read: {error.strerror}.") from error
    except (ValueError, ValidationError, AttributeError, TypeError) as error:
        raise WorkspaceFileError(f"{path}: is damaged; remove it, and register its datastores again.") from error
    return dict(known[1])


def write_registered(state: Path, name: str, config: RegisteredDatastore | None) -> None:
    """Keep one datastore's description, or with ``None`` forget it.

    :raises WorkspaceFileError: the state folder cannot be written.
    """

    def change(content: dict[str, Any]) -> None:
        content.pop(name, None)
        if config is not None:
            content[name] = config.model_dump(mode="json", exclude_none=True)

    change_file(state / NAME, change, mode=0o644)


def change_file(path: Path, change: Callable[[dict[str, Any]], None], *, mode: int) -> None:
    """Change a JSON file of the state folder, one program at a time; readers see the old content or the new one.

    :param mode: who may read it, from the first byte on.
    :raises WorkspaceFileError: it cannot be written, or is damaged.
    """
    try:
        with _alone(path):
            content = _content(path)
            change(content)
            _replace(path, content, mode)
    except OSError as error:
        raise WorkspaceFileError(
            f"{error.filename or path}: cannot be written ({error.strerror}); make room there, or set state: in the "
            "workspace file to another folder."
        ) from error


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise WorkspaceFileError(f"{path}: is damaged; remove it, and do again what it kept.")
    return content


def _replace(path: Path, content: Mapping[str, Any], mode: int) -> None:
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            json.dump(content, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(descriptor)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.parent / f".{path.name}.lock", "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
