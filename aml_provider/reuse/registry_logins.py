"""Who this worker is to a registry: an Airflow connection, a pull secret of the cluster, or Docker's own file says."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aml_provider.reuse.asking import NotToldError, within
from aml_provider.reuse.node_images import cluster
from aml_provider.storage.airflow_import import logging_to_stderr
from aml_provider.workspace.model import ComputeKind
from aml_provider.workspace.resolved import ResolvedCompute

# Docker's client takes a file's form for granted.
_NOT_DOCKERS_FORM = (ValueError, TypeError, AttributeError)


@dataclass(frozen=True)
class Login:
    """A user's name and password, or an identity token in their place."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def basic(self) -> str:
        """The ``Authorization`` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


ANONYMOUS = Login()


def login_for(registry: str, compute: ResolvedCompute) -> Login | None:
    """The login for a registry, ``None``: there is none.

    :raises NotToldError: one is named that cannot be read.
    """
    found = _from_connection(registry, compute.settings.docker_conn_id)
    if found is None and compute.kind is ComputeKind.KUBERNETES:
        found = _from_pull_secrets(registry, compute)
    return found or _from_docker_file(registry)


def _from_connection(registry: str, conn_id: str | None) -> Login | None:
    if conn_id is None:
        return None
    with logging_to_stderr():
        from airflow.sdk import Connection
        from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError
    from docker.auth import resolve_index_name

    try:
        found = Connection.get(conn_id)
    except (AirflowException, AirflowRuntimeError, OSError):
        raise NotToldError(f"the Airflow connection {conn_id!r} (docker_conn_id) cannot be read") from None
    host = f"{found.host}:{found.port}" if found.port else found.host or ""
    if not found.login or resolve_index_name(host.lower()) != registry:
        return None
    return Login(found.login, found.password or "")


def _from_pull_secrets(registry: str, compute: ResolvedCompute) -> Login | None:
    """A secret that is not there, or that Airflow's account may not read, is no login; the registry has the word."""
    if not compute.settings.image_pull_secrets:
        return None
    from kubernetes.client.exceptions import ApiException

    with cluster(compute) as api:
        read = api.read_namespaced_secret
        for name in compute.settings.image_pull_secrets:
            try:
                data = within(partial(read, name, compute.namespace, _request_timeout=3), "the cluster").data or {}
            except ApiException:
                continue
            for key in (".dockerconfigjson", ".dockercfg"):
                if key in data and (login := _from_secret(registry, name, data[key])):
                    return login
    return None


def _from_secret(registry: str, name: str, data: str) -> Login | None:
    from docker.auth import load_config
    from docker.errors import DockerException

    try:
        config = load_config(config_dict=json.loads(base64.b64decode(data)))
        return _login(config.resolve_authconfig(registry))
    except (DockerException, *_NOT_DOCKERS_FORM):
        raise NotToldError(f"pull secret {name!r} does not hold a login in Docker's form") from None


def _from_docker_file(registry: str) -> Login | None:
    from docker.auth import load_config
    from docker.errors import DockerException

    try:
        # A credential helper may wait for somebody to type something.
        return _login(within(lambda: load_config().resolve_authconfig(registry), "Docker's credential helper"))
    except (DockerException, OSError, *_NOT_DOCKERS_FORM):
        raise NotToldError(f"the login for registry {registry} in Docker's configuration file cannot be read") from None


def _login(entry: Mapping[str, Any] | None) -> Login | None:
    """What an entry says; Docker's credential helpers write its names in capitals."""
    known = {name.lower(): value for name, value in (entry or {}).items()}
    if known.get("identitytoken"):
        return Login(token=known["identitytoken"])
    return Login(known["username"], known.get("password") or "") if known.get("username") else None
