"""v1 ``TabularDataset.partition_by``."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from aml_provider.sdk.dataset_factory import places
from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import is_program
from aml_provider.spec.models import DataLocation
from aml_provider.spec.tables import TabularFormat

if TYPE_CHECKING:
    from aml_provider.sdk.tabular_dataset import TabularDataset


def partitioned(dataset: TabularDataset, keys: Any, target: Any, as_files: bool) -> Any:
    """The dataset of the rows below ``target``, in one folder per combination of values."""
    from aml_provider.sdk.file_dataset import FileDataset

    names = [keys] if isinstance(keys, str) else list(keys or ())
    if not names or not all(isinstance(key, str) and key for key in names) or len(set(names)) < len(names):
        raise UserErrorException(f"partition_by: partition_keys is {keys!r}, but must be a list of columns, each once.")
    if any(character in key for key in names for character in "{}:/"):
        raise UserErrorException(f"partition_by: the columns {names} cannot be keys: braces, colons and slashes.")
    workspace, (place, *_), _ = places(target, "partition_by")
    root = DataLocation(datastore=place.datastore, path=f"{place.path}/{_own_name(dataset, names)}".lstrip("/"))
    if is_program():
        from aml_provider.datasets.partitioning import write_partitions

        with dataset._complaints():
            write_partitions(dataset._stores(), dataset.source, names, root)
    form = "/".join(f"{{{key}}}" for key in names) + "/*.parquet"
    if as_files:
        return FileDataset.of(workspace, [root], partition_format=form)
    tabular = TabularFormat(format="parquet", partition_format=form, quoted=True)
    return type(dataset).of(workspace, [root], tabular)


def _own_name(dataset: TabularDataset, keys: list[str]) -> str:
    """A folder of its own, the same whenever the file is run or parsed."""
    said = json.dumps(
        [dataset.source.model_dump(mode="json", exclude={"name", "version", "derived"}), keys], sort_keys=True
    )
    return hashlib.sha256(said.encode()).hexdigest()[:16]
