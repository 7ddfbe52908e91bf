"""v1 ``Workspace``: a view of the workspace file, under the name of an Azure ``config.json`` if there is one."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aml_provider.sdk.exceptions import UserErrorException
from aml_provider.sdk.life import is_program, scope
from aml_provider.sdk.plain import plain_errors
from aml_provider.sdk.source import calling_source, find_file, looked_in
from aml_provider.sdk.unavailable import NamedMapping, PartOfV1
from aml_provider.workspace.discovery import load_workspace

if TYPE_CHECKING:
    from aml_provider.spec.models import ComputeSpec
    from aml_provider.workspace.resolved import LoadedWorkspace

CONFIG_FILE = "config.json"
CONFIG_FOLDERS = ("", ".azureml", "aml_config")


@dataclass
class Shared:
    """What a pipeline file changes in a workspace; every ``Workspace`` object of that file sees it."""

    provisioned: dict[str, ComputeSpec] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    default_datastore: str | None = None
    registered: dict[str, Any] = field(default_factory=dict)


# Kept per file that is being read: what one file provisions must not exist for the next file of the same process.
_shared: dict[tuple[Any, ...], Shared] = {}


class Workspace(PartOfV1):
    """A workspace: datastores, compute targets, and the name that runs are recorded under.

    Changed: there is no service to ask, so any name answers; what it has is declared in ``workspace.yaml``
    (:func:`~aml_provider.workspace.discovery.load_workspace` says where that is found). ``auth`` has no meaning.

    :param subscription_id: kept as a property, like the resource group.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "update_dependencies": "there is no Azure workspace to update",
        "delete": "the workspace is its workspace.yaml; delete that file and its state folder",
        "get_default_keyvault": "keep secrets in Airflow connections",
        "add_private_endpoint": "there is no Azure network",
        "delete_private_endpoint_connection": "there is no Azure network",
        "list_keys": "there are no Azure keys",
        "diagnose_workspace": "there is no Azure workspace; `aml validate FILE` checks a pipeline file",
        "set_connection": "declare an Airflow connection",
        "list_connections": "`airflow connections list` lists them",
        "get_connection": "use airflow.sdk.Connection.get",
        "delete_connection": "`airflow connections delete` deletes one",
        "update": "edit workspace.yaml",
        "sync_keys": "there are no Azure keys",
        "private_endpoints": "there is no Azure network",
        "images": "Azure's image registry does not exist here",
        "webservices": "serving models is not part of this package",
        "linked_services": "declare an Airflow connection",
        "service_context": "there is no Azure service",
        "discovery_url": "there is no Azure service",
    }

    DEFAULT_CPU_CLUSTER_NAME = "cpu-cluster"
    DEFAULT_GPU_CLUSTER_NAME = "gpu-cluster"

    def __init__(
        self,
        subscription_id: str | None,
        resource_group: str | None,
        workspace_name: str,
        auth: Any = None,
        sku: str = "basic",
        tags: dict[str, str] | None = None,
    ) -> None:
        loaded = load_workspace(beside=calling_source().folder)
        self._set(loaded.renamed(workspace_name, subscription_id, resource_group), sku, tags)

    def _set(self, loaded: LoadedWorkspace, sku: str = "basic", tags: dict[str, str] | None = None) -> None:
        #: The workspace file behind this object.
        self.loaded = loaded
        #: What the pipeline file changed in this workspace.
        self.shared = _shared.setdefault((scope(), str(loaded.path), loaded.name), Shared())
        self.sku = sku
        self._tags = tags

    @classmethod
    def of(cls, loaded: LoadedWorkspace) -> Workspace:
        """A workspace object for a loaded workspace file."""
        workspace = cls.__new__(cls)
        workspace._set(loaded)
        return workspace

    # --- ways to get one ------------------------------------------------------------------------------------

    @staticmethod
    @plain_errors
    def from_config(path: str | os.PathLike[str] | None = None, auth: Any = None) -> Workspace:
        """The workspace that ``config.json`` names, or the workspace file's own one when there is no such file.

        :param path: a ``config.json``, a folder to look for it in, or (new) a ``workspace.yaml``.
        :raises UserErrorException: ``path`` does not exist, or is not a usable file.
        """
        source = calling_source()
        if path is not None and str(path).endswith((".yaml", ".yml")):
            return Workspace.of(load_workspace(find_file(path, source) or Path(path)))
        loaded = load_workspace(beside=source.folder)
        if path is None:
            config = _upward(Path.cwd()) or _upward(source.folder)
        else:
            found = find_file(path, source)
            if found is None:
                raise UserErrorException(
                    f"Workspace.from_config: {str(path)!r} does not exist; looked in {looked_in(path, source)}."
                )
            config = _upward(found) if found.is_dir() else found
        return Workspace.of(loaded if config is None else _renamed(loaded, config))

    @staticmethod
    def get(
        name: str,
        auth: Any = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        cloud: str = "AzureCloud",
        id: str | None = None,
    ) -> Workspace:
        """The workspace under this name."""
        loaded = load_workspace(beside=calling_source().folder)
        return Workspace.of(loaded.renamed(name, subscription_id, resource_group, location))

    @staticmethod
    def create(
        name: str,
        auth: Any = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        create_resource_group: bool = True,
        sku: str = "basic",
        tags: dict[str, str] | None = None,
        friendly_name: str | None = None,
        storage_account: str | None = None,
        key_vault: str | None = None,
        app_insights: str | None = None,
        container_registry: str | None = None,
        adb_workspace: str | None = None,
        primary_user_assigned_identity: str | None = None,
        cmk_keyvault: str | None = None,
        resource_cmk_uri: str | None = None,
        hbi_workspace: bool = False,
        default_cpu_compute_target: Any = None,
        default_gpu_compute_target: Any = None,
        private_endpoint_config: Any = None,
        private_endpoint_auto_approval: bool = True,
        exist_ok: bool = False,
        show_output: bool = True,
        user_assigned_identity_for_cmk_encryption: str | None = None,
        system_datastores_auth_mode: str = "accessKey",
        v1_legacy_mode: bool | None = None,
    ) -> Workspace:
        """The same as :meth:`get`: there is nothing to create, and everything about Azure is ignored."""
        workspace = Workspace.of(
            load_workspace(beside=calling_source().folder).renamed(name, subscription_id, resource_group, location)
        )
        workspace.sku, workspace._tags = sku, tags
        return workspace

    @staticmethod
    def list(
        subscription_id: str | None, auth: Any = None, resource_group: str | None = None
    ) -> dict[str, list[Workspace]]:
        """Name -> the one workspace that there is."""
        workspace = Workspace.of(load_workspace(beside=calling_source().folder))
        return {workspace.name: [workspace]}

    @staticmethod
    def setup() -> Workspace:
        """The same as :meth:`from_config`."""
        return Workspace.from_config()

    def write_config(self, path: str | None = None, file_name: str | None = None) -> None:
        """Write ``.azureml/config.json`` below ``path`` (default: the current directory), as v1 does."""
        if not is_program():
            return
        folder = Path(path or ".") / ".azureml"
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "subscription_id": self.subscription_id,
            "resource_group": self.resource_group,
            "workspace_name": self.name,
        }
        (folder / (file_name or CONFIG_FILE)).write_text(json.dumps(content, indent=4), encoding="utf-8")

    # --- what it is -----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name that runs are recorded under."""
        return self.loaded.name

    @property
    def subscription_id(self) -> str:
        """Azure's id, as ``config.json`` or the workspace file has it; else empty, since v1 always has a text."""
        return self.loaded.file.subscription_id or ""

    @property
    def resource_group(self) -> str:
        """Azure's resource group, likewise."""
        return self.loaded.file.resource_group or ""

    @property
    def location(self) -> str:
        """Azure's region, as the workspace file has it; else ``local``, which is where everything runs."""
        return self.loaded.file.location or "local"

    @property
    def tags(self) -> dict[str, str]:
        """The workspace file's tags and those given at ``create``."""
        return {**self.loaded.file.tags, **(self._tags or {})}

    def get_details(self) -> dict[str, Any]:
        """The facts as a dictionary, with v1's keys."""
        return {
            "id": f"/workspaces/{self.name}",
            "name": self.name,
            "location": self.location,
            "type": "Microsoft.MachineLearningServices/workspaces",
            "tags": self.tags,
            "sku": self.sku,
            "workspaceid": self.name,
            "subscription_id": self.subscription_id,
            "resource_group": self.resource_group,
        }

    def get_mlflow_tracking_uri(self) -> str:
        """Where runs are recorded."""
        return self.loaded.tracking_uri

    def __repr__(self) -> str:
        return (
            f"Workspace.create(name={self.name!r}, subscription_id={self.subscription_id!r}, "
            f"resource_group={self.resource_group!r})"
        )

    # --- what it has ----------------------------------------------------------------------------------------

    @property
    def datastores(self) -> dict[str, Any]:
        """Name -> datastore, those of the workspace file and the two default ones."""
        from aml_provider.sdk.datastore import datastore_object

        values = {name: datastore_object(self, name) for name in self.loaded.datastores}
        return NamedMapping("datastore", "Declare it under `datastores:` in workspace.yaml.", values)

    @property
    def compute_targets(self) -> dict[str, Any]:
        """Name -> compute target, those of the workspace file and those that this file created."""
        from aml_provider.sdk.compute import AmlCompute, known_targets

        values = {name: AmlCompute(self, name) for name in known_targets(self)}
        return NamedMapping("compute target", "Declare it under `compute:` in workspace.yaml.", values)

    @property
    def datasets(self) -> dict[str, Any]:
        """Name -> newest version of each registered dataset."""
        from aml_provider.sdk.datasets import AbstractDataset

        values = AbstractDataset.get_all(self)
        return NamedMapping("dataset", "Register it with Dataset.register.", values)

    @property
    def environments(self) -> dict[str, Any]:
        """Name -> newest version of each registered environment."""
        from aml_provider.sdk.environment import Environment

        return NamedMapping("environment", "Make it with Environment(...) and register it.", Environment.list(self))

    @property
    def experiments(self) -> dict[str, Any]:
        """Name -> experiment of the runs that were submitted."""
        from aml_provider.sdk.experiment import Experiment

        values = {e.name: e for e in Experiment.list(self)}
        return NamedMapping("experiment", "An experiment exists once something was submitted to it.", values)

    @property
    def models(self) -> dict[str, Any]:
        """Name -> newest version of each registered model; none while a file is only read."""
        from aml_provider.sdk.model import Model

        values = {model.name: model for model in Model.list(self, latest=True)}
        return NamedMapping("model", "Register it with Model.register, or with register_model of a run.", values)

    def get_default_datastore(self) -> Any:
        """The datastore that steps use when they name none."""
        from aml_provider.sdk.datastore import datastore_object

        return datastore_object(self, self.default_datastore_name)

    @property
    def default_datastore_name(self) -> str:
        """Name of the default datastore."""
        return self.shared.default_datastore or self.loaded.file.default_datastore

    def set_default_datastore(self, name: str) -> None:
        """Make another datastore the default for the rest of this file (v1 changed it for everybody).

        :raises PipelineError: there is no such datastore.
        """
        self.loaded.datastore(name)
        self.shared.default_datastore = name

    def get_default_compute_target(self, type: str) -> Any:
        """The target ``cpu-cluster`` or ``gpu-cluster``, ``None`` when it does not exist.

        :param type: ``CPU`` or ``GPU``.
        """
        from aml_provider.sdk.compute import AmlCompute, known_targets

        names = {"CPU": self.DEFAULT_CPU_CLUSTER_NAME, "GPU": self.DEFAULT_GPU_CLUSTER_NAME}
        name = names.get(str(type).upper())
        if name is None:
            raise UserErrorException(f"get_default_compute_target: type is {type!r}, but must be 'CPU' or 'GPU'.")
        return AmlCompute(self, name) if name in known_targets(self) else None

    def get_run(self, run_id: str) -> Any:
        """The run with this id."""
        from aml_provider.sdk.run import Run

        return Run.get(self, run_id)


def _upward(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        for inside in CONFIG_FOLDERS:
            file = folder / inside / CONFIG_FILE
            if file.is_file() and _is_azure_config(file):
                return file
    return None


def _is_azure_config(file: Path) -> bool:
    # Many tools have a config.json; only one that names a workspace counts, as the search goes far up.
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and bool({"workspace_name", "Scope"} & set(content))


def _renamed(loaded: LoadedWorkspace, config: Path) -> LoadedWorkspace:
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserErrorException(f"{config} is not valid JSON: {error}.") from None
    if isinstance(content, dict) and "Scope" in content:
        # The oldest form: one resource id, /subscriptions/S/resourceGroups/G/providers/.../workspaces/W
        parts = str(content["Scope"]).strip("/").split("/")
        content = {"subscription_id": parts[1], "resource_group": parts[3], "workspace_name": parts[-1]}
    if not isinstance(content, dict) or not isinstance(content.get("workspace_name"), str):
        raise UserErrorException(f"{config} names no workspace; it needs the key 'workspace_name'.")
    return loaded.renamed(
        content["workspace_name"],
        content.get("subscription_id"),
        content.get("resource_group"),
        content.get("location"),
    )
