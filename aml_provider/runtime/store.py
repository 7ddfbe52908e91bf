"""Where a run's reports go: into the attempt's folder inside a step, to the terminal outside one."""

from __future__ import annotations

import os

from .exceptions import UserErrorException
from .files import make_folder, open_to_all, place, regular_files
from .journal import Journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

_LATE = ("outputs", "logs")
"""Folders of the working directory that become artifacts when the command ends; visible to the script before."""


def artifact_name(name: Any, call: str) -> str:
    """A name in the run's artifacts: relative, with forward slashes, inside the run.

    :raises UserErrorException: when it is none.
    """
    parts = [part for part in str(name).replace("\\", "/").split("/") if part not in ("", ".")]
    if not isinstance(name, (str, os.PathLike)) or not parts or ".." in parts or str(name).startswith("/"):
        raise UserErrorException(
            f"{call}: {name!r} is not a name for a file of the run: use a relative path such as outputs/model.pkl."
        )
    return "/".join(parts)


class StepStore:
    """The attempt's folder: ``events.jsonl`` and ``artifacts/``.

    :param folder: the attempt's folder.
    :param working_directory: where the command runs; its ``./outputs`` and ``./logs`` are collected at the end.
    """

    def __init__(self, folder: str, working_directory: str) -> None:
        self._journal = Journal(folder)
        self._artifacts = os.path.join(folder, "artifacts")
        self._scratch = os.path.join(folder, ".partial")
        self._working_directory = working_directory

    def append(self, event: dict[str, Any]) -> None:
        """Record one event."""
        self._journal.append(event)

    def events(self) -> Iterator[dict[str, Any]]:
        """Everything recorded so far by every process of the step."""
        return self._journal.events()

    def put(self, name: str, source: Any) -> None:
        """Store a file, or the content of a binary stream, as artifact ``name``.

        :raises UserErrorException: when the name is taken, as in Azure ML.
        """
        target = os.path.join(self._artifacts, name)
        if os.path.exists(target):
            raise UserErrorException(f'The run already has a file "{name}": files of a run cannot be replaced.')
        try:
            if hasattr(source, "read"):
                self._put_stream(source, target)
            else:
                place(os.fspath(source), target, self._scratch)
        except OSError as error:
            raise UserErrorException(f'The file "{name}" could not be stored with the run: {error}.') from error

    def find(self, name: str) -> str | None:
        """Path of an artifact (file or folder), looked for among the uploaded and the ones to be collected."""
        places = [os.path.join(self._artifacts, name)]
        if name.split("/", maxsplit=1)[0] in _LATE:
            places.append(os.path.join(self._working_directory, name))
        return next((place for place in places if os.path.exists(place)), None)

    def names(self) -> list[str]:
        """Names of all artifacts so far."""
        found: set[str] = set()
        if os.path.isdir(self._artifacts):
            found.update(name for _, name in regular_files(self._artifacts))
        for folder in _LATE:
            path = os.path.join(self._working_directory, folder)
            if os.path.isdir(path):
                found.update(f"{folder}/{name}" for _, name in regular_files(path))
        return sorted(found)

    def _put_stream(self, stream: Any, target: str) -> None:
        make_folder(os.path.dirname(target))
        make_folder(self._scratch)
        partial = os.path.join(self._scratch, f"{os.getpid()}-{os.urandom(6).hex()}")
        try:
            with open(partial, "wb") as file:
                while True:
                    data = stream.read(1 << 20)
                    if not data:
                        break
                    file.write(data.encode("utf-8") if isinstance(data, str) else data)
            open_to_all(partial)
            os.replace(partial, target)
        except BaseException:
            if os.path.exists(partial):
                os.unlink(partial)
            raise


class OfflineStore:
    """For a script that runs outside a step: what it reports is printed and kept in memory, files stay in place."""

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []

    def append(self, event: dict[str, Any]) -> None:
        """Remember an event and say it."""
        self._events.append(event)
        kind = event["type"]
        if kind == "metric":
            step = "" if event["step"] is None else f" (step {event['step']})"
            print(f"Metric {event['name']}{step}: {event['value']}", flush=True)
        elif kind in ("tag", "property"):
            print(f"{kind.capitalize()} {event['key']}: {event['value']}", flush=True)
        elif kind == "artifact":
            print(f"File {event['name']} would be stored with the run.", flush=True)
        elif kind == "model":
            print(f"Model {event['name']} would be registered from {event['path']}.", flush=True)
        elif kind == "fail":
            print(f"The run would fail: {event['message']}", flush=True)

    def events(self) -> Iterator[dict[str, Any]]:
        """Everything reported so far by this process."""
        return iter(self._events)

    def put(self, name: str, source: Any) -> None:
        """Check that there is a file to store.

        :raises UserErrorException: when there is none.
        """
        if not hasattr(source, "read") and not os.path.isfile(source):
            raise UserErrorException(f'The file "{name}" cannot be stored: {source} does not exist.')

    def find(self, name: str) -> str | None:
        """Path of a file of the current directory under this name."""
        return name if os.path.exists(name) else None

    def names(self) -> list[str]:
        """Names of the files reported so far."""
        return sorted({event["name"] for event in self._events if event["type"] == "artifact"})
