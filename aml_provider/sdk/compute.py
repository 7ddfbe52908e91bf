"""v1 compute targets. What a name means is declared in the workspace file; a pipeline file may also create targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from aml_provider.sdk.exceptions import ComputeTargetException
from aml_provider.sdk.life import is_program
from aml_provider.sdk.unavailable import PartOfV1
from aml_provider.spec.errors import NotSupportedError
from aml_provider.spec.models import ComputeSpec
from aml_provider.workspace.vm_sizes import vm_size

if TYPE_CHECKING:
    from aml_provider.sdk.workspace import Workspace

ComputeT = TypeVar("ComputeT", bound="ComputeTarget")


@dataclass
class ProvisioningConfiguration:
    """What a new compute target should be: VM size and number of nodes count, the rest is Azure's."""

    compute_type: type[ComputeTarget]
    vm_size: str
    min_nodes: int = 0
    max_nodes: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ComputeStatus:
    """State of a compute target: it is ready as soon as it exists, because nothing has to be started."""

    name: str
    vm_size: str | None
    min_nodes: int
    max_nodes: int | None
    provisioning_state: str = "Succeeded"
    allocation_state: str = "Steady"
    state: str = "Running"
    errors: Any = None
    current_node_count: int = 0
    target_node_count: int = 0

    def serialize(self) -> dict[str, Any]:
        """The state as a dictionary, with v1's keys."""
        return {
            "errors": [],
            "creationTime": None,
            "createdBy": None,
            "modifiedTime": None,
            "state": self.state,
            "vmSize": self.vm_size,
            "vmPriority": "Dedicated",
            "scaleSettings": {"minNodeCount": self.min_nodes, "maxNodeCount": self.max_nodes},
            "currentNodeCount": self.current_node_count,
            "targetNodeCount": self.target_node_count,
            "provisioningState": self.provisioning_state,
            "allocationState": self.allocation_state,
        }


def known_targets(workspace: Workspace) -> list[str]:
    """Names of the workspace file's targets and of those that the pipeline file created."""
    shared = workspace.shared
    names = dict.fromkeys((*workspace.loaded.file.compute, *shared.provisioned))
    return [name for name in names if name not in shared.removed]


class ComputeTarget(PartOfV1):
    """A compute target: ``ComputeTarget(workspace, name)`` is the existing one.

    :raises ComputeTargetException: it does not exist; authors catch that to create it.
    """

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "detach": "a target is what workspace.yaml declares; remove it there",
    }
    TYPE: ClassVar[str] = "AmlCompute"

    def __new__(cls, workspace: Workspace | None = None, name: str | None = None) -> Any:
        """An object of the target's own class, as in v1."""
        return object.__new__(AmlCompute if cls is ComputeTarget else cls)

    def __init__(self, workspace: Workspace, name: str) -> None:
        if name not in known_targets(workspace):
            raise ComputeTargetException(
                f"ComputeTargetNotFound: compute target {name!r} does not exist in workspace {workspace.name!r}; it "
                f"has {sorted(known_targets(workspace)) or 'none'}. Declare it under `compute:` in workspace.yaml, or "
                "create it with ComputeTarget.create."
            )
        self.workspace = workspace
        self.name = name
        self.type = self.TYPE
        self.tags: dict[str, str] = {}
        self.description: str | None = None
        self.location = workspace.location
        self.provisioning_state = "Succeeded"
        self.provisioning_errors: Any = None

    @property
    def spec(self) -> ComputeSpec | None:
        """What the pipeline file provisioned; ``None`` when the workspace file declares the target."""
        if self.name in self.workspace.loaded.file.compute:
            return None
        return self.workspace.shared.provisioned.get(self.name)

    @property
    def vm_size(self) -> str | None:
        """The VM size."""
        size: str | None = self.get_status().vm_size
        return size

    @staticmethod
    def create(workspace: Workspace, name: str, provisioning_configuration: Any) -> Any:
        """Create a target for this pipeline file. Where the workspace file declares the name, its settings count.

        :raises ComputeTargetException: ``provisioning_configuration`` is no such object.
        :raises PipelineError: unknown VM size.
        """
        config = provisioning_configuration
        if not isinstance(config, ProvisioningConfiguration):
            raise ComputeTargetException(
                f"ComputeTarget.create: {config!r} is no provisioning configuration; make one with "
                "AmlCompute.provisioning_configuration(vm_size=...)."
            )
        spec = ComputeSpec(
            name=name, vm_size=config.vm_size or None, min_nodes=config.min_nodes, max_nodes=config.max_nodes
        )
        if spec.vm_size is not None:
            # A VM size that nobody knows is found here, at the author's line.
            vm_size(spec.vm_size)
        workspace.shared.provisioned[name] = spec
        workspace.shared.removed.discard(name)
        return config.compute_type(workspace, name)

    @staticmethod
    def attach(workspace: Workspace, name: str, attach_configuration: Any) -> Any:
        """Existing machines are declared in the workspace file. A data factory is no machine: it is made here.

        :raises NotSupportedError: it does not declare this name.
        """
        if getattr(attach_configuration, "compute_type", None) is DataFactoryCompute:
            return ComputeTarget.create(workspace, name, attach_configuration)
        if name in known_targets(workspace):
            return ComputeTarget(workspace, name)
        raise NotSupportedError(
            f"Compute target {name!r} cannot be attached from code; declare it under `compute:` in workspace.yaml."
        )

    @staticmethod
    def list(workspace: Workspace) -> Any:
        """Every target."""
        return [AmlCompute(workspace, name) for name in known_targets(workspace)]

    def wait_for_completion(self, show_output: bool = False, is_delete_operation: bool = False) -> None:
        """A target is ready at once."""
        if show_output and is_program():
            print(f"Compute target {self.name}: {'deleted' if is_delete_operation else self.provisioning_state}")

    def refresh_state(self) -> None:
        """There is nothing that could change."""

    def get_status(self) -> Any:
        """The target's state."""
        declared = self.workspace.loaded.file.compute.get(self.name)
        found: Any = declared or self.spec
        if found is None:
            return ComputeStatus(self.name, None, 0, None, provisioning_state="Deleted")
        return ComputeStatus(self.name, found.vm_size, found.min_nodes, found.max_nodes)

    def delete(self) -> None:
        """Forget a target that this pipeline file created.

        :raises NotSupportedError: the workspace file declares it.
        """
        if self.name in self.workspace.loaded.file.compute:
            if is_program():
                raise NotSupportedError(
                    f"Compute target {self.name!r} is declared in {self.workspace.loaded.path}; remove it there."
                )
            return
        # Steps that were built keep their target: in v1, too, deleting comes after the runs.
        self.workspace.shared.removed.add(self.name)
        self.provisioning_state = "Deleting"

    def serialize(self) -> dict[str, Any]:
        """The target as a dictionary, with v1's keys."""
        return {
            "id": self.name,
            "name": self.name,
            "tags": self.tags,
            "location": self.location,
            "properties": {
                "computeType": self.type,
                "description": self.description,
                "provisioningState": self.provisioning_state,
                "properties": {"vmSize": self.vm_size},
                "status": self.get_status().serialize(),
            },
        }

    @staticmethod
    def deserialize(workspace: Workspace, object_dict: dict[str, Any]) -> Any:
        """The target that :meth:`serialize` described."""
        return ComputeTarget(workspace, object_dict["name"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(workspace={self.workspace.name!r}, name={self.name!r})"


class AmlCompute(ComputeTarget):
    """A cluster: up to ``max_nodes`` steps run on it at once."""

    NOT_BUILT: ClassVar[dict[str, str]] = {
        "get": "look at workspace.yaml",
        "add_identity": "there is no Azure identity",
        "remove_identity": "there is no Azure identity",
        "list_nodes": "look at Airflow's workers, `docker ps` or `kubectl get pods`",
        "get_active_runs": "look at Airflow's pool of this target",
    }

    def wait_for_completion(  # type: ignore[override]  # v1 puts a parameter between
        self,
        show_output: bool = False,
        min_node_count: int | None = None,
        timeout_in_minutes: float = 25,
        is_delete_operation: bool = False,
    ) -> None:
        """A target is ready at once."""
        super().wait_for_completion(show_output, is_delete_operation)

    @staticmethod
    def provisioning_configuration(
        vm_size: str = "",
        vm_priority: str = "dedicated",
        min_nodes: int = 0,
        max_nodes: int | None = None,
        idle_seconds_before_scaledown: int | None = 1800,
        admin_username: str | None = None,
        admin_user_password: str | None = None,
        admin_user_ssh_key: str | None = None,
        vnet_resourcegroup_name: str | None = None,
        vnet_name: str | None = None,
        subnet_name: str | None = None,
        tags: dict[str, str] | None = None,
        description: str | None = None,
        remote_login_port_public_access: str = "NotSpecified",
        identity_type: str | None = None,
        identity_id: Any = None,
        location: str | None = None,
        enable_node_public_ip: bool = True,
    ) -> ProvisioningConfiguration:
        """What a new cluster should be.

        :param vm_size: Azure's size name in any letter case; gives CPUs, memory and GPUs of a step.
        :param max_nodes: how many steps run at once.
        """
        if not vm_size:
            raise ComputeTargetException(
                "AmlCompute.provisioning_configuration: vm_size is missing; give an Azure size such as STANDARD_D2_V2."
            )
        return ProvisioningConfiguration(
            AmlCompute, vm_size, min_nodes, max_nodes, {"vm_priority": vm_priority, "tags": tags or {}}
        )

    def update(
        self,
        min_nodes: int | None = None,
        max_nodes: int | None = None,
        idle_seconds_before_scaledown: int | None = None,
    ) -> None:
        """Change the number of nodes of a target that this pipeline file created.

        :raises NotSupportedError: the workspace file declares it.
        """
        spec = self.spec
        if spec is None:
            if is_program():
                raise NotSupportedError(
                    f"Compute target {self.name!r} is declared in {self.workspace.loaded.path}; change it there."
                )
            return
        update = {k: v for k, v in {"min_nodes": min_nodes, "max_nodes": max_nodes}.items() if v is not None}
        self.workspace.shared.provisioned[self.name] = spec.model_copy(update=update)


class ComputeInstance(ComputeTarget):
    """A single machine: one step at a time."""

    TYPE: ClassVar[str] = "ComputeInstance"
    NOT_BUILT: ClassVar[dict[str, str]] = {
        "get": "look at workspace.yaml",
        "update_sso_settings": "there is no Azure identity",
        "get_active_runs": "look at Airflow's pool of this target",
    }

    @staticmethod
    def provisioning_configuration(
        vm_size: str = "",
        ssh_public_access: bool = False,
        admin_user_ssh_public_key: str | None = None,
        vnet_resourcegroup_name: str | None = None,
        vnet_name: str | None = None,
        subnet_name: str | None = None,
        tags: dict[str, str] | None = None,
        description: str | None = None,
        assigned_user_object_id: str | None = None,
        assigned_user_tenant_id: str | None = None,
    ) -> ProvisioningConfiguration:
        """What a new machine should be."""
        if not vm_size:
            raise ComputeTargetException(
                "ComputeInstance.provisioning_configuration: vm_size is missing; give an Azure size."
            )
        return ProvisioningConfiguration(ComputeInstance, vm_size, 0, 1)

    def delete(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """Forget a machine that this pipeline file created."""
        super().delete()

    def start(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """A machine is always started."""

    def stop(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """A machine that nobody uses costs nothing here."""

    def restart(self, wait_for_completion: bool = False, show_output: bool = False) -> None:
        """There is nothing to restart."""


class KubernetesCompute(ComputeTarget):
    """A Kubernetes cluster; it is declared in the workspace file with ``kind: kubernetes``."""

    TYPE: ClassVar[str] = "Kubernetes"
    NOT_BUILT: ClassVar[dict[str, str]] = {"get": "look at workspace.yaml"}

    @staticmethod
    def attach_configuration(
        resource_id: str | None = None,
        namespace: str | None = None,
        identity_type: str | None = None,
        identity_ids: Any = None,
    ) -> dict[str, Any]:
        """What to attach; ``ComputeTarget.attach`` then says where to declare it."""
        return {"resource_id": resource_id, "namespace": namespace}


class DataFactoryCompute(ComputeTarget):
    """What moves data between datastores. There is no Azure Data Factory behind it: Airflow's workers do it.

    As a compute target it is a name and a pool: up to four transfers run on it at once, or as many as ``max_nodes`` of
    the target of this name in the workspace file says. Resource groups, factory names and resource ids are accepted and
    mean nothing.
    """

    TYPE: ClassVar[str] = "DataFactory"

    @staticmethod
    def provisioning_configuration(location: str | None = None) -> ProvisioningConfiguration:
        """What a new one should be: there is nothing to choose."""
        return ProvisioningConfiguration(DataFactoryCompute, "", options={"location": location})

    @staticmethod
    def attach_configuration(
        resource_group: str | None = None, factory_name: str | None = None, resource_id: str | None = None
    ) -> ProvisioningConfiguration:
        """An existing one: attaching it makes the name known."""
        return DataFactoryCompute.provisioning_configuration()

    @staticmethod
    def attach(workspace: Workspace, name: str, resource_id: str) -> Any:
        """Make the name known."""
        return ComputeTarget.create(workspace, name, DataFactoryCompute.provisioning_configuration())

    def detach(self) -> None:
        """Forget one that this pipeline file made.

        :raises NotSupportedError: the workspace file declares it.
        """
        self.delete()
