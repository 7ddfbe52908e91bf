"""What several places, or a pattern, stand for: files under the names that a step finds them by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from aml_provider.spec.models import DataLocation
from aml_provider.storage.datastores import Store

_WILDCARDS = "*?["


def is_single(locations: Sequence[DataLocation]) -> bool:
    """Whether this is one place, which can be used where it is."""
    return len(locations) == 1 and not _is_pattern(locations[0].path)


def gathered(store: Store, path: str) -> list[tuple[str, str]]:
    """``(path in the store, path in the gathered folder)`` of what a place or a pattern means; empty for nothing.

    The folders before the first wildcard do not appear below the gathered folder.
    """
    found = store.glob(path) if _is_pattern(path) else [path]
    fixed = _fixed_part(path)
    named = []
    for item in found:
        if store.exists(item):
            inner = PurePosixPath(item).relative_to(fixed).as_posix() if fixed else item
            named.append((item, inner if inner != "." else PurePosixPath(item).name))
    return named


def _is_pattern(path: str) -> bool:
    return any(c in path for c in _WILDCARDS)


def _fixed_part(pattern: str) -> str:
    parts = PurePosixPath(pattern).parts
    kept: list[str] = []
    for part in parts[:-1]:
        if _is_pattern(part):
            break
        kept.append(part)
    return "/".join(kept)
