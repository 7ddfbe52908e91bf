"""``aml data register``."""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

from aml_provider.cli.data_places import in_datastore
from aml_provider.sdk import registry
from aml_provider.sdk.dataset_factory import FileDatasetFactory, TabularDatasetFactory
from aml_provider.sdk.dataset_registering import KIND
from aml_provider.sdk.datastore import datastore_object
from aml_provider.sdk.workspace import Workspace
from aml_provider.spec.errors import AmlError
from aml_provider.workspace.discovery import load_workspace

_MAKERS: dict[str, Any] = {
    "file": FileDatasetFactory.from_files,
    "delimited": TabularDatasetFactory.from_delimited_files,
    "parquet": TabularDatasetFactory.from_parquet_files,
    "json-lines": TabularDatasetFactory.from_json_lines_files,
}


def register_dataset(
    name: str,
    places: list[str],
    kind: str,
    description: str | None,
    tags: dict[str, str],
    *,
    new_version: bool,
    as_json: bool,
) -> None:
    """Register places as a dataset and print its version.

    :raises AmlError: there are no files, or the name is taken by another dataset.
    """
    workspace = Workspace.of(load_workspace())
    found = [in_datastore(text, workspace.loaded, "PLACE") for text in places]
    pairs = [(datastore_object(workspace, place.store.name), place.clean) for place in found]
    for place in found:
        if not place.store.glob(place.clean):
            raise AmlError(
                f"there are no files at {place.clean or 'the root'!r} in datastore {place.store.name!r}; upload them "
                "first, or correct the path"
            )
    before = {version for version, _ in registry.versions(workspace, KIND, name)}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            made = _MAKERS[kind](pairs, validate=False).register(
                workspace, name, description=description, tags=tags, create_new_version=new_version
            )
        except AmlError as error:
            raise AmlError(_ours(str(error))) from None
    for warning in told:
        print(f"aml: {_ours(str(warning.message))}", file=sys.stderr)
    is_new = made.version not in before
    if as_json:
        print(json.dumps({"name": name, "version": made.version, "new": is_new}, indent=2))
    else:
        print(f"{name}: version {made.version}{'' if is_new else ', registered before'}")


def _ours(text: str) -> str:
    """A sentence of the SDK, in the words of the command line."""
    return text.replace("create_new_version=True", "--new-version").removeprefix("Dataset.register: ")
