"""Registered datasets and environments as a pipeline file sees them.

While a file is parsed nothing is written; what the file registers is remembered for the rest of that parse, so that
it can get it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aml_provider.sdk.life import is_program

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace
    from aml_provider.storage.registry import Registry


def _stored(workspace: Workspace, kind: str) -> Registry:
    # Imported on use: every pipeline file imports this module, and most register and look up nothing.
    from aml_provider.storage.registry import Registry

    return Registry.of(workspace.loaded, kind)


def _remembered(workspace: Workspace, kind: str) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    kinds: dict[str, dict[str, list[tuple[int, dict[str, Any]]]]] = workspace.shared.registered
    return kinds.setdefault(kind, {})


def names(workspace: Workspace, kind: str) -> list[str]:
    """Every registered name of this kind."""
    return sorted(_stored(workspace, kind).names() | set(_remembered(workspace, kind)))


def versions(workspace: Workspace, kind: str, name: str) -> list[tuple[int, dict[str, Any]]]:
    """``(version, record)`` of every version, the newest last."""
    stored = _stored(workspace, kind).versions(name)
    return sorted([*stored, *_remembered(workspace, kind).get(name, [])], key=lambda v: v[0])


def add(
    workspace: Workspace,
    kind: str,
    name: str,
    record: dict[str, Any],
    files: dict[str, tuple[str, int]] | None = None,
) -> int:
    """Register a new version; its number.

    :param files: the files that it consists of, each with digest and size.
    """
    if is_program():
        return _stored(workspace, kind).add(name, record, files)
    known = versions(workspace, kind, name)
    version = known[-1][0] + 1 if known else 1
    _remembered(workspace, kind).setdefault(name, []).append((version, {**record, "name": name}))
    return version
