"""v1 ``Dataset.Tabular.register_pandas_dataframe``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from aml_provider.sdk.dataset_factory import places
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import is_program
from aml_provider.spec.models import DataLocation
from aml_provider.spec.tables import TabularFormat


def register_frame(
    dataframe: Any,
    target: Any,
    name: str,
    description: str | None,
    tags: dict[str, str] | None,
    show_progress: bool,
    row_group_size: int | None,
    make_target_path_unique: bool,
) -> Any:
    """A registered dataset of a pandas data frame."""
    from aml_provider.sdk import registry
    from aml_provider.sdk.abstract_dataset import KIND, AbstractDataset
    from aml_provider.sdk.tabular_dataset import TabularDataset

    workspace, (place, *_), (store, *_) = places(target, "Dataset.Tabular.register_pandas_dataframe")
    if not is_program():
        # What the program has registered, or will.
        if registry.versions(workspace, KIND, name):
            return AbstractDataset.get_by_name(workspace, name)
        return TabularDataset.of(workspace, [place], TabularFormat(format="parquet")).register(workspace, name)
    if not hasattr(dataframe, "to_parquet"):
        raise UserErrorException(
            f"Dataset.Tabular.register_pandas_dataframe: {name!r} is to be a pandas data frame, not a "
            f"{type(dataframe).__name__}."
        )
    with tempfile.TemporaryDirectory(prefix="frame-") as folder:
        file = Path(folder) / "part-00000.parquet"
        dataframe.to_parquet(file, index=False, row_group_size=row_group_size)
        path = place.path
        if make_target_path_unique:
            from aml_provider.storage.digests import file_digest

            path = f"{path}/{file_digest(file)[:16]}".lstrip("/")
        store.store.put(file, f"{path}/{file.name}".lstrip("/"))
    if show_progress:
        print(f"Uploaded {name} to {place.datastore}/{path}")
    made = TabularDataset.of(
        workspace, [DataLocation(datastore=place.datastore, path=path)], TabularFormat(format="parquet")
    )
    return made.register(workspace, name, description, tags, create_new_version=True)
