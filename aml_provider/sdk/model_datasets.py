"""The datasets that a model is registered with: kept by their ids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aml_provider.sdk.exceptions import WebserviceException
from aml_provider.spec.errors import AmlError

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace


def check(dataset: Any, call: str) -> str | None:
    """A dataset's id.

    :raises WebserviceException: it is none, or is not registered.
    """
    if dataset is None:
        return None
    from aml_provider.sdk.abstract_dataset import AbstractDataset

    if not isinstance(dataset, AbstractDataset):
        raise WebserviceException(f"{call}: {dataset!r} is no dataset.")
    if dataset.id is None:
        raise WebserviceException(f"{call}: {dataset!r} is not registered; register it first, with dataset.register.")
    return dataset.id


def check_pairs(datasets: Any, call: str) -> tuple[tuple[str, str], ...]:
    """Pairs of a purpose and a dataset, as purpose and id.

    :raises WebserviceException: they are no such pairs.
    """
    found: list[tuple[str, str]] = []
    for pair in datasets or ():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not isinstance(pair[0], str):
            raise WebserviceException(
                f"{call}: datasets must be pairs such as ('training data', dataset), and {pair!r} is none."
            )
        found.append((pair[0], str(check(pair[1], call))))
    return tuple(found)


def dataset(workspace: Workspace, id: str | None) -> Any:
    """The dataset with this id; ``None`` where the workspace has it no more."""
    from aml_provider.sdk.abstract_dataset import AbstractDataset

    try:
        return None if id is None else AbstractDataset.get_by_id(workspace, id)
    except AmlError:
        return None


def by_purpose(workspace: Workspace, datasets: Iterable[tuple[str, str]]) -> dict[str, list[Any]]:
    """The datasets by what they were to the model."""
    found: dict[str, list[Any]] = {}
    for purpose, id in datasets:
        found.setdefault(purpose, []).append(dataset(workspace, id))
    return found
