"""What several places, or a pattern, stand for: files under the names that a step finds them by."""

from __future__ import annotations

from collections.abc import Sequence

from aml_provider.spec.models import DataLocation
from aml_provider.storage.datastores import Store
from aml_provider.storage.paths import glob_root, is_glob, normalized


def is_single(locations: Sequence[DataLocation]) -> bool:
    """Whether this is one place, which can be used where it is."""
    return len(locations) == 1 and not is_glob(locations[0].path)


def gathered(store: Store, path: str) -> list[tuple[str, str]]:
    """``(path in the store, path in the gathered folder)`` of what a place or a pattern means; empty for nothing.

    The folders before the first wildcard do not appear below the gathered folder.
    """
    place = normalized(path, store.name)
    if is_glob(place):
        found, above = store.glob(place), glob_root(place)
    else:
        found, above = [place], place.rpartition("/")[0]
    inside = len(above) + 1 if above else 0
    # A glob lists links that lead nowhere too.
    return [(item, item[inside:]) for item in found if store.exists(item)]
