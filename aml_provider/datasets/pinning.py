"""What the data of a registered version was, and whether it still is that.

The identity of every file is kept at registration. Azure ML keeps only paths, so that a version silently becomes other
data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aml_provider.datasets.access import Stores
from aml_provider.spec.models import DatasetSource
from aml_provider.storage.digest_cache import DigestCache
from aml_provider.storage.digests import tree_digest
from aml_provider.storage.gathering import files_at
from aml_provider.storage.registry import DATASETS, Registry

#: ``datastore:path`` -> digest and size in bytes.
Files = dict[str, tuple[str, int]]
_NAMED = 3


@dataclass(frozen=True)
class Pin:
    """The data of a version, as it was registered.

    :param digest: of all names and contents.
    :param bytes: of all files together.
    """

    digest: str
    files: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.files} files of {self.bytes} bytes"


def files_now(stores: Stores, dataset: DatasetSource, cache: DigestCache | None) -> Files:
    """Every file at the places of a dataset, whatever its operations choose.

    :raises AmlError: a store cannot say whether its files change.
    """
    paths: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for found in files_at(stores, dataset.locations):
        paths.setdefault(found.store.name, []).append(found.item.path)
        sizes[f"{found.store.name}:{found.item.path}"] = found.item.size or 0
    files: Files = {}
    for datastore, those in paths.items():
        for path, content in zip(those, stores(datastore).contents(those, cache), strict=True):
            if content is not None:
                files[f"{datastore}:{path}"] = (content.digest, sizes[f"{datastore}:{path}"])
    return files


def pin_of(files: Files) -> Pin:
    """The pin of these files."""
    digest = tree_digest((name, digest) for name, (digest, _) in files.items())
    return Pin(digest, len(files), sum(size for _, size in files.values()))


def pin_from(record: Mapping[str, Any]) -> Pin | None:
    """The pin in a version's record; ``None``: the data could not be looked at when it was registered."""
    kept = record.get("pin")
    return Pin(kept["digest"], kept["files"], kept["bytes"]) if kept else None


def what_changed(
    stores: Stores,
    dataset: DatasetSource,
    cache: DigestCache | None,
    *,
    quick: bool = False,
) -> str | None:
    """A sentence about a registered version whose data is not what it was; ``None``: it is, or nobody can tell.

    :param quick: look at names and sizes only.
    :raises AmlError: a store cannot be looked at.
    """
    if dataset.name is None or dataset.version is None:
        return None
    registry = Registry.of(stores.workspace, DATASETS)
    record = next((r for v, r in registry.versions(dataset.name) if v == dataset.version), None)
    pin = pin_from(record or {})
    if pin is None:
        return None
    before = registry.files(dataset.name, dataset.version)
    if quick:
        sizes = {f"{f.store.name}:{f.item.path}": f.item.size or 0 for f in files_at(stores, dataset.locations)}
        if before is not None:
            now: Files = {name: (before.get(name, ("", 0))[0], size) for name, size in sizes.items()}
        elif len(sizes) == pin.files and sum(sizes.values()) == pin.bytes:
            return None
        else:
            now = {name: ("", size) for name, size in sizes.items()}
    else:
        now = files_now(stores, dataset, cache)
    if (now == before) if before is not None else (pin_of(now).digest == pin.digest):
        return None
    return (
        f"dataset {dataset.name!r} version {dataset.version}: its data is not what was registered: "
        f"{_told(before, now, pin)}. What is there now is used; register it with create_new_version=True to give it a "
        "version of its own"
    )


def _told(before: Files | None, now: Files, pin: Pin) -> str:
    if before is None:
        return f"it was {pin}, and is {pin_of(now)}"
    changes = {
        "changed": [name for name in now if name in before and now[name] != before[name]],
        "new": [name for name in now if name not in before],
        "gone": [name for name in before if name not in now],
    }
    return "; ".join(f"{what}: {_listed(names)}" for what, names in changes.items() if names)


def _listed(names: list[str]) -> str:
    shown = ", ".join(name.partition(":")[2] for name in sorted(names)[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"
