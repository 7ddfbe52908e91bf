"""The job: what the worker asks this step to do, read from ``job.json`` in the attempt's folder."""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False  # the standard module costs 5 ms of every step's start
if TYPE_CHECKING:
    from typing import Any, Callable

JOB_VERSION = 1


class JobError(Exception):
    """A job that cannot be started as it is described; the message is a sentence for the step's log.

    :param exit_code: what the step ends with: 125 the job is at fault, 126 not executable, 127 not found.
    """

    def __init__(self, message: str, exit_code: int = 125) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Port:
    """One input or output: where it is inside the step.

    :param directory: of an output: the runtime creates it as a directory; of a file, only its parent folder.
    :param is_dataset: of an input: it appears in ``run.input_datasets``.
    :param dataset: of an input: what the worker says about the dataset that it is.
    """

    __slots__ = ("dataset", "directory", "environment_variable", "is_dataset", "mode", "name", "path")

    def __init__(self, name: str, facts: dict[str, Any], where: str) -> None:
        self.name = name
        self.path = _field(facts, "path", str, where)
        self.mode = facts.get("mode")
        self.is_dataset = bool(facts.get("is_dataset", False))
        self.dataset: dict[str, Any] | None = facts.get("dataset")
        self.directory = bool(facts.get("directory", True))
        self.environment_variable = facts.get("environment_variable") or None


class Job:
    """A validated ``job.json``. Paths are as seen inside the step; ``timeout_seconds`` is ``None`` for no limit."""

    __slots__ = (
        "attempt",
        "command",
        "environment",
        "folder",
        "inputs",
        "outputs",
        "run",
        "timeout_seconds",
        "working_directory",
    )

    def __init__(self, folder: str, facts: dict[str, Any]) -> None:
        version = facts.get("job_version")
        if version != JOB_VERSION:
            raise JobError(
                f"job.json has job_version {version!r}, this runtime reads {JOB_VERSION}: "
                "the worker and the runtime are of different releases of aml_provider."
            )
        self.folder = folder
        self.command = _command(_field(facts, "command", dict, "job.json"))
        self.working_directory: str = _field(facts, "working_directory", str, "job.json")
        self.environment = {
            str(name): str(value) for name, value in _optional(facts, "environment", dict, dict).items()
        }
        self.attempt = int(_optional(facts, "attempt", int, lambda: 1))
        timeout = facts.get("timeout_seconds")
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0):
            raise JobError(f"job.json: timeout_seconds is {timeout!r}, it must be a positive number or null.")
        self.timeout_seconds: float | None = timeout
        self.run: dict[str, Any] = _optional(facts, "run", dict, dict)
        self.inputs = _ports(facts, "inputs")
        self.outputs = _ports(facts, "outputs")


def load_job(folder: str) -> Job:
    """Read and check ``job.json`` in the attempt's folder.

    :raises JobError: naming the file and the key at fault.
    """
    path = os.path.join(folder, "job.json")
    try:
        with open(path, "rb") as file:
            facts = json.loads(file.read().decode("utf-8"))
    except OSError as error:
        raise JobError(f"The job description {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise JobError(f"The job description {path} is not JSON: {error}.") from error
    if not isinstance(facts, dict):
        raise JobError(f"The job description {path} must be a JSON object, it is a {type(facts).__name__}.")
    return Job(folder, facts)


def _command(facts: dict[str, Any]) -> dict[str, Any]:
    kind = facts.get("kind")
    where = "job.json, command"
    if kind == "python":
        _field(facts, "script", str, where)
        # No interpreter named: the one that the launcher found in the image and runs this.
        facts = {**facts, "interpreter": facts.get("interpreter") or sys.executable}
        arguments = _optional(facts, "arguments", list, list)
        return {**facts, "arguments": [str(argument) for argument in arguments]}
    if kind == "shell":
        _field(facts, "line", str, where)
        return facts
    raise JobError(f'{where}: kind is {kind!r}, it must be "python" or "shell".')


def _ports(facts: dict[str, Any], key: str) -> list[Port]:
    ports = []
    for name, port in _optional(facts, key, dict, dict).items():
        where = f"job.json, {key}.{name}"
        if not isinstance(port, dict):
            raise JobError(f"{where} must be an object, it is {port!r}.")
        ports.append(Port(name, port, where))
    return ports


def _field(facts: dict[str, Any], key: str, kind: type, where: str) -> Any:
    value = facts.get(key)
    if not isinstance(value, kind) or value == "":
        raise JobError(f"{where}: {key} must be a {kind.__name__}, it is {value!r}.")
    return value


def _optional(facts: dict[str, Any], key: str, kind: type, default: Callable[[], Any]) -> Any:
    return default() if facts.get(key) is None else _field(facts, key, kind, "job.json")
