"""The git commit of a pipeline's folder, as v1 notes it among the properties of a run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

_SECONDS = 5
_SSH = re.compile(r"[\w.-]+@[\w.-]+:.*")


def git_properties(folder: Path) -> dict[str, str]:
    """The commit under v1's names and under MLflow's; empty where there is no git or no repository.

    v1's are ``azureml.git.commit``, ``.branch``, ``.dirty`` and ``.repository_uri``. It takes some hundredths of a
    second, and never fails.

    A repository's address that is a path of this machine is left out, and credentials in it are.
    """
    # One call: in a big repository each reads the whole index. "." is what v1 looks at: the pipeline's folder.
    status = _git(folder, "status", "--porcelain=v2", "--branch", "--", ".")
    if status is None:
        return {}
    lines = status.splitlines()
    head = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# ") and " " in line[2:])
    commit, branch = head.get("branch.oid", ""), head.get("branch.head", "")
    found = {
        "commit": "" if commit == "(initial)" else commit,
        "branch": "" if branch == "(detached)" else branch,
        "dirty": str(any(not line.startswith("# ") for line in lines)),
    }
    properties = {f"azureml.git.{name}": value for name, value in found.items() if value}
    properties |= {f"mlflow.source.git.{name}": value for name, value in found.items() if value and name != "dirty"}
    address = _address(_git(folder, "ls-remote", "--get-url") or "")
    if address:
        properties |= {"azureml.git.repository_uri": address, "mlflow.source.git.repoURL": address}
    return properties


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says, ``None`` when it says nothing of use."""
    # Not those of a hook or another repository in whose environment this may run.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _address(text: str) -> str | None:
    """A repository's address without credentials; ``None``: it has none that means anything elsewhere."""
    if _SSH.fullmatch(text) and "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https", "ssh", "git") or not parts.hostname:
        return None
    # The name in an ssh address is no credential.
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.scheme == "ssh" and parts.username else ""
    return parts._replace(netloc=f"{user}{host}", query="", fragment="").geturl()
