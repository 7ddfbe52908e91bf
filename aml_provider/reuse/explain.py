"""Why a step runs: its nearest earlier result, what differs from it, and what to do about that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aml_provider.reuse.changes import Change, changes_between
from aml_provider.reuse.fingerprint import Fingerprint
from aml_provider.reuse.index import ReuseIndex
from aml_provider.reuse.records import Record

__all__ = ["Change", "Difference", "changes_between", "nearest", "shared_folder_hint"]

# How many earlier results of a step are compared.
COMPARED = 20


@dataclass(frozen=True)
class Difference:
    """The nearest earlier result and what differs from it.

    :param record: ``None``: the step has no earlier result.
    """

    record: Record | None
    changes: tuple[Change, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The kinds of ingredients that differ."""
        return tuple(dict.fromkeys(c.part for c in self.changes))


def nearest(fingerprint: Fingerprint, step: str, index: ReuseIndex, before: float | None = None) -> Difference:
    """The earlier result of the step with this name that differs in the fewest things; of equals, the newest.

    :param before: only results that are older than this moment (seconds since the epoch).
    """
    best: Difference | None = None
    newest = index.newest_of_step(step, COMPARED + 1, before)
    for record in [r for r in newest if r.fingerprint != fingerprint.key][:COMPARED]:
        changes = tuple(changes_between(record, fingerprint, index))
        if best is None or len(changes) < len(best.changes):
            best = Difference(record, changes)
    return best or Difference(None)


def shared_folder_hint(
    step: str, directory: str | None, parts: Mapping[str, Any], changes: Sequence[Change], others: int
) -> str | None:
    """What to do about a step that runs because a file of its neighbours has changed; ``None``: that is not why.

    :param directory: its source directory, as its author wrote it.
    :param parts: its ingredients.
    :param others: how many more steps of the pipeline have the same source directory.
    """
    own = _own_files(parts.get("command") or [])
    foreign = [c.name for c in changes if c.part == "code" and c.name and not own(c.name)]
    if directory is None or not others or not foreign:
        return None
    more = len(foreign) - 1
    files = f"{foreign[0]} and {more} more file{'s' if more > 1 else ''}" if more else foreign[0]
    script = f"{parts['command'][1]}, ..." if len(parts.get("command") or []) == 3 else "..."
    return (
        f"{others + 1} steps share source_directory {directory!r}, and {files} may be of use only to others of them; "
        f"give step {step!r} its own files with `reuse: steps: {step}: include: [{script}]` in workspace.yaml"
    )


def _own_files(command: Sequence[Any]) -> Callable[[str], bool]:
    """Says whether a file is the script that a step runs, or is named in its command."""
    if len(command) == 3:
        return lambda file: file == command[1]
    words = [str(word[1]) for word in (command[-1] if command else []) if word[0] == "text"]
    return lambda file: any(file in word for word in words)
