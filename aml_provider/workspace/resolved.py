"""A workspace ready for use: every path absolute, every default filled in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from aml_provider.spec.errors import PipelineError

from .model import (
    DEFAULT_DATASTORE,
    FILE_DATASTORE,
    ComputeKind,
    ComputeSettings,
    ComputeTargetConfig,
    DatastoreConfig,
    WorkspaceFile,
    merged,
)
from .registered import read_registered
from .vm_sizes import vm_size

LOCAL_TARGET = "local"
# Azure ML's own default for the nodes of a new cluster.
DEFAULT_NODES = 4
DEFAULT_GPU_RESOURCE = "nvidia.com/gpu"
_UNIT = {"": 1, **{f"{u}{i}": (1024 if i else 1000) ** n for n, u in enumerate("KMGT", 1) for i in ("", "i")}}
_OWN_FIELDS = ("kind", "vm_size", "min_nodes", "max_nodes")


class Provisioned(Protocol):
    """A compute target that the pipeline file creates by itself (a spec's ``ComputeSpec``)."""

    @property
    def vm_size(self) -> str | None: ...

    @property
    def min_nodes(self) -> int: ...

    @property
    def max_nodes(self) -> int | None: ...


def absolute(path: str | Path, folder: Path | None = None) -> Path:
    """``path`` made absolute against ``folder`` (default: the current directory).

    Symbolic links are not followed: a workspace in a linked folder keeps the path that its owner knows.
    """
    return Path(os.path.normpath((folder or Path.cwd()) / Path(path).expanduser()))


def memory_bytes(text: str) -> int:
    """Bytes of a Kubernetes-style amount: ``4Gi``, ``512Mi``, ``2G``, ``1000``.

    :raises ValueError: not such an amount.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]i?)?", text)
    if match is None:
        raise ValueError(f"{text!r} is no amount of memory; write it like 4Gi, 512Mi or 2G")
    return int(float(match[1]) * _UNIT[match[2] or ""])


@dataclass(frozen=True)
class ResolvedCompute:
    """Where a step runs and what it gets there.

    :param pool: Airflow pool, :param pool_slots: slots one step takes: one per GPU, at least one.
    :param pool_size: slots the pool should have: ``max_nodes`` (default 4) times ``pool_slots``.
    :param memory: bytes, ``None`` for no limit; ``cpus`` likewise.
    :param retry_delay_seconds: pause before a lost step is started again.
    :param settings: the merged settings as written, for what has no field here.
    """

    name: str
    kind: ComputeKind
    pool: str
    pool_slots: int
    pool_size: int
    cpus: float | None
    memory: int | None
    gpus: int
    gpu_resource: str
    image: str | None
    retries: int
    retry_delay_seconds: float
    retry_failed_scripts: bool
    timeout_seconds: int | None
    namespace: str
    deferrable: bool
    startup_timeout_seconds: int
    settings: ComputeSettings


@dataclass(frozen=True)
class LoadedWorkspace:
    """A workspace file and where it was found.

    :param path: the file, ``None`` for the embedded default.
    :param folder: what relative paths in the file are relative to: its folder, or the current directory.
    """

    file: WorkspaceFile
    path: Path | None
    folder: Path

    @property
    def name(self) -> str:
        """The workspace's name."""
        return self.file.name

    def renamed(
        self,
        name: str,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
    ) -> LoadedWorkspace:
        """The same workspace under the name (and Azure ids) of an Azure ``config.json``; ``None`` keeps an id."""
        ids = {"subscription_id": subscription_id, "resource_group": resource_group, "location": location}
        update = {"name": name, **{key: value for key, value in ids.items() if value is not None}}
        return replace(self, file=self.file.model_copy(update=update))

    # --- places ---------------------------------------------------------------------------------------------

    @cached_property
    def state(self) -> Path:
        """Folder of what the embedded run keeps: Airflow's database, MLflow's file, environments."""
        if self.file.state is not None:
            return self._absolute(self.file.state)
        if self.path is not None:
            return self.folder / ".aml"
        home = os.environ.get("AML_HOME")
        return absolute(home) if home else Path.home() / ".aml"

    @property
    def datastores(self) -> dict[str, DatastoreConfig]:
        """Every datastore by name, the two default ones first; local ones have an absolute path as ``url``.

        What the workspace file declares wins over what a program has registered under the same name.
        """
        defaults, declared = self._written
        return {**defaults, **read_registered(self.state), **declared}

    @cached_property
    def _written(self) -> tuple[dict[str, DatastoreConfig], dict[str, DatastoreConfig]]:
        defaults = {
            name: DatastoreConfig(url=str(self.state / "datastores" / name))
            for name in (DEFAULT_DATASTORE, FILE_DATASTORE)
        }
        declared = {name: self._absolute_store(config) for name, config in self.file.datastores.items()}
        return defaults, declared

    def datastore(self, name: str) -> DatastoreConfig:
        """The datastore with this name.

        :raises PipelineError: there is none; lists the known names.
        """
        try:
            return self.datastores[name]
        except KeyError:
            raise PipelineError(
                f"unknown datastore {name!r}; workspace {self._origin} has {_listed(self.datastores)}. Declare it "
                "under `datastores:` in workspace.yaml, register it, or use one of these."
            ) from None

    def folder_of(self, datastore: str) -> Path:
        """The folder on this machine in which runs keep what they need beside a datastore's data.

        Of a folder it is that folder; of a store on another machine, one in the state folder that stands in for it.

        :raises PipelineError: there is no such datastore.
        """
        return self.datastore(datastore).local_root or self.state / "beside" / datastore

    @cached_property
    def tracking_uri(self) -> str:
        """MLflow tracking URI; file paths in it are absolute."""
        uri = self.file.mlflow.tracking_uri
        if uri is None:
            return f"sqlite:///{self.state / 'mlflow.db'}"
        parts = urlsplit(uri)
        if parts.scheme.split("+")[0] == "sqlite":
            return self._absolute_database(uri)
        if parts.scheme in ("", "file") and uri != "databricks":
            return self._absolute(unquote(parts.path) if parts.scheme else uri).as_uri()
        return uri

    def _absolute(self, path: str) -> Path:
        return absolute(path, self.folder)

    def _absolute_database(self, url: str) -> str:
        """SQLAlchemy's form of a file: three slashes and a relative path, or four for an absolute one."""
        parts = urlsplit(url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{parts.scheme}:///{self._absolute(parts.path[1:])}{query}" if len(parts.path) > 1 else url

    def _absolute_store(self, config: DatastoreConfig) -> DatastoreConfig:
        if config.scheme == "sqlite":
            return config.model_copy(update={"url": self._absolute_database(config.url)})
        root = config.local_root
        return config if root is None else config.model_copy(update={"url": str(self._absolute(str(root)))})

    @property
    def _origin(self) -> str:
        return f"{self.name!r} ({self.path or 'embedded default'})"

    # --- compute --------------------------------------------------------------------------------------------

    def compute(self, name: str | None, provisioned: Mapping[str, Provisioned] | None = None) -> ResolvedCompute:
        """The compute target with this name.

        The workspace file's targets win over provisioned ones of the same name: the file says where things really
        run. ``None`` means the target ``local``, which exists even when nobody declares it.

        :param provisioned: targets that the pipeline creates (``ComputeTarget.create``).
        :raises PipelineError: no such target, or an unknown VM size; lists the known names.
        """
        wanted = LOCAL_TARGET if name is None else name
        return self._resolve(wanted, self._target(wanted, provisioned or {}))

    def pools(self, provisioned: Mapping[str, Provisioned] | None = None) -> dict[str, int]:
        """Pool name -> slots, for every target; targets that share a pool give it the largest size one of them asks."""
        names = {LOCAL_TARGET, *self.file.compute, *(provisioned or {})}
        sizes: dict[str, int] = {}
        for target in (self.compute(name, provisioned) for name in sorted(names)):
            sizes[target.pool] = max(target.pool_size, sizes.get(target.pool, 0))
        return sizes

    def _target(self, name: str, provisioned: Mapping[str, Provisioned]) -> ComputeTargetConfig:
        if name in self.file.compute:
            return self.file.compute[name]
        if name in provisioned:
            spec = provisioned[name]
            return ComputeTargetConfig(vm_size=spec.vm_size, min_nodes=spec.min_nodes, max_nodes=spec.max_nodes)
        if name == LOCAL_TARGET:
            return ComputeTargetConfig()
        known = {LOCAL_TARGET, *self.file.compute, *provisioned}
        raise PipelineError(
            f"unknown compute target {name!r}; workspace {self._origin} has {_listed(known)}. Declare it under "
            "`compute:` in workspace.yaml, or create it in the pipeline with ComputeTarget.create."
        )

    def _resolve(self, name: str, target: ComputeTargetConfig) -> ResolvedCompute:
        kind = target.kind or self.file.default_kind
        own = target.model_dump(exclude_unset=True, exclude=set(_OWN_FIELDS))
        values = merged(self.file.defaults_of(kind), _sized(target.vm_size))
        settings = ComputeSettings(**merged(ComputeSettings(**values), ComputeSettings(**own)))
        gpus = settings.gpus or 0
        slots = max(1, gpus)
        return ResolvedCompute(
            name=name,
            kind=kind,
            pool=settings.pool or "aml_" + re.sub(r"[^A-Za-z0-9_.\-]", "_", name)[:240],
            pool_slots=slots,
            pool_size=(target.max_nodes or DEFAULT_NODES) * slots,
            cpus=settings.cpus,
            memory=None if settings.memory is None else memory_bytes(settings.memory),
            gpus=gpus,
            gpu_resource=settings.gpu_resource or DEFAULT_GPU_RESOURCE,
            image=settings.image,
            retries=2 if settings.retries is None else settings.retries,
            retry_delay_seconds=5.0 if settings.retry_delay_seconds is None else settings.retry_delay_seconds,
            retry_failed_scripts=bool(settings.retry_failed_scripts),
            timeout_seconds=settings.timeout_seconds,
            namespace=settings.namespace or "default",
            deferrable=kind is ComputeKind.KUBERNETES if settings.deferrable is None else settings.deferrable,
            startup_timeout_seconds=settings.startup_timeout_seconds or 600,
            settings=settings,
        )


def _sized(name: str | None) -> ComputeSettings:
    """What an Azure VM size sets."""
    if name is None:
        return ComputeSettings()
    size = vm_size(name)
    values: dict[str, Any] = {"cpus": size.cpus, "memory": f"{size.memory_gib:g}Gi", "gpus": size.gpus}
    return ComputeSettings(**values)


def _listed(names: Mapping[str, Any] | set[str]) -> str:
    return ", ".join(sorted(names))
