"""A version of a registered dataset: made when the data or the dataset is another one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from aml_provider.datasets.access import Stores
from aml_provider.datasets.pinning import Files, files_now, pin_from, pin_of
from aml_provider.datasets.records import from_record, same_data, to_record
from aml_provider.sdk import registry
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import is_program
from aml_provider.spec.errors import AmlError

if TYPE_CHECKING:
    from aml_provider.sdk.abstract_dataset import AbstractDataset
    from aml_provider.sdk.workspace import Workspace

KIND = "datasets"


class Version(NamedTuple):
    """A version, and what is said of it."""

    number: int
    description: str | None
    tags: dict[str, str]

    @classmethod
    def known(cls, number: int, record: Mapping[str, Any]) -> Version:
        """One that is registered."""
        return cls(number, record.get("description"), dict(record.get("tags") or {}))


def registered_version(
    dataset: AbstractDataset,
    workspace: Workspace,
    name: str,
    description: str | None,
    tags: dict[str, str] | None,
    create_new_version: bool,
) -> Version:
    """The version of this dataset with its data as it is now, of which this is said; what is ``None`` may be anything.

    :raises UserErrorException: the name is taken by another dataset, and there is to be no new version.
    """
    if not isinstance(name, str) or not name.strip():
        raise UserErrorException(f"Dataset.register: the name is {name!r}, but must be text that is not empty.")
    if not hasattr(workspace, "loaded"):
        raise UserErrorException(f"Dataset.register: workspace is {workspace!r}; give a Workspace.")
    known = registry.versions(workspace, KIND, name)
    last = known[-1] if known else None
    same = last is not None and same_data(from_record(last[1]), dataset.source)
    if last is not None and not same and not create_new_version:
        raise UserErrorException(
            f"Dataset.register: {name!r} is registered with other content; pass create_new_version=True."
        )
    files = _files(dataset, workspace) if is_program() else None
    if last is not None and same:
        before, found = pin_from(last[1]), Version.known(*last)
        other_data = files is not None and before is not None and pin_of(files).digest != before.digest
        other_words = description not in (None, found.description) or tags not in (None, found.tags)
        if not other_data and not other_words:
            return found
        if not create_new_version:
            what = "the data" if other_data else "the description or the tags"
            warnings.warn(
                f"Dataset.register: {what} of {name!r} {'is' if other_data else 'are'} not what was registered as "
                f"version {found.number}; pass create_new_version=True to have a version of it as it is now.",
                stacklevel=3,
            )
            return found
    record: dict[str, Any] = {**to_record(dataset.source), "description": description, "tags": dict(tags or {})}
    if files is not None:
        record["pin"] = asdict(pin_of(files))
    return Version.known(registry.add(workspace, KIND, name, record, files), record)


def _files(dataset: AbstractDataset, workspace: Workspace) -> Files | None:
    """Its files as they are now; ``None`` when they cannot be looked at, or are none."""
    from aml_provider.storage.digest_cache import DigestCache

    if dataset.source.query is not None:
        return None
    try:
        with DigestCache(workspace.loaded.state / "cache") as cache:
            return files_now(Stores(workspace.loaded), dataset.source, cache)
    except (AmlError, OSError) as problem:
        warnings.warn(
            f"Dataset.register: what {dataset!r} consists of now cannot be kept, so nobody will be told when it "
            f"changes: {problem}",
            stacklevel=4,
        )
        return None
