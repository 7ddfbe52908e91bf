"""What ``workspace.yaml`` may hold. The JSON Schema in docs/ is generated from these models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from typing_extensions import Self

DEFAULT_DATASTORE = "workspaceblobstore"
FILE_DATASTORE = "workspacefilestore"
LOCAL_SCHEMES = ("", "file", "local")
# What MLflow can track in; a path has no scheme.
MLFLOW_SCHEMES = (
    "",
    "file",
    "http",
    "https",
    "sqlite",
    "postgresql",
    "mysql",
    "mssql",
    "databricks",
    "databricks-uc",
    "uc",
)
_SECRET_WORDS = ("sig=", "signature=", "token=", "key=", "password=", "credential=", "secret=")


# An amount of memory or of room on a disk, as Kubernetes writes it.
AMOUNT = r"^\d+(\.\d+)?([KMGT]i?)?$"


_DURATION = TypeAdapter(timedelta)


def length_of_time(value: object) -> timedelta:
    """A duration as ISO 8601 writes it, longer than nothing.

    :raises ValueError: it is none, or written in one of the other ways that pydantic reads: a bare 7 is seconds to it.
    """
    if isinstance(value, timedelta):
        return value
    try:
        length = _DURATION.validate_python(value) if isinstance(value, str) and value.startswith("P") else timedelta(0)
    except (ValidationError, OverflowError):
        length = timedelta(0)
    if length <= timedelta(0):
        shown = value if isinstance(value, str) else str(value)
        raise ValueError(f"must be a length of time like P7D or PT12H (ISO 8601), not {shown!r}")
    return length


LengthOfTime = Annotated[timedelta, BeforeValidator(length_of_time)]


class Section(BaseModel):
    """A frozen section of the file; an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ComputeKind(str, Enum):
    """Where a step's process lives."""

    LOCAL = "local"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"


class DatastoreConfig(Section):
    """A named place for data.

    :param url: fsspec URL of the root: ``s3://bucket/prefix``, ``abfs://container/prefix``, ``gs://bucket/prefix``,
        ``sftp://host/path`` or ``https://host/path``. A path without a scheme, and a relative one, is a local folder
        beside the workspace file.
    :param conn_id: Airflow connection with the credentials, for stores that need them.
    """

    # A URL that is refused because it holds a password is not shown.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str
    conn_id: str | None = Field(default=None, min_length=1)
    description: str | None = None
    # Where the connection is kept when a program has made it; set only by those who read that.
    _connections_file: Path | None = PrivateAttr(default=None)

    @property
    def connections_file(self) -> Path | None:
        """The file in which the connection is kept; ``None``: Airflow knows it."""
        return self._connections_file

    def kept_in(self, file: Path | None) -> Self:
        """The same datastore, whose connection is in this file."""
        changed = self.model_copy()
        changed._connections_file = file
        return changed

    def told(self, name: str) -> dict[str, str | None]:
        """What another process needs to open the datastore, as JSON has it; see :meth:`from_told`.

        :param name: the datastore's.
        """
        file = self._connections_file
        return {
            "name": name,
            "url": self.url,
            "conn_id": self.conn_id,
            "connections_file": None if file is None else str(file),
        }

    @classmethod
    def from_told(cls, told: Mapping[str, Any]) -> Self:
        """The datastore that another process has told of."""
        file = told["connections_file"]
        return cls(url=told["url"], conn_id=told["conn_id"]).kept_in(None if file is None else Path(file))

    @field_validator("url")
    @classmethod
    def _usable_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if not url.strip():
            raise ValueError("must be a folder or a URL, not empty text")
        if parts.scheme in LOCAL_SCHEMES[1:] and parts.netloc not in ("", "localhost"):
            raise ValueError(
                f"{url!r} names the host {parts.netloc!r}: write file:///absolute/folder, or a relative folder without "
                "file://"
            )
        # What is wrong is not shown: the workspace file and messages about it are read by many.
        if "://" in url and parts.password is not None:
            raise ValueError("holds a password; put it into an Airflow connection and name that as conn_id")
        if "://" in url and parts.query and any(word in parts.query.lower() for word in _SECRET_WORDS):
            raise ValueError("holds a signature or a key; put it into an Airflow connection and name that as conn_id")
        return url

    @property
    def scheme(self) -> str:
        """The URL's scheme; ``file`` for a plain path."""
        scheme = urlsplit(self.url).scheme
        return "file" if scheme in LOCAL_SCHEMES else scheme

    @property
    def is_local(self) -> bool:
        """Whether the root is a folder that this machine sees."""
        return self.scheme == "file"

    @property
    def local_root(self) -> Path | None:
        """The root folder of a local datastore, ``None`` for every other store."""
        if not self.is_local:
            return None
        parts = urlsplit(self.url)
        return Path(unquote(parts.path) if parts.scheme else self.url)


class Toleration(Section):
    """A Kubernetes toleration."""

    key: str | None = None
    operator: str = "Equal"
    value: str | None = None
    effect: str | None = None


class VolumeConfig(Section):
    """Where a pod finds a datastore's root: exactly one of ``host_path`` and ``claim``.

    :param host_path: folder on the node.
    :param claim: name of a PersistentVolumeClaim in the pod's namespace.
    :param sub_path: folder inside the claim that is the datastore's root.
    """

    host_path: str | None = None
    claim: str | None = None
    sub_path: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> VolumeConfig:
        if (self.host_path is None) == (self.claim is None):
            raise ValueError("give exactly one of host_path and claim")
        return self


class StepReuseConfig(Section):
    """How one step's results are reused.

    :param include: files of the source directory that belong to the step, as ``.gitignore`` patterns: it gets these
        and no others, so that a change of the others is no change of it. Default: all files.
    :param ignore_parameters: more pipeline parameters (names or globs) whose value does not count for this step.
    :param age_limit: a result older than this is not reused; written like ``P7D`` or ``PT12H`` (ISO 8601).
    """

    include: tuple[str, ...] = ()
    ignore_parameters: tuple[str, ...] = ()
    age_limit: LengthOfTime | None = None


class StageConfig(Section):
    """Where data of stores on other machines is kept while steps use it, and after: ``staged`` in the state folder.

    :param max_size: when the kept copies take more room than this, those that were used longest ago go.
    """

    max_size: Annotated[str, Field(pattern=AMOUNT)] = "50Gi"


class ReuseConfig(Section):
    """How earlier results are reused.

    :param age_limit: a result older than this is not reused; written like ``P7D`` or ``PT12H`` (ISO 8601). Default:
        no limit.
    :param ignore_parameters: pipeline parameters (names or globs) whose value does not count: a build number, say.
    :param trusted_images: images (globs) whose tags do not move: the reference alone says what is in them, on every
        engine.
    :param lease_seconds: a run whose worker is lost gives up the step that it was computing after this time.
    :param steps: step name (or glob) -> settings of that step; where several match, the later ones win.
    """

    age_limit: LengthOfTime | None = None
    ignore_parameters: tuple[str, ...] = ()
    trusted_images: tuple[str, ...] = ()
    lease_seconds: float = Field(default=60, ge=1)
    steps: dict[Annotated[str, Field(min_length=1)], StepReuseConfig] = Field(default_factory=dict)


class ComputeSettings(Section):
    """Settings that a kind's defaults (``local:``, ``docker:``, ``kubernetes:``) and a compute target share.

    :param image: container image for steps whose environment names none.
    :param pool: Airflow pool that bounds how many steps run at once.
    :param cpus: CPUs a step gets.
    :param memory: memory a step gets, written like ``4Gi``, ``512Mi`` or ``2G``.
    :param gpus: GPU devices a step gets.
    :param retries: how often Airflow starts a step again after its worker or container was lost. A script that
        itself fails is not run again unless ``retry_failed_scripts`` is true (Azure ML does not).
    :param timeout_seconds: a step that runs longer is stopped and fails.
    :param gpu_resource: name of the GPU resource in Kubernetes; default ``nvidia.com/gpu``.
    :param retry_delay_seconds: pause before a step is started again; default 5.
    :param retry_failed_scripts: start a step again also when its script itself failed; default false.
    :param environment: variables for every step; a step's own environment wins.
    :param reuse_as: a name for what steps find there (Python, packages, image). Targets with the same name are
        declared to be equal: what a step computed on one of them is reused on the others.
    :param network: Docker network mode; of Kubernetes only ``host``: pods use their node's network.
    :param docker_url: Docker daemon, default ``DOCKER_HOST`` or the local socket.
    :param docker_conn_id: Airflow connection of a private registry.
    :param namespace: Kubernetes namespace of the pods; default ``default``.
    :param image_pull_policy: ``Always``, ``IfNotPresent`` or ``Never``.
    :param image_pull_secrets: names of Kubernetes secrets with registry credentials.
    :param node_selector: labels a node must have.
    :param tolerations: taints of nodes that a pod may run on.
    :param service_account: Kubernetes service account of the pods.
    :param config_file: kubeconfig to use; ``context`` names the one to take from it.
    :param context: context of the kubeconfig; default: its current one.
    :param kubernetes_conn_id: Airflow connection of the cluster; without it ``config_file``, else in-cluster.
    :param volumes: datastore name -> where pods find its root; a local datastore that is not listed is expected
        at the same path on every node.
    :param shared_volume: whether pods see the datastores that are folders, as ``volumes`` says; default true. Without,
        a step's files travel through an object store.
    :param staging_datastore: that object store, a datastore; default: the pipeline's default datastore.
    :param staging_image: image with Python 3.8 or newer and ``sh`` that carries the files in the pod; default
        ``python:3.11-slim``.
    :param deferrable: wait for pods in Airflow's triggerer instead of holding a worker; default true.
    :param startup_timeout_seconds: how long a pod may take to start; default 600.
    """

    image: str | None = None
    pool: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.\-]{1,250}$")
    cpus: float | None = Field(default=None, gt=0)
    memory: str | None = Field(default=None, pattern=AMOUNT)
    gpus: int | None = Field(default=None, ge=0)
    gpu_resource: str | None = None
    retries: int | None = Field(default=None, ge=0)
    retry_delay_seconds: float | None = Field(default=None, ge=0)
    retry_failed_scripts: bool | None = None
    timeout_seconds: int | None = Field(default=None, gt=0)
    environment: dict[str, str] = Field(default_factory=dict)
    reuse_as: str | None = Field(default=None, min_length=1)
    # docker
    network: str | None = None
    docker_url: str | None = None
    docker_conn_id: str | None = None
    # kubernetes
    namespace: str | None = None
    image_pull_policy: str | None = Field(default=None, pattern="^(Always|IfNotPresent|Never)$")
    image_pull_secrets: tuple[str, ...] = ()
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    service_account: str | None = None
    config_file: str | None = None
    context: str | None = None
    kubernetes_conn_id: str | None = None
    volumes: dict[str, VolumeConfig] = Field(default_factory=dict)
    shared_volume: bool | None = None
    staging_datastore: str | None = Field(default=None, min_length=1)
    staging_image: str | None = Field(default=None, min_length=1)
    deferrable: bool | None = None
    startup_timeout_seconds: int | None = Field(default=None, gt=0)


class ComputeTargetConfig(ComputeSettings):
    """A compute target.

    :param kind: ``local``, ``docker`` or ``kubernetes``; default: the file's ``default_kind``.
    :param vm_size: Azure VM size name; gives CPUs, memory and GPUs that are not set here.
    :param min_nodes: accepted as in Azure ML; nothing is kept running here.
    :param max_nodes: how many steps may run on the target at once (default 4): the size of its pool.
    """

    kind: ComputeKind | None = None
    vm_size: str | None = None
    min_nodes: int = Field(default=0, ge=0)
    max_nodes: int | None = Field(default=None, gt=0)

    @field_validator("vm_size")
    @classmethod
    def _known_size(cls, vm_size: str | None) -> str | None:
        if vm_size is not None:
            from .vm_sizes import vm_size as look_up

            look_up(vm_size)
        return vm_size


class MlflowConfig(Section):
    """Where runs are recorded; with no URI, an SQLite file in the state folder."""

    tracking_uri: str | None = None

    @field_validator("tracking_uri")
    @classmethod
    def _known_scheme(cls, uri: str | None) -> str | None:
        parts = urlsplit(uri or "")
        scheme = parts.scheme.split("+")[0]
        if scheme not in MLFLOW_SCHEMES or (scheme in ("http", "https") and not parts.hostname):
            raise ValueError(
                "must be a server (http://mlflow:5000) or a database (sqlite:///mlflow.db, "
                f"postgresql://host/database), not {uri!r}"
            )
        folder = uri is not None and scheme in ("", "file") and uri != "databricks"
        # MLflow's own switch; without it MLflow refuses the folder, but only when the run is over.
        if folder and os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
            raise ValueError(
                f"{uri!r} is a folder, to which MLflow does not write any more. Use a database beside it "
                "(sqlite:///mlflow.db), to which `mlflow migrate-filestore` takes what the folder has; or set "
                "MLFLOW_ALLOW_FILE_STORE=true, for the workers as well"
            )
        return uri


class AirflowConfig(Section):
    """A running Airflow that programs submit to.

    :param url: base URL of its API server, e.g. ``http://localhost:8080``.
    :param username: user for a token from ``/auth/token``; the password is read from the environment variable
        named by ``password_env``. Without a user the server must allow anonymous access.
    """

    url: str
    username: str | None = None
    password_env: str = "AML_AIRFLOW_PASSWORD"


class WorkspaceFile(Section):
    """The whole file.

    :param default_kind: the compute kind of targets that name none, and of targets that a pipeline provisions.
    :param default_datastore: name of the datastore that steps use when they name none.
    :param state: folder for what the embedded run keeps (Airflow's database, MLflow's file, environments).
    """

    name: str = "local"
    subscription_id: str | None = None
    resource_group: str | None = None
    location: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    default_kind: ComputeKind = ComputeKind.LOCAL
    default_datastore: str = DEFAULT_DATASTORE
    datastores: dict[str, DatastoreConfig] = Field(default_factory=dict)
    local: ComputeSettings = ComputeSettings()
    docker: ComputeSettings = ComputeSettings()
    kubernetes: ComputeSettings = ComputeSettings()
    compute: dict[Annotated[str, Field(min_length=1)], ComputeTargetConfig] = Field(default_factory=dict)
    reuse: ReuseConfig = ReuseConfig()
    stage: StageConfig = StageConfig()
    mlflow: MlflowConfig = MlflowConfig()
    airflow: AirflowConfig | None = None
    state: str | None = None

    @model_validator(mode="after")
    def _default_datastore_exists(self) -> WorkspaceFile:
        known = {DEFAULT_DATASTORE, FILE_DATASTORE, *self.datastores}
        if self.default_datastore not in known:
            raise ValueError(f"default_datastore {self.default_datastore!r} is not one of {sorted(known)}")
        return self

    def defaults_of(self, kind: ComputeKind) -> ComputeSettings:
        """The settings that every target of this kind starts from."""
        settings: dict[ComputeKind, ComputeSettings] = {
            ComputeKind.LOCAL: self.local,
            ComputeKind.DOCKER: self.docker,
            ComputeKind.KUBERNETES: self.kubernetes,
        }
        return settings[kind]


def merged(base: ComputeSettings, over: ComputeSettings) -> dict[str, Any]:
    """``over``'s explicitly set values on top of ``base``'s; mappings are merged key by key, all else is replaced."""
    mine = base.model_dump(exclude_unset=True)
    for key, value in over.model_dump(exclude_unset=True).items():
        old = mine.get(key)
        mine[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return mine
