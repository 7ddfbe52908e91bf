"""A cluster whose pods share no volume with the tests: an account for Airflow there, and projects."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from .machine import NAMESPACE, eventually
from .server import aml

RULES = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "list", "watch", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch", "delete"]},
]


@contextlib.contextmanager
def account(admin: Path, folder: Path) -> Iterator[Path]:
    """A kubeconfig of an account that may do what the documentation says, and no more."""
    name = f"aml-tests-{uuid.uuid4().hex[:8]}"
    connection = config.new_client_from_config(str(admin))
    core, rights = client.CoreV1Api(connection), client.RbacAuthorizationV1Api(connection)
    subject = {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}
    reference = {"kind": "Role", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    metadata = {"name": name}
    core.create_namespaced_service_account(NAMESPACE, {"metadata": metadata})
    try:
        rights.create_namespaced_role(NAMESPACE, {"metadata": metadata, "rules": RULES})
        binding = {"metadata": metadata, "subjects": [subject], "roleRef": reference}
        rights.create_namespaced_role_binding(NAMESPACE, binding)
        secrets = eventually("a token", lambda: core.read_namespaced_service_account(name, NAMESPACE).secrets)
        token = core.read_namespaced_secret(secrets[0].name, NAMESPACE).data["token"]
        known = yaml.safe_load(admin.read_text())
        for user in known["users"]:
            user["user"] = {"token": base64.b64decode(token).decode()}
        (folder / "kubeconfig").write_text(yaml.safe_dump(known))
        yield folder / "kubeconfig"
    finally:
        for delete in (
            rights.delete_namespaced_role_binding,
            rights.delete_namespaced_role,
            core.delete_namespaced_service_account,
        ):
            with contextlib.suppress(ApiException):
                delete(name, NAMESPACE)


class Project:
    """A folder with a pipeline whose steps run in pods that see none of its files."""

    def __init__(self, folder: Path, workspace: str, files: dict[str, str], connections: dict[str, Any]) -> None:
        self.folder = folder
        self._known = {f"AIRFLOW_CONN_{n.upper()}": json.dumps(c) for n, c in connections.items()}
        for name, text in {**files, "workspace.yaml": workspace}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def say(self, text: str) -> None:
        """Add to the workspace file: more sections, more keys of those that are there."""
        known = yaml.safe_load((self.folder / "workspace.yaml").read_text())
        for section, more in yaml.safe_load(text).items():
            known[section] = {**known.get(section, {}), **more}
        (self.folder / "workspace.yaml").write_text(yaml.safe_dump(known))

    def know(self, conn_id: str, value: dict[str, Any]) -> None:
        """Have Airflow know another connection."""
        self._known[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(value)

    def aml(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line, in the project."""
        return aml(*arguments, workspace=self.folder / "workspace.yaml", folder=self.folder, **self._known)

    def run(self, *, code: int = 0) -> dict[str, Any]:
        """What a run of the pipeline gave, its steps by name."""
        done = self.aml("run", "pipeline.py", "--json")
        assert done.returncode == code, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        self.said = done.stderr
        return {**result, "steps": {step["name"]: step for step in result["steps"]}}
