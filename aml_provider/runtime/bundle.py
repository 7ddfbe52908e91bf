"""For the worker: which files make up the runtime that is copied to where steps can read it, and the shell's view of a job."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PACKAGE = "aml_runtime"


def files() -> dict[str, str]:
    """Path below the runtime's folder -> file to copy there: ``launch.sh``, ``aml_runtime/...`` and ``shim/...``."""
    here = os.path.dirname(os.path.abspath(__file__))
    found = {"launch.sh": os.path.join(here, "launch.sh")}
    for folder, folders, names in os.walk(here):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        relative = os.path.relpath(folder, here)
        inside = [] if relative == "." else relative.split(os.sep)
        for name in sorted(names):
            if name.endswith(".py"):
                target = inside if inside[:1] == ["shim"] else [PACKAGE, *inside]
                found["/".join([*target, name])] = os.path.join(folder, name)
    return found


def shell_job(job: dict[str, Any]) -> str:
    """The text of ``job.sh`` for a job: what ``launch.sh`` needs to run a shell command where there is no Python.

    :param job: the content of ``job.json``; its command must be of kind ``shell``.
    """
    lines = ["# Written beside job.json for images without Python."]
    settings = {
        "AML_SHELL_LINE": job["command"]["line"],
        "AML_WORKING_DIRECTORY": job["working_directory"],
        "AML_ATTEMPT": str(job.get("attempt", 1)),
        "AML_TIMEOUT_SECONDS": "" if job.get("timeout_seconds") is None else str(job["timeout_seconds"]),
        "AML_OUTPUTS": "\n".join(
            f"{'directory' if port.get('directory', True) else 'file'} {name} {port['path']}"
            for name, port in (job.get("outputs") or {}).items()
        ),
    }
    lines += [f"{name}={_quote(value)}" for name, value in settings.items()]
    lines += [f"export {name}={_quote(value)}" for name, value in _environment(job).items()]
    return "\n".join(lines) + "\n"


def _environment(job: dict[str, Any]) -> dict[str, str]:
    from .environment import azure_ml_variables

    variables = azure_ml_variables(job.get("run") or {})
    for ports in (job.get("inputs") or {}, job.get("outputs") or {}):
        for port in ports.values():
            if port.get("environment_variable"):
                variables[port["environment_variable"]] = port["path"]
    variables.update(job.get("environment") or {})
    return variables


def _quote(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"
