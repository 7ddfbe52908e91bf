"""A version of a registered dataset: made when the data or the dataset is another one."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

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


def registered_version(
    dataset: AbstractDataset,
    workspace: Workspace,
    name: str,
    description: str | None,
    tags: dict[str, str] | None,
    create_new_version: bool,
) -> int:
    """The version of this dataset with its data as it is now.

    :raises UserErrorException: the name is taken by another dataset, and there is to be no new version.
    """
    if not isinstance(name, str) or not name.strip():
        raise UserErrorException(f"Dataset.register: the name is {name!r}, but must be text that is not empty.")
    known = registry.versions(workspace, KIND, name)
    last = known[-1] if known else None
    same = last is not None and same_data(from_record(last[1]), dataset.source)
    if last is not None and not same and not create_new_version:
        raise UserErrorException(
            f"Dataset.register: {name!r} is registered with other content; pass create_new_version=True."
        )
    files = _files(dataset, workspace) if is_program() else None
    if last is not None and same:
        before = pin_from(last[1])
        if files is None or before is None or pin_of(files).digest == before.digest:
            return last[0]
        if not create_new_version:
            warnings.warn(
                f"Dataset.register: the data of {name!r} is not what was registered as version {last[0]}; pass "
                "create_new_version=True to have a version of it as it is now.",
                stacklevel=3,
            )
            return last[0]
    record: dict[str, Any] = {**to_record(dataset.source), "description": description, "tags": dict(tags or {})}
    if files is not None:
        record["pin"] = asdict(pin_of(files))
    return registry.add(workspace, KIND, name, record, files)


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
